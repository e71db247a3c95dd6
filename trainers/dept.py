"""DePT: Decoupled Prompt Tuning (Zhang et al., CVPR 2024), as a mix-in for methods that learn prompts.

`CoOpDePT` is `class CoOpDePT(DePT, CoOp)`. The host's loss and logits are unchanged; its features before normalisation
also go through a second, class-specific branch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import normalize
from dassl.config.domains import SHARE, choice
from dassl.engine import TRAINER_REGISTRY

from .base import PromptTrainer
from .coop import CoOp
from .kgcoop import KgCoOp
from .maple import MaPLe
from .parts.class_head import Film, HeadLearner, with_head
from .promptsrc import PromptSRC
from .shared.domains import declare
from .shared.situation import situation

CONFIG_DEFAULTS = {
    "TRAINER.LINEAR_PROBE.TYPE": "linear",  # linear: a head over the classes | similarity: cosines of filmed features
    "TRAINER.LINEAR_PROBE.WEIGHT": 0.7,  # w, of the second branch; the host's branch has 1 - w
    "TRAINER.LINEAR_PROBE.TEST_TIME_FUSION": True,  # add the second branch's logits in tests on the training classes
    "TRAINER.FILM.LINEAR_PROBE": True,  # a scale and a bias for each channel before the head
}
CONFIG_DOMAINS = declare(
    CONFIG_DEFAULTS,
    {"TRAINER.LINEAR_PROBE.TYPE": choice("linear", "similarity"), "TRAINER.LINEAR_PROBE.WEIGHT": SHARE},
)


class DePT(PromptTrainer):
    """The mix-in: stands before the host in the method resolution order.

    The head has a row for each class of the training. A test on other classes, or with others among its candidates,
    is the host's alone; on a subset of the training's (ImageNet-A, -R) the head's rows are chosen by name.
    """

    stored_normalized = False  # the head reads features before normalisation
    images_read_no_names = True

    def build_learner(self) -> HeadLearner:
        cfg, dim = self.cfg.TRAINER, self.text_encoder.embed_dim
        model = with_head(super().build_learner())
        if cfg.FILM.LINEAR_PROBE:
            model.film_lp_img, model.film_lp_text = Film(dim), Film(dim)
        if cfg.LINEAR_PROBE.TYPE == "linear":
            model.linear_probe_proj = nn.Linear(dim, len(self.classnames))
        model.unseen = situation(self.cfg) == "new"
        return model

    def prompted_text(self, prepared: object) -> Tensor:
        self.raw_text = super().prompted_text(prepared)
        return self.raw_text

    def prompted_image(self, image: Tensor) -> Tensor:
        self.raw_image = super().prompted_image(image)
        return self.raw_image

    def stored_image(self, image: Tensor) -> Tensor:
        return self.prompted_image(image)

    def filmed(self, features: Tensor, side: str) -> Tensor:
        """Features [N, d] of a side ("img" or "text"), before normalisation, with its scale and bias."""
        return getattr(self.model, f"film_lp_{side}")(features) if self.cfg.TRAINER.FILM.LINEAR_PROBE else features

    def head_logits(self, image: Tensor, text: Tensor) -> Tensor:
        """[B, C] of the second branch from image features [B, d] and text features [C, d], neither normalised. The
        head has no temperature."""
        f = self.filmed(image, "img")
        if self.cfg.TRAINER.LINEAR_PROBE.TYPE == "linear":
            return self.model.linear_probe_proj(f).float()
        return self.logits(normalize(f), normalize(self.filmed(text, "text")))

    def loss(self, image: Tensor, label: Tensor, *more: object) -> tuple[Tensor, dict[str, Tensor]]:
        """(1 - w) CE of the host + w CE of the second branch + the host's regularisers, unchanged. The head also
        classifies the text features of the images' classes."""
        logits, terms = super().loss(image, label, *more)
        w, f, t = self.cfg.TRAINER.LINEAR_PROBE.WEIGHT, self.raw_image, self.raw_text
        head, labels = self.head_logits(f, t), label
        if self.cfg.TRAINER.LINEAR_PROBE.TYPE == "linear":
            of_text = self.model.linear_probe_proj(self.filmed(t[label], "text")).float()
            head, labels = torch.cat([of_text, head]), label.repeat(2)
        first = next(iter(terms))  # the host's cross-entropy
        return logits, terms | {first: (1 - w) * terms[first], "head": w * F.cross_entropy(head, labels)}

    def test_logits(self, image: Tensor) -> dict[str, Tensor]:
        """z of the host, and on classes of the training (1 - w) z + w times the second branch."""
        f = image if image.ndim == 2 else self.tester.sides(image, self.prompted_image)
        z = super().image_logits(normalize(f))
        if not self.fuses():
            return {"host": z}
        raw = self.once("raw text", self.text_before_normalisation)
        w = self.cfg.TRAINER.LINEAR_PROBE.WEIGHT
        return {"host": z, "fused": (1 - w) * z + w * self.head_logits(f, raw)}

    def text_before_normalisation(self) -> Tensor:
        """Text features [C, d] before normalisation, for a head by similarity; linear heads do not use them."""
        if self.cfg.TRAINER.LINEAR_PROBE.TYPE == "linear":
            return self.text_features()
        self.encode_text()
        return self.raw_text

    def fuses(self) -> bool:
        return self.model.known and not self.model.unseen and self.cfg.TRAINER.LINEAR_PROBE.TEST_TIME_FUSION

    @property
    def answer_name(self) -> str:
        return "fused" if self.fuses() else "host"


def with_dept(host: type[PromptTrainer]) -> type[PromptTrainer]:
    """The method <Host>DePT, registered."""
    shape = ("TRAINER.LINEAR_PROBE.TYPE", "TRAINER.FILM.LINEAR_PROBE")
    body = {
        "__doc__": f"{host.__name__} with a decoupled, class-specific branch.",
        "__module__": __name__,
        "host": host,
        "registered_name": "PromptLearner" if issubclass(host, CoOp) else host.registered_name,
        "config_defaults": {**host.config_defaults, **CONFIG_DEFAULTS},
        "config_domains": {**host.config_domains, **CONFIG_DOMAINS},
        "architecture": (*host.architecture, *shape),
    }
    return TRAINER_REGISTRY.register()(type(f"{host.__name__}DePT", (DePT, host), body))


CoOpDePT, KgCoOpDePT, MaPLeDePT, PromptSRCDePT = map(with_dept, (CoOp, KgCoOp, MaPLe, PromptSRC))
