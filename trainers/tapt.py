"""TAPT: Test-Time Adversarial Prompt Tuning for Robust Inference in Vision-Language Models (Wang et al., CVPR 2025)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from yacs.config import CfgNode

from clipkit import normalize
from dassl.engine import TRAINER_REGISTRY

from .shared.precision import autocast
from .tta.adaptive_views import attack_seeds, differentiable_views
from .tta.per_image_adamw import PerImageAdamW
from .tta.tapt_config import DEFAULTS, DOMAINS, UNREAD, A, check_sources, targets
from .tta.token_statistics import keep_up_to
from .tta.trained_prompts import prompts_from
from .tta.trainer import TestTimeTrainer
from .tta.view_ensemble import LOSSES, confident
from .tta.views import full

Tower = Callable[[Tensor], Tensor]  # normalised pixels [N, 3, h, w] -> features [N, d]
Tokens = Mapping[int, Tensor]  # {block: [n, width]}


@TRAINER_REGISTRY.register()
class TAPT(TestTimeTrainer):
    """Prompts that were trained against attacks (FROM) are tuned on each image, towards what pictures looked like then.

    One step of AdamW on all that the run learned, from the run's weights and from empty moments for every image:

        L = H(mean_i p_i) + ALIGN / J [GAMMA A(adv) + (1 - GAMMA) A(clean)]

    over the confident views i; A is the distance of the inputs of the image tower's blocks, prompts among them, from
    their statistics over training pictures (`Statistics.distance`), `adv` under the run's own prompts, `clean` under
    those of a run on clean pictures (CLEAN_FROM). Then the tuned prompts classify the plain view. J is the number of
    prompted blocks. As in the published code, where J is 9, A adds up the inputs of the first J - 1 and is divided by
    J; that holds for any J.
    """

    own = {"LOSS": "marginal", "ENSEMBLE": "none"}
    unread = (*UNREAD, "GRAD_PATH")
    tunes = True
    starts_from = f"the run whose prompts are tuned is given as {A}FROM"
    config_defaults = DEFAULTS
    config_domains = DOMAINS

    @classmethod
    def mixes(cls, dataset: str) -> bool:
        return False  # crops and flips alone, on every data set

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        check_sources(cfg)

    def build_learner(self) -> None:
        """The run's prompts, and the statistics. There is nothing to train."""
        self.build_views()
        self.trained = prompts_from(A + "FROM", self.cfg.TRAINER.TAPT.FROM, self)
        self.files.unstated = self.trained.host.files.unstated
        self.statistics = targets(self, self.trained)
        self.numbers = list(self.trained.learner.parameters())
        self.record["test_time"] = {
            "views": self.views.n,
            "augmix": self.views.augmix,
            "template": f"prompts of {self.trained.file}",
            "loss": self.choice("LOSS"),
            "ensemble": "none",
            "tuned_numbers": sum(p.numel() for p in self.numbers),
        }

    @torch.no_grad()
    def encode_text(self) -> Tensor:
        """[C, d] under the prompts as they are."""
        with autocast(self.precision, self.device):
            return full(self.trained.text())

    @torch.no_grad()
    def tokens(self) -> Tokens:
        """The image tower's tokens as they are, as constants that further tuning leaves alone."""
        return {block: x.detach().clone() for block, x in self.trained.tokens().items()}

    def tower(self, tokens: Tokens) -> Tower:
        return lambda x: self.image_encoder(x, replace=tokens)

    def raw_features(self, pixels: Tensor, tower: Tower | None = None) -> Tensor:
        """[N, d], not normalised, of pixels in [0, 1]: under the run's own prompts, or by another tower."""
        return super().raw_features(pixels, tower or self.tower(self.once("tokens", self.tokens)))

    def respond(self, views: Tensor, seeds: list[int]) -> tuple[Tensor, Tensor]:
        logits = self.view_logits(self.encode_views(views), self.text_features())
        chosen = confident(logits, self.method_cfg().SELECTION_P)
        after = [self.tuned_answer(own, rows) for own, rows in zip(views, chosen, strict=True)]
        return logits[:, 0], torch.stack(after)

    def tuned_answer(self, views: Tensor, chosen: Tensor) -> Tensor:
        """[C] of the plain view, the first of views [n, 3, h, w], under prompts tuned on the chosen ones [k]."""
        tokens, t = self.tuned_prompts(views[chosen].detach())
        return self.view_logits(normalize(self.raw_features(views[:1], self.tower(tokens))), t)[0]

    def tuned_prompts(self, views: Tensor) -> tuple[Tokens, Tensor]:
        """(the image tower's tokens, text features [C, d]) after STEPS steps on views [k, 3, h, w]. Afterwards the
        learner has its own weights again."""
        cfg = self.method_cfg()
        start = [p.detach().clone() for p in self.numbers]
        steppers = [PerImageAdamW(self.cfg.TRAINER.TAPT.LR, cfg.WD) for _ in start]
        try:
            for _ in range(cfg.STEPS):
                for p, stepper, g in zip(self.numbers, steppers, self.gradients(views), strict=True):
                    if g is not None:
                        p.data.copy_(stepper.step(p.data, g))
            return self.tokens(), self.encode_text()
        finally:
            for p, value in zip(self.numbers, start, strict=True):
                p.data.copy_(value)

    @torch.enable_grad()
    def gradients(self, views: Tensor) -> list[Tensor | None]:
        """dL/dp of everything that the run learned; None for what the loss does not depend on."""
        scale = 1000.0 if self.precision == "amp" else 1.0  # keeps small gradients from vanishing in fp16
        found = torch.autograd.grad(scale * self.objective(views), self.numbers, allow_unused=True)
        return [None if g is None else g / scale for g in found]

    def objective(self, views: Tensor) -> Tensor:
        """L of the confident views [k, 3, h, w] in [0, 1] under the prompts as they are."""
        tokens, seen = self.trained.tokens(), {}
        watch = keep_up_to(len(tokens) - 1, seen)
        f = normalize(self.raw_features(views, lambda x: self.image_encoder(x, replace=tokens, watch=watch)))
        with autocast(self.precision, self.device):
            t = full(self.trained.text())
        inputs = [full(seen[block]) for block in range(1, len(tokens))]  # [k, L, width] each
        loss = LOSSES[self.choice("LOSS")](self.view_logits(f, t)[None])[0]
        for share, statistics in self.statistics:
            loss = loss + self.cfg.TRAINER.TAPT.ALIGN / len(tokens) * share * statistics.distance(inputs)
        return loss

    def pixel_logits(
        self, x01: Tensor, seed: int | Sequence[int] = 0, views: int = 8, augmix: bool | None = None
    ) -> Tensor:
        """[B, C] for pictures [B, 3, h, w] in [0, 1], differentiable in them, with the tuned prompts as constants."""
        seeds = attack_seeds(len(x01), seed)
        with torch.enable_grad():
            return self.respond(differentiable_views(self.views, x01, seeds, views, augmix), seeds)[1]
