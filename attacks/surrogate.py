"""The model that transfer attacks are made against: frozen CLIP with one hand-written prompt, in fp32."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from clipkit import ImageEncoder, TextEncoder, fingerprint, normalize
from dassl.utils import check_template

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Surrogate:
    """The attacked function: float32 [B, 3, H, W] in [0, 1] -> logits [B, C]. Text features are computed once."""

    def __init__(
        self,
        clip_model: nn.Module,
        classnames: Sequence[str],
        prompt: str = "a photo of a {}.",
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
    ) -> None:
        check_template(prompt, "ATTACK.PROMPT")
        device = clip_model.logit_scale.device
        self.clip, self.prompt = clip_model, prompt
        self.encoder = ImageEncoder(clip_model)
        self.texts = [prompt.format(name.replace("_", " ")) for name in classnames]
        remedy = "shorten the class name, or ATTACK.PROMPT (--prompt)"
        self.text = TextEncoder(clip_model).encode_texts(self.texts, what="attacker's prompt", remedy=remedy)
        self.scale = clip_model.logit_scale.detach().exp().float()
        self.mean, self.std = (torch.tensor(v, device=device).view(-1, 1, 1) for v in (mean, std))

    def __call__(self, x01: Tensor) -> Tensor:
        return self.scale * normalize(self.embed(x01)) @ self.text.t()

    def embed(self, x01: Tensor) -> Tensor:
        """[B, d], not normalised: the image tower's embeddings of pictures in [0, 1]."""
        return self.encoder((x01 - self.mean) / self.std).float()

    def facts(self) -> dict:
        """The description for the manifest. `id`: a hash over weights (logit scale included), prompts and precision."""
        weights = fingerprint(self.clip)
        digest = hashlib.sha256(json.dumps([weights, self.texts, "fp32"]).encode()).hexdigest()
        return {
            "weights": weights,
            "prompt": self.prompt,
            "precision": "fp32",
            "id": digest,
        }
