"""Methods that change weights of the towers: the stock CLIP with other tensors in the place of some of its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from clipkit import tokenize

from .base import PlainMethod


class CLIPLoRA(PlainMethod):
    """Zanella and Ben Ayed, CVPR 2024 workshops: W + alpha / sqrt(r) B A. Without dropout."""

    def weights(self) -> dict[str, Tensor]:
        """{name in CLIP: tensor}, of those that are not its own."""
        towers = ("transformer.resblocks.", "visual.transformer.resblocks.")
        own = dict(self.clip.named_parameters())
        places = [f"{t}{i}.attn.in_proj_weight" for t in towers for i in range(len(self.clip.get_submodule(t[:-1])))]
        return {place: self.merged(own[place], layer) for layer, place in enumerate(places)}

    def merged(self, weight: Tensor, layer: int) -> Tensor:
        s = self.settings["ALPHA"] / math.sqrt(self.settings["R"])
        delta = [self.p[f"layer_{layer}.{x}_proj.w_lora_B"] @ self.p[f"layer_{layer}.{x}_proj.w_lora_A"] for x in "qkv"]
        return weight + s * torch.cat(delta)

    def tokens(self) -> Tensor:
        texts = [f"a photo of a {name}." for name in self.names]
        return self.fixed("tokens", lambda: tokenize(texts).to(self.scale.device), stand_in=False)

    def logits(self, image: Tensor) -> Tensor:
        return functional_call(self.clip, self.weights(), (image, self.tokens()))[0]

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        return {"ce": F.cross_entropy(self.logits(image), label)}
