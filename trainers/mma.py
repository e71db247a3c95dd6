"""MMA: Multi-Modal Adapter for Vision-Language Models (Yang et al., CVPR 2024)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

from clipkit import BlockChange, ImageEncoder, SplitText, TextEncoder, normalize
from dassl.config.domains import OPTIONAL, POSITIVE, whole
from dassl.engine import TRAINER_REGISTRY

from .base import PromptTrainer
from .context import context_words
from .shared.checks import check_blocks, check_vit
from .shared.domains import declare

N = "TRAINER.MMADAPTER."


class ScaledGradient(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a factor."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.factor * grad, None


def kaiming(d_in: int, d_out: int) -> nn.Linear:
    """A linear map with kaiming-normal weights (fan out) and no bias at the start."""
    linear = nn.Linear(d_in, d_out)
    nn.init.kaiming_normal_(linear.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(linear.bias)
    return linear


class Adapter(nn.Module):
    """down, ReLU, the map that both towers share, ReLU, up."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.down, self.up = nn.Sequential(kaiming(width, dim), nn.ReLU()), kaiming(dim, width)

    def forward(self, x: Tensor, shared: nn.Module) -> Tensor:
        return self.up(shared(self.down(x)))


class AdapterLearner(nn.Module):
    """Adapters of the blocks `start` .. `end` of both towers; keys name the block, counted from 1."""

    def __init__(self, blocks: range, text_width: int, visual_width: int, dim: int, scale: float) -> None:
        super().__init__()
        self.blocks, self.scale = blocks, scale
        self.text_adapter = nn.ModuleDict({str(b): Adapter(text_width, dim) for b in blocks})
        self.visual_adapter = nn.ModuleDict({str(b): Adapter(visual_width, dim) for b in blocks})
        self.shared_adapter = nn.ModuleDict({str(b): nn.Sequential(kaiming(dim, dim), nn.ReLU()) for b in blocks})

    def beside(self, adapter: Adapter, shared: nn.Module) -> Callable[[Tensor], Tensor]:
        """s * adapter(h), h the block's input after ln_1. The adapter's weights get their gradient as if s were 1; the
        layers below it get the true one. The published code does so: with s = 0.001 the adapter would hardly learn."""

        def added(h: Tensor) -> Tensor:
            out = self.scale * adapter(ScaledGradient.apply(h, self.scale).to(adapter.up.weight.dtype), shared)
            return ScaledGradient.apply(out, 1 / self.scale).to(h.dtype)

        return added

    def changes(self, adapters: nn.ModuleDict) -> dict[int, BlockChange]:
        """{block: what is added beside it}."""
        shared = self.shared_adapter
        return {b: BlockChange(beside=self.beside(adapters[str(b)], shared[str(b)])) for b in self.blocks}


@TRAINER_REGISTRY.register()
class MMA(PromptTrainer):
    """Adapters in the upper blocks of both towers, which share a small map in each block. The text is "a photo of a" on
    every dataset. The lower blocks are frozen: they run once for texts, and without an autograd graph for images."""

    node = "TRAINER.MMADAPTER"
    registered_name = "adapter_learner"
    config_defaults = {
        N + "TEXT_CTX_INIT": "a photo of a",
        N + "ADAPTER_START": 5,  # counted from 1
        N + "ADAPTER_END": 12,
        N + "ADAPTER_DIM": 32,
        N + "ADAPTER_SCALE": 0.001,  # s
        N + "PREC": "amp",
    }
    config_domains = declare(
        config_defaults,
        {
            "TEXT_CTX_INIT": OPTIONAL,
            "ADAPTER_START": whole(1),
            "ADAPTER_END": whole(1),
            "ADAPTER_DIM": whole(1),
            "ADAPTER_SCALE": POSITIVE,
        },
    )
    architecture = tuple(key for key in config_defaults if "PREC" not in key)
    frozen_image_encoder = False
    images_read_no_names = True

    def build_learner(self) -> AdapterLearner:
        cfg, backbone = self.method_cfg(), self.cfg.MODEL.BACKBONE
        check_vit(self, "puts adapters beside the image tower's blocks")
        depth, blocks = (
            min(self.image_encoder.depth, self.text_encoder.depth),
            range(cfg.ADAPTER_START, cfg.ADAPTER_END + 1),
        )
        check_blocks(N + "ADAPTER_START to ADAPTER_END", list(blocks), depth, backbone.get("PATH", "") or backbone.NAME)
        widths = self.text_encoder.width, self.image_encoder.width
        learner = AdapterLearner(blocks, *widths, cfg.ADAPTER_DIM, cfg.ADAPTER_SCALE)
        self.first = blocks[0]
        self.text_with_adapters: TextEncoder = self.text_encoder.changed(learner.changes(learner.text_adapter))
        self.image_with_adapters: ImageEncoder = self.image_encoder.changed(learner.changes(learner.visual_adapter))
        self.lower_text = self.prepare_names(self.classnames)
        return learner

    def prepare_names(self, names: list[str]) -> SplitText:
        """The names' texts, through the blocks below the adapters."""
        words = context_words(self.method_cfg().TEXT_CTX_INIT)
        texts = self.text_encoder.split_texts([f"{words} {name}.".strip() for name in names])
        return texts if self.first == 1 else self.text_encoder.lower(texts, until=self.first - 1)

    def encode_names(self, prepared: SplitText) -> Tensor:
        return normalize(self.text_with_adapters.encode(prepared, start_block=self.first).float())

    def encode_text(self) -> Tensor:
        return self.encode_names(self.lower_text)

    def encode_image(self, image: Tensor) -> Tensor:
        x = image.type(self.image_encoder.dtype)
        if self.first > 1:
            x = self.image_encoder.lower(x, until=self.first - 1)
        return normalize(self.image_with_adapters(x, start_block=self.first).float())

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self.logits(self.encode_image(image), self.encode_text())
        return logits, {"ce": F.cross_entropy(logits, label)}
