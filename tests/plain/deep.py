"""Methods with separate deep prompts in each tower, replaced at every block: VPT, IVLP, PromptSRC."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from datasets.templates import FULL80

from .base import PlainMethod
from .towers import frozen_text, replace_first, replace_last, text_tower, vision_tower


class DeepPrompts(PlainMethod):
    """A method with deep prompts, which are read from `state`; a tower without prompts there is frozen CLIP's."""

    def blocks(self, tower: str) -> dict[int, Tensor]:
        """{block, counted from 1: its prompts [n, D]}, from block 2 on. Keys of `state` count blocks from 0."""
        start, end = f"{tower}.transformer.resblocks.", ".VPT_shallow"
        found = {key[len(start) : -len(end)]: t for key, t in self.p.items() if key.startswith(start)}
        return {int(number) + 1: tensor for number, tensor in found.items()}

    def image_features(self, image: Tensor) -> Tensor:
        if "image_encoder.VPT" not in self.p:
            return super().image_features(image)
        prompts = replace_last(self.blocks("image_encoder"))
        return F.normalize(vision_tower(self.clip, image, self.p["image_encoder.VPT"], prompts), dim=-1)

    def encode_text(self) -> Tensor:
        """[C, d], normalised."""
        ctx = self.p["prompt_learner.ctx"]
        words = str(self.settings["CTX_INIT"] or "") if len(ctx) <= 4 else ""
        embeddings, eot = self.with_context(self.prompt_texts(len(ctx), words), ctx)
        return F.normalize(text_tower(self.clip, embeddings, eot, replace_first(self.blocks("text_encoder"))), dim=-1)

    def logits(self, image: Tensor) -> Tensor:
        return self.cosines(self.image_features(image), self.encode_text())

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        return {"ce": F.cross_entropy(self.logits(image), label)}


class VPT(DeepPrompts):
    """Jia et al., ECCV 2022, as a prompt of CLIP's image tower; the text stays `a photo of a <name>.`"""

    def encode_text(self) -> Tensor:
        texts = self.prompt_texts(0, str(self.settings["CTX_INIT"]))
        return self.fixed("text", lambda: self.frozen_features(texts))


class IVLP(DeepPrompts):
    """Independent vision-language prompts (Rasheed et al., CVPR 2023); without vision prompts: language only."""


class PromptSRC(DeepPrompts):
    """Khattak et al., ICCV 2023: IVLP with losses that keep features and logits near those of frozen CLIP."""

    def template_mean(self) -> Tensor:
        """[C, d]: normalised mean over 60 templates of features that are not normalised."""
        features = [frozen_text(self.clip, [t.format(name) for name in self.names]) for t in FULL80[:60]]
        return F.normalize(sum(features) / len(features), dim=-1)

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        f, t = self.image_features(image), self.encode_text()
        f_0, w_0 = PlainMethod.image_features(self, image), self.fixed("w_0", self.template_mean)
        z, z_zs = self.cosines(f, t), self.cosines(f_0, w_0)
        kl = (z_zs.softmax(-1) * (z_zs.log_softmax(-1) - z.log_softmax(-1))).sum() / z.numel()
        return {
            "ce": F.cross_entropy(z, label),
            "scl_text": self.settings["TEXT_LOSS_WEIGHT"] * (t - w_0).abs().mean(),
            "scl_image": self.settings["IMAGE_LOSS_WEIGHT"] * (f - f_0).abs().mean(),
            "scl_logits": kl,
        }


def gaussian_average(states: list[dict[str, Tensor]], mean: float, std: float) -> dict[str, Tensor]:
    """PromptSRC's aggregation: the weighted mean of the states after epochs 1, 2, ..., weights a Gaussian of sum 1."""
    raw = [2.718281828459045 ** (-((epoch - mean) ** 2) / (2 * std**2)) for epoch in range(1, len(states) + 1)]
    return {key: sum(w / sum(raw) * s[key] for w, s in zip(raw, states, strict=True)) for key in states[0]}
