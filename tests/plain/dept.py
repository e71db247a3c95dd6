"""Plain DePT: a host's features before normalisation, and a second branch from them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import PlainMethod
from .coop import CoOp, KgCoOp
from .deep import PromptSRC
from .maple import MaPLe


class DePT(PlainMethod):
    """Zhang et al., CVPR 2024: stands before a host. The state's keys are those of the checkpoint."""

    in_training = False

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if "ctx" not in self.p and isinstance(self, CoOp):
            self.p["ctx"] = self.p["prompt_learner.ctx"]

    def parameters(self) -> dict[str, Tensor]:
        return {key: tensor for key, tensor in super().parameters().items() if key != "ctx"}

    def film(self, side: str, x: Tensor) -> Tensor:
        if not self.settings["FILM"]:
            return x
        return self.p[f"film_lp_{side}.scale"] * x + self.p[f"film_lp_{side}.bias"]

    def raw(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Image [B, d] and text features [C, d] before normalisation, by undoing it for the towers that are there."""
        norms = []
        real = F.normalize

        def kept(x: Tensor, *args, **kwargs) -> Tensor:
            norms.append(x)
            return real(x, *args, **kwargs)

        F.normalize = kept
        try:
            self.image_features(image)
            f = norms.pop() if norms else self.clip.encode_image(image)
            norms.clear()
            t = self.encode_text()
            t = norms.pop() if norms else t
        finally:
            F.normalize = real
        return f, t

    def second(self, image: Tensor, text: Tensor) -> Tensor:
        f = self.film("img", image)
        if self.settings["TYPE"] == "similarity":
            return self.cosines(f, self.film("text", text))
        return f @ self.p["linear_probe_proj.weight"].t() + self.p["linear_probe_proj.bias"]

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        self.in_training = True  # hosts make their cross-entropy of `logits`
        w, terms = self.settings["WEIGHT"], super().loss_terms(image, label)
        self.in_training = False
        f, t = self.raw(image)
        own = F.cross_entropy(self.second(f, t), label)
        if self.settings["TYPE"] == "linear":
            rows = torch.stack([self.film("text", t[y]) for y in label.tolist()])
            z = rows @ self.p["linear_probe_proj.weight"].t() + self.p["linear_probe_proj.bias"]
            own = (own + F.cross_entropy(z, label)) / 2
        return terms | {"ce": (1 - w) * terms["ce"], "head": w * own}

    def logits(self, image: Tensor) -> Tensor:
        z, w = super().logits(image), self.settings["WEIGHT"]
        if self.in_training or self.settings["SUBSAMPLE_CLASSES"] == "new" or not self.settings["TEST_TIME_FUSION"]:
            return z
        return (1 - w) * z + w * self.second(*self.raw(image))


def with_dept(host: type[PlainMethod]) -> type[PlainMethod]:
    return type(f"{host.__name__}DePT", (DePT, host), {})


HOSTS = {f"{host.__name__}DePT": with_dept(host) for host in (CoOp, KgCoOp, MaPLe, PromptSRC)}
