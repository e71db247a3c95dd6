"""MaPLe and CoPrompt: deep text prompts, and image prompts that are linear functions of them."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from .base import PlainMethod, cosine_loss
from .towers import frozen_image, replace_first, replace_last, text_tower, vision_tower


class MaPLe(PlainMethod):
    """Khattak et al., CVPR 2023: deep text prompts, from which linear layers compute the image prompts."""

    def linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.p[f"prompt_learner.{name}.weight"], self.p[f"prompt_learner.{name}.bias"])

    def text_prompts(self) -> dict[int, Tensor]:
        """{block 2..J: prompts [n, D_t]}."""
        start = "prompt_learner.compound_prompts_text."
        return {int(key[len(start) :]) + 2: t for key, t in self.p.items() if key.startswith(start)}

    def image_prompts(self) -> dict[int, Tensor]:
        """{block 2..J: prompts [n, D_v]}."""
        named = {b: f"compound_prompt_projections.{b - 2}" for b in self.text_prompts()}
        return {b: self.linear(t, named[b]) for b, t in self.text_prompts().items()}

    def encode_text(self) -> Tensor:
        """[C, d], normalised."""
        ctx = self.p["prompt_learner.ctx"]
        words = str(self.settings["CTX_INIT"] or "") if len(ctx) <= 4 else ""
        embeddings, eot = self.with_context(self.prompt_texts(len(ctx), words), ctx)
        return self.output(text_tower(self.clip, embeddings, eot, replace_first(self.text_prompts())), "text")

    def image_features(self, image: Tensor) -> Tensor:
        first = self.linear(self.p["prompt_learner.ctx"], "proj")
        return self.output(vision_tower(self.clip, image, first, replace_last(self.image_prompts())), "image")

    def output(self, features: Tensor, side: str) -> Tensor:
        """The features that are compared, from the output of a tower (side "image" or "text")."""
        return F.normalize(features, dim=-1)

    def logits(self, image: Tensor) -> Tensor:
        return self.cosines(self.image_features(image), self.encode_text())

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        return {"ce": F.cross_entropy(self.logits(image), label)}


class CoPrompt(MaPLe):
    """Roy and Etemad, ICLR 2024: MaPLe with adapters, kept near frozen CLIP's features of another view and a sentence.

    texts: {class name: sentences}; `description` is the index p of the sentence, modulo the class's number of
    sentences.
    """

    description = 0
    share = {"image": 0.1, "text": 0.2}  # weight of the adapter's output in the feature

    def output(self, features: Tensor, side: str) -> Tensor:
        """share A(x) + (1 - share) x, normalised; A(x) = ReLU(W2 ReLU(W1 x))."""
        hidden = F.relu(F.linear(features, self.p[f"adapter_{side}.fc.0.weight"]))
        adapted = F.relu(F.linear(hidden, self.p[f"adapter_{side}.fc.2.weight"]))
        return F.normalize(self.share[side] * adapted + (1 - self.share[side]) * features, dim=-1)

    def described(self) -> Tensor:
        """G[p]: [C, d], normalised features of sentence p of each class."""
        p = self.description

        def encode() -> Tensor:
            lists = [self.texts[name] for name in self.names]
            return self.frozen_features([sentences[p % len(sentences)] for sentences in lists])

        return self.fixed(f"sentence {p}", encode)

    def loss_terms(self, image: list[Tensor], label: Tensor) -> dict[str, Tensor]:
        x1, x2 = image
        f, t = self.image_features(x1), self.encode_text()
        G, f_0 = self.described(), frozen_image(self.clip, x2)
        distance = cosine_loss if self.settings["DISTILL"] == "cosine" else F.mse_loss
        W = self.settings["W"]
        ce = F.cross_entropy(self.cosines(f, t), label)
        return {"ce": ce, "text": W * distance(t, G), "image": W * distance(f, f_0)}
