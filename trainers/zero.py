"""ZERO: Frustratingly Easy Test-Time Adaptation of Vision-Language Models (Farina et al., NeurIPS 2024)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit import normalize
from dassl.config.domains import OPTIONAL, choice, number
from dassl.engine import TRAINER_REGISTRY
from datasets.templates import template_set

from .tta.adaptive_views import attack_seeds, differentiable_views
from .tta.config import DEFAULTS, DOMAINS, TUNING
from .tta.prototypes import mean_of_templates
from .tta.trainer import TestTimeTrainer
from .tta.view_ensemble import entropy, take
from .tta.voter import Voter

Z = "TRAINER.ZERO."
HALF = 2.0**-10  # the machine epsilon of fp16


@TRAINER_REGISTRY.register()
class ZERO(TestTimeTrainer):
    """The confident views vote at a temperature of zero; nothing is tuned.

    Of the n views the floor(GAMMA n) of lowest entropy are kept (at least one), and each votes for its most similar
    class. TEMP fp16 uses the published code's temperature, the machine epsilon of the half precision that it runs in:
    votes are then the softmax of the cosines over 2^-10, soft where two classes are less than 0.001 apart.
    With VOTER_BACKBONE (ZERO-RLCF) a second CLIP votes on the views that the run's own has kept.
    Of tied classes the one wins that the most confident of the other views prefers, by the run's own CLIP. The answer
    consists of votes, not logits, so its calibration error means nothing.
    """

    unread = TUNING
    config_defaults = {
        **DEFAULTS,
        Z + "GAMMA": 0.3,
        Z + "TEMP": "hard",
        Z + "TEMPLATES": "single",
        Z + "VOTER_BACKBONE": "",  # the CLIP that votes on the kept views; empty: the run's own
    }
    config_domains = {
        **DOMAINS,
        Z + "GAMMA": number(above=0, most=1),
        Z + "TEMP": choice("hard", "fp16"),
        Z + "TEMPLATES": choice("single", "select"),  # single: CTX_INIT | select: 7, chosen on ImageNet, averaged
        Z + "VOTER_BACKBONE": OPTIONAL,
    }
    voter: Voter | None = None

    @classmethod
    def mixes(cls, dataset: str) -> bool:
        return False  # crops and flips alone, on every data set

    def build_learner(self) -> None:
        super().build_learner()
        if name := self.cfg.TRAINER.ZERO.VOTER_BACKBONE:
            self.voter = Voter(name, self.precision, self.device, self.cfg, self.classnames)
            self.record["test_time"]["voter"] = self.voter.told

    def own_text(self) -> Tensor:
        if self.cfg.TRAINER.ZERO.TEMPLATES == "single":
            return super().own_text()
        templates = template_set("select", self.cfg.DATASET.NAME)
        return normalize(mean_of_templates(self.text_encoder, templates, self.classnames))

    def sees_pixels(self) -> bool:
        return self.voter is not None

    def respond(self, views: Tensor, seeds: list[int]) -> tuple[Tensor, Tensor]:
        if self.voter is None:
            return super().respond(views, seeds)
        f = self.encode_views(views)
        asked = self.ask(views, self.order(f)[:, : self.count_kept(f)])
        return self.view_logits(f[:, :1], self.text_features())[:, 0], self.from_features(f, asked)

    def ask(self, views: Tensor, kept: Tensor) -> Tensor:
        """[B, k, C]: the second CLIP's cosines of the kept views [B, k], of views [B, n, 3, h, w]."""
        of_image = zip(views, kept, strict=True)
        g = torch.stack([normalize(self.raw_features(own[rows], self.voter.image)) for own, rows in of_image])
        return g @ self.text_noise.moved(self.voter.text).mT

    def order(self, f: Tensor) -> Tensor:
        """[B, n]: the views of features f [B, n, d], the most confident first."""
        return entropy(self.view_logits(f, self.text_features()).detach()).argsort(dim=1, stable=True)

    def count_kept(self, f: Tensor) -> int:
        return max(1, int(f.shape[1] * self.cfg.TRAINER.ZERO.GAMMA))

    def from_features(self, f: Tensor, asked: Tensor | None = None) -> Tensor:
        """asked: the kept views' cosines [B, k, C] by the second CLIP."""
        cosines = f @ self.text_noise.moved(self.text_features()).mT  # [B, n, C]
        order, k = self.order(f), self.count_kept(f)
        votes = count_votes(take(cosines, order[:, :k]) if asked is None else asked, self.cfg.TRAINER.ZERO.TEMP)
        others = take(cosines, order[:, k:])
        return torch.stack([break_tie(*image) for image in zip(votes, others, strict=True)])

    def pixel_logits(self, x01: Tensor, seed: int | Sequence[int] = 0, views: int = 8) -> Tensor:
        """[B, C] for pictures [B, 3, h, w] in [0, 1], differentiable in them: hard votes have no gradient, so the kept
        views vote by CLIP's own softmax here, and the logarithm of their mean vote is returned."""
        with torch.enable_grad():
            made = differentiable_views(self.views, x01, attack_seeds(len(x01), seed), views)
            f = self.encode_views(made)
            kept = self.order(f)[:, : self.count_kept(f)]
            if self.voter is None:
                logits = take(self.view_logits(f, self.text_features().detach()), kept)
            else:
                logits = self.voter.scale * self.ask(made, kept)
            return logits.log_softmax(dim=-1).logsumexp(dim=1)


def count_votes(cosines: Tensor, temperature: str) -> Tensor:
    """[B, C] from the kept views' cosines [B, k, C]; they add up to k.

    hard: the softmax's limit at a temperature of 0, so that equal cosines share a view's vote.
    """
    if temperature == "fp16":
        return (cosines / HALF).softmax(dim=-1).sum(dim=1)
    first = (cosines == cosines.amax(dim=-1, keepdim=True)).to(cosines.dtype)
    return (first / first.sum(dim=-1, keepdim=True)).sum(dim=1)


def break_tie(votes: Tensor, others: Tensor) -> Tensor:
    """votes [C]; if several classes have the most, one of them gets one more. others [n - k, C]: cosines of the views
    that were not kept, the most confident first. The first view that prefers a tied class decides; if there is none,
    the first view chooses among the tied classes; if all views were kept, the first tied class is taken."""
    tied = votes == votes.max()
    if tied.sum() == 1:
        return votes
    preferred = others.argmax(dim=-1)
    fitting = preferred[tied[preferred]]
    if len(fitting):
        winner = fitting[0]
    elif len(others):
        winner = others[0].masked_fill(~tied, -torch.inf).argmax()
    else:
        winner = tied.int().argmax()
    return votes + F.one_hot(winner, len(votes)).to(votes)
