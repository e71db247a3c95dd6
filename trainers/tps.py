"""TPS: Just Shift It: Test-Time Prototype Shifting for Zero-Shot Generalization with Vision-Language Models (Sui et
al., WACV 2025)."""

from __future__ import annotations

import torch
from torch import Tensor
from yacs.config import CfgNode

from clipkit import InputError, normalize
from dassl.config.domains import FLAG, OPTIONAL, choice
from dassl.engine import TRAINER_REGISTRY
from datasets.templates import FULL80

from .tpt import TPT
from .tta.config import DEFAULTS, DOMAINS
from .tta.per_image_adamw import PerImageAdamW
from .tta.prototypes import descriptor_features, mean_of_templates
from .tta.view_ensemble import take

P = "TRAINER.TPS."
WITH_DESCRIPTORS = ("descriptors", "micro", "macro")


@TRAINER_REGISTRY.register()
class TPS(TPT):
    """Shifts the classes' prototypes: t_c = unit(unit(c_c) + shift_c), from shift 0 for each image.

    One AdamW step on the entropy of the confident views' mean prediction moves the shift (with STEPS > 1 the confident
    views are chosen anew before each); the plain view is then compared with the shifted prototypes. No gradient goes
    through a tower, so that an image costs its n passes through the image tower and nothing else.

    PROTOTYPES: single, the prompt with CTX_INIT; templates, the mean of CLIP's 80; descriptors, the mean of sentences
    about the class from DESCRIPTORS; micro (in the published script), the mean of the last two; macro, the mean of all
    their texts together. SHIFT shared: one vector for all classes. FILM: a scale, which starts at 1, is tuned with the
    shift, t_c = unit(scale_c * unit(c_c) + shift_c).
    """

    tunes_context = False
    unread = ("GRAD_PATH", "ENSEMBLE", "ENS_TOPK", "ENS_TEMP", "ENS_SELF_MASK")
    config_defaults = {**DEFAULTS, P + "PROTOTYPES": "single", P + "DESCRIPTORS": "", P + "SHIFT": "class",
                       P + "FILM": False}  # fmt: skip
    config_domains = {
        **DOMAINS,
        P + "PROTOTYPES": choice("single", "templates", *WITH_DESCRIPTORS),
        P + "DESCRIPTORS": OPTIONAL,  # a JSON file {class: [descriptor, ...]}
        P + "SHIFT": choice("class", "shared"),
        P + "FILM": FLAG,
    }
    prompts_per_pass = 1 << 20  # no limit: shifts need no text encoding

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        tps = cfg.TRAINER.TPS
        if tps.PROTOTYPES in WITH_DESCRIPTORS and not tps.DESCRIPTORS:
            raise InputError(
                f"{P}PROTOTYPES {tps.PROTOTYPES} needs sentences about the classes: give {P}DESCRIPTORS a JSON file "
                "{class: [descriptor, ...]}, or take single or templates."
            )
        if tps.PROTOTYPES != "single" and cfg.TRAINER.TTA.PROMPTS != "own":
            raise InputError(f"{P}PROTOTYPES {tps.PROTOTYPES} has no prompt for TRAINER.TTA.PROMPTS; leave one out.")

    def build_learner(self) -> None:
        super().build_learner()
        self.c = normalize(self.prototypes())  # [C, d]
        shift = torch.zeros_like(self.c if self.cfg.TRAINER.TPS.SHIFT == "class" else self.c[:1])
        self.ctx0 = torch.cat([shift, shift + 1]) if self.cfg.TRAINER.TPS.FILM else shift
        self.record["test_time"] |= {"tuned_numbers": self.ctx0.numel(), "prototypes": self.cfg.TRAINER.TPS.PROTOTYPES}

    def prototypes(self) -> Tensor:
        """[C, d]: the text features of PROTOTYPES. Means of unit features are not normalised before further
        averaging."""
        cfg, names = self.cfg.TRAINER.TPS, self.classnames
        if cfg.PROTOTYPES == "single":
            with torch.no_grad():
                if self.cfg.TRAINER.TTA.PROMPTS != "own":
                    return super().encode_text()
                return super().encode_contexts(self.ctx0[None])[0]
        templates = None
        if cfg.PROTOTYPES != "descriptors":
            templates = mean_of_templates(self.text_encoder, FULL80, names)
            if cfg.PROTOTYPES == "templates":
                return templates
        sentences = descriptor_features(self.text_encoder, cfg.DESCRIPTORS, names)
        described = torch.stack([rows.mean(dim=0) for rows in sentences])
        if templates is None:
            return described
        if cfg.PROTOTYPES == "micro":
            return (templates + described) / 2
        count = described.new_tensor([len(rows) for rows in sentences])[:, None]
        return (len(FULL80) * templates + count * described) / (len(FULL80) + count)

    def encode_contexts(self, ctx: Tensor) -> Tensor:
        """t [B, C, d] under B shifts [B, C, d], or [B, 1, d]; with FILM the scales follow the shifts in ctx."""
        if not self.cfg.TRAINER.TPS.FILM:
            return normalize(self.c + ctx)
        shift, scale = ctx.chunk(2, dim=1)
        return normalize(scale * self.c + shift)

    def from_features(self, f: Tensor) -> Tensor:
        shift = self.tune(f, anew=True)
        return self.view_logits(f[:, :1], self.encode_contexts(shift))[:, 0]

    def tune(self, f: Tensor, anew: bool = False) -> Tensor:
        """The shifts after STEPS steps from 0. f: [B, k, d], of the confident views; anew: [B, n, d], of all views,
        from which they are chosen before each step."""
        cfg = self.method_cfg()
        shift = self.ctx0.expand(len(f), -1, -1)
        optimizer = PerImageAdamW(cfg.LR, cfg.WD)
        for _ in range(cfg.STEPS):
            chosen = take(f, self.choose(self.view_logits(f, self.encode_contexts(shift)))) if anew else f
            shift = optimizer.step(shift, self.gradient_batched(chosen, shift))
        return shift
