"""2SFS: Rethinking Few-Shot Adaptation of Vision-Language Models in Two Stages (Farina et al., CVPR 2025)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from clipkit import BlockChange, SplitText, normalize
from dassl.config.domains import SHARE, whole
from dassl.engine import TRAINER_REGISTRY

from .parts.step_trainer import StepTrainer, cosine
from .shared.checks import check_vit
from .shared.domains import declare
from .shared.known_classes import KnownClasses

N = "TRAINER.TWOSFS."


class Norms(nn.Module):
    """The layer norms of a tower's blocks, `transformer.resblocks.<i>.ln_1` and `.ln_2`, with CLIP's values."""

    def __init__(self, blocks: nn.Module) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList()
        for block in blocks:
            own = nn.Module()
            own.ln_1, own.ln_2 = _copy(block.ln_1), _copy(block.ln_2)
            self.resblocks.append(own)

    def changes(self) -> dict[int, BlockChange]:
        return {b: BlockChange(ln_1=own.ln_1, ln_2=own.ln_2) for b, own in enumerate(self.resblocks, start=1)}


def _copy(norm: nn.LayerNorm) -> nn.LayerNorm:
    new = nn.LayerNorm(norm.normalized_shape, eps=norm.eps)
    new.load_state_dict({key: value.float() for key, value in norm.state_dict().items()})
    return new


class Learner(KnownClasses):
    """The layer norms under CLIP's own names, and `head` [C, d], which is zero until the second stage."""

    class_tensors = ("head",)

    def __init__(self, names: list[str], text: nn.Module, visual: nn.Module, dim: int) -> None:
        super().__init__(names)
        self.transformer = Norms(text)
        self.visual = nn.Module()
        self.visual.transformer = Norms(visual)
        self.head = nn.Parameter(torch.zeros(len(names), dim))

    def stage(self, second: bool) -> None:
        """Sets which parameters have a gradient: the layer norms (first stage), or the head (second)."""
        for name, p in self.named_parameters():
            p.requires_grad_((name == "head") == second)


@TRAINER_REGISTRY.register()
class TwoSFS(StepTrainer):
    """In the first stage the layer norms of both towers are trained; in the second, with fixed towers, a linear head on
    the image features, which starts at the text features of the classes.

    300 steps per shot; the share `ALPHA` of them is the first stage. The norms outside of the blocks are not trained,
    as in the published code, which enables and disables them again. A test uses the head for training classes, and text
    features for others.
    """

    node = "TRAINER.TWOSFS"
    registered_name = "two_stage"
    config_defaults = {N + "ALPHA": 0.6, N + "STEPS_PER_SHOT": 300, N + "STEPS": 0, N + "PREC": "amp"}
    config_domains = declare(config_defaults, {"ALPHA": SHARE, "STEPS_PER_SHOT": whole(1), "STEPS": whole()})
    frozen_image_encoder = False
    images_read_no_names = True
    rate_at_end = 1e-6
    counts_skipped = False
    head_started = False  # whether the head was set to the text features

    def build_learner(self) -> Learner:
        check_vit(self, "learns the layer norms of the image tower's blocks")
        _ = self.text_encoder.changed({}), self.image_encoder.changed({})  # raises for towers of another layout
        text, image = self.clip.transformer.resblocks, self.clip.visual.transformer.resblocks
        learner = Learner(self.described, text, image, self.text_encoder.embed_dim)
        self.tuned_text = self.text_encoder.changed(learner.transformer.changes())
        self.tuned_image = self.image_encoder.changed(learner.visual.transformer.changes())
        self.texts = self.prepare_names(self.classnames)
        return learner

    def first_stage(self) -> int:
        """The steps of the first stage."""
        return int(self.method_cfg().ALPHA * self.total_steps())

    def build_scheduler(self) -> LRScheduler:
        """A cosine for each stage. One AdamW serves both: in the first stage the head has no gradient, so no
        moments."""
        first, last = self.first_stage(), self.rate_at_end / (self.cfg.OPTIM.LR or 1)

        def rate(step: int) -> float:
            stage = (step, first) if step < first else (step - first, self.total_steps() - first)
            return cosine(*stage, last)

        return LambdaLR(self.optim, rate)

    # ------------------------------------------------------------------ the two sides

    def prepare_names(self, names: list[str]) -> SplitText:
        return self.text_encoder.split_texts([f"a photo of a {name}." for name in names])

    def encode_names(self, prepared: SplitText) -> Tensor:
        return normalize(self.tuned_text.encode(prepared).float())

    def encode_image(self, image: Tensor) -> Tensor:
        return normalize(self.tuned_image(image.type(self.image_encoder.dtype)).float())

    def encode_text(self) -> Tensor:
        """[C, d], normalised: the head's rows, and the text features of classes without a row (or before stage two)."""
        rows = torch.tensor(self.model.rows(self.described), device=self.device)
        has = (rows >= 0) & (self.model.head[rows].norm(dim=-1) > 0)
        if has.all():
            return F.normalize(self.model.head[rows], dim=-1)
        return torch.where(has[:, None], F.normalize(self.model.head[rows], dim=-1), self.encode_names(self.texts))

    # ------------------------------------------------------------------ the two stages

    def after_train(self) -> None:
        self.model.requires_grad_(True)  # the record of a run counts all parameters with a gradient
        super().after_train()

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        second = self.steps_done >= self.first_stage()
        self.model.stage(second)
        if not second:
            logits = self.logits(self.encode_image(image), self.encode_names(self.texts))
            return logits, {"ce": F.cross_entropy(logits, label)}
        with torch.no_grad():
            f = self.encode_image(image)
            self.head_started = self.head_started or bool(self.model.head.any())  # a resumed head is not zero
            if not self.head_started:
                with torch.autocast(self.device.type, enabled=False):
                    self.model.head.copy_(self.encode_names(self.texts))
        logits = self.logits(f, F.normalize(self.model.head, dim=-1))
        return logits, {"ce": F.cross_entropy(logits, label)}
