"""Methods that change weights of the towers: the stock CLIP with other tensors in the place of some of its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from clipkit import tokenize

from .base import PlainMethod


class Weights(PlainMethod):
    """The text is "a photo of a {name}." on every dataset."""

    def weights(self) -> dict[str, Tensor]:
        """{name in CLIP: tensor}, of those that are not its own."""
        raise NotImplementedError

    def tokens(self) -> Tensor:
        texts = [f"a photo of a {name}." for name in self.names]
        return self.fixed("tokens", lambda: tokenize(texts).to(self.scale.device), stand_in=False)

    def logits(self, image: Tensor) -> Tensor:
        return functional_call(self.clip, self.weights(), (image, self.tokens()))[0]

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        return {"ce": F.cross_entropy(self.logits(image), label)}


class CLIPLoRA(Weights):
    """Zanella and Ben Ayed, CVPR 2024 workshops: W + alpha / sqrt(r) B A. Without dropout."""

    def weights(self) -> dict[str, Tensor]:
        towers = ("transformer.resblocks.", "visual.transformer.resblocks.")
        own = dict(self.clip.named_parameters())
        places = [f"{t}{i}.attn.in_proj_weight" for t in towers for i in range(len(self.clip.get_submodule(t[:-1])))]
        return {place: self.merged(own[place], layer) for layer, place in enumerate(places)}

    def merged(self, weight: Tensor, layer: int) -> Tensor:
        s = self.settings["ALPHA"] / math.sqrt(self.settings["R"])
        delta = [self.p[f"layer_{layer}.{x}_proj.w_lora_B"] @ self.p[f"layer_{layer}.{x}_proj.w_lora_A"] for x in "qkv"]
        return weight + s * torch.cat(delta)


class TwoSFS(Weights):
    """Farina et al., CVPR 2025: the blocks' layer norms, then a linear head; with ALPHA 0 the second stage alone."""

    def parameters(self) -> dict[str, Tensor]:
        second = self.settings["ALPHA"] == 0
        return {key: tensor for key, tensor in self.p.items() if (key == "head") == second}

    def weights(self) -> dict[str, Tensor]:
        return {key: tensor for key, tensor in self.p.items() if key != "head"}

    def by_head(self, image: Tensor) -> Tensor:
        weights = {k.removeprefix("visual."): t for k, t in self.weights().items() if k.startswith("visual.")}
        return self.cosines(functional_call(self.clip.visual, weights, image), self.p["head"])

    def logits(self, image: Tensor) -> Tensor:
        """Of classes that the head knows."""
        return self.by_head(image)

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        z = self.by_head(image) if self.settings["ALPHA"] == 0 else super().logits(image)
        return {"ce": F.cross_entropy(z, label)}
