"""The base class of the plain methods: their tensors by name, frozen features, logits from cosines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import tokenize
from datasets.templates import custom_template

from .towers import frozen_image, frozen_text


class PlainMethod:
    """One method over the stock CLIP in fp32.

    clip_model: a frozen `clip.model.CLIP` in fp32; settings: the method's config values by their short names
    ("N_CTX"); state: the learner's tensors under the reference's key names, of which learnable clones are made; texts:
    the sentences of methods that read a language cache.
    """

    buffers: tuple[str, ...] = ()  # keys of `state` that are not learnable
    without_gradient: tuple[str, ...] = ()  # learnable keys whose gradient is 0, or which the loss does not meet
    keep_fixed = False  # True: constant features are computed once, as in the published code (for timings)
    stand_ins = False  # True: constant features are random, if only memory is measured

    def __init__(
        self,
        clip_model: nn.Module,
        settings: Mapping[str, object],
        dataset_name: str,
        classnames: Sequence[str],
        state: Mapping[str, Tensor],
        texts: object = None,
    ) -> None:
        self.clip, self.settings, self.dataset = clip_model, settings, dataset_name
        self.names, self.texts = list(classnames), texts
        self._fixed: dict[object, Tensor] = {}
        self.scale = clip_model.logit_scale.detach().exp()
        self.p = {key: tensor.detach().clone().float() for key, tensor in state.items()}
        for key, tensor in self.parameters().items():
            tensor.requires_grad_(True)
            self.p[key] = tensor

    def parameters(self) -> dict[str, Tensor]:
        """The learnable tensors by key."""
        return {key: tensor for key, tensor in self.p.items() if key not in self.buffers}

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        """The paper's terms with their weights; the loss is their sum."""
        raise NotImplementedError

    def logits(self, image: Tensor) -> Tensor:
        """[B, C] at test; the text is encoded at each call."""
        raise NotImplementedError

    def gradients(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        """The gradients of the summed terms, by key."""
        total = sum(self.loss_terms(image, label).values())
        return dict(zip(self.parameters(), torch.autograd.grad(total, list(self.parameters().values())), strict=True))

    # ------------------------------------------------------------------ helpers of the methods

    def cosines(self, image_features: Tensor, text_features: Tensor) -> Tensor:
        """scale * cos, [B, C]."""
        return self.scale * F.normalize(image_features, dim=-1) @ F.normalize(text_features, dim=-1).t()

    def fixed(self, name: object, compute: Callable[[], Tensor], stand_in: bool = True) -> Tensor:
        """`compute()`, cached under `name` if `keep_fixed`. stand_in: whether random text features may replace it."""
        if not self.keep_fixed:
            return compute()
        if name not in self._fixed:
            self._fixed[name] = self.random_features() if self.stand_ins and stand_in else compute()
        return self._fixed[name]

    def random_features(self) -> Tensor:
        shape = (len(self.names), self.clip.text_projection.shape[1])
        return F.normalize(torch.randn(shape, device=self.scale.device), dim=-1)

    def new_test(self) -> None:
        """Remove the text features that are cached for one test."""
        self._fixed.pop("text at test", None)

    def frozen_features(self, texts: Sequence[str]) -> Tensor:
        """[N, d], normalised: the frozen text tower on whole sentences."""
        return F.normalize(frozen_text(self.clip, texts), dim=-1)

    def template_features(self, style: str) -> Tensor:
        """[C, d], normalised: the frozen tower on the dataset's hand-written template."""
        template = custom_template(self.dataset, style)
        return self.fixed(style, lambda: self.frozen_features([template.format(name) for name in self.names]))

    def image_features(self, image: Tensor) -> Tensor:
        """[B, d], normalised, frozen."""
        return frozen_image(self.clip, image)

    def embed(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token embeddings [C, 77, D_t] and end positions [C]."""
        tokens = self.fixed(tuple(texts), lambda: tokenize(texts).to(self.scale.device), stand_in=False)
        with torch.no_grad():
            return self.clip.token_embedding(tokens), tokens.argmax(dim=-1)

    def with_context(self, texts: Sequence[str], ctx: Tensor) -> tuple[Tensor, Tensor]:
        """The texts' embeddings with positions 1..M overwritten by `ctx` [M, D_t], and their end positions."""
        embeddings, eot = self.embed(texts)
        prefix, suffix = embeddings[:, :1], embeddings[:, 1 + len(ctx) :]
        return torch.cat([prefix, ctx.expand(len(texts), -1, -1), suffix], dim=1), eot

    def prompt_texts(self, n_ctx: int, ctx_init: str) -> list[str]:
        """`<words> <name>.`: initial words if there are any, else as many X as there are context tokens."""
        words = ctx_init.replace("_", " ").strip() or " ".join(["X"] * n_ctx)
        return [f"{words} {name}." for name in self.names]


def cosine_loss(a: Tensor, b: Tensor) -> Tensor:
    """1 - mean of the rows' cosines."""
    return 1.0 - F.cosine_similarity(a, b, dim=-1).mean()
