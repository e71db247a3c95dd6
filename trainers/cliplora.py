"""CLIP-LoRA: Low-Rank Few-Shot Adaptation of Vision-Language Models (Zanella and Ben Ayed, CVPR 2024 workshops)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import BlockChange, ImageEncoder, SplitText, TextEncoder, derive_seed, normalize
from dassl.config.domains import choice, list_of, number, whole
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import seeded

from .parts.step_trainer import StepTrainer
from .shared.checks import check_vit
from .shared.domains import declare

N = "TRAINER.CLIPLORA."
PARTS = ("q", "k", "v")  # in the order of a block's in_proj_weight


class LowRank(nn.Module):
    """Delta W = s B A of one [D, D] matrix: A [r, D] random, B [D, r] zero, so that training starts at CLIP."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.w_lora_A = nn.Parameter(torch.empty(rank, width))
        self.w_lora_B = nn.Parameter(torch.zeros(width, rank))
        nn.init.kaiming_uniform_(self.w_lora_A, a=math.sqrt(5))


class Layer(nn.Module):
    """`q_proj`, `k_proj`, `v_proj`: the updates of one block's attention, those that `parts` names."""

    def __init__(self, width: int, parts: list[str], rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        self.s, self.dropout = alpha / math.sqrt(rank), dropout
        for part in parts:
            self.add_module(f"{part}_proj", LowRank(width, rank))

    def added(self, x: Tensor, first: int, last: int) -> Tensor:
        """s B A drop(x) of the parts first .. last - 1, [N, L, parts * D]; each part drops entries of its own."""
        found = []
        for part in PARTS[first:last]:
            update = getattr(self, f"{part}_proj", None)
            if update is None:
                found.append(torch.zeros_like(x))
                continue
            low = F.linear(F.dropout(x, self.dropout, self.training), update.w_lora_A.to(x.dtype))
            found.append(self.s * F.linear(low, update.w_lora_B.to(low.dtype)))
        return torch.cat(found, dim=-1)

    def merge(self, weight: Tensor) -> Tensor:
        """W + s B A, [3 D, D], from the block's own W."""
        updates = [getattr(self, f"{part}_proj", None) for part in PARTS]
        deltas = [w if u is None else w + self.s * u.w_lora_B @ u.w_lora_A
                  for w, u in zip(weight.float().chunk(3), updates, strict=True)]  # fmt: skip
        return torch.cat(deltas).to(weight.dtype)


@TRAINER_REGISTRY.register()
class CLIPLoRA(StepTrainer):
    """Low-rank updates of queries, keys and values in every block of both towers; the text is "a photo of a" on every
    dataset. At test the updates are merged into the weights.

    They are scaled by `ALPHA` / sqrt(`R`), as in the published code, not by ALPHA / R. 500 steps per shot, for any
    number of classes.
    """

    node = "TRAINER.CLIPLORA"
    registered_name = "lora"
    config_defaults = {
        N + "R": 2,
        N + "ALPHA": 1.0,
        N + "DROPOUT": 0.25,
        N + "ENCODER": "both",  # both | text | vision
        N + "PARAMS": ["q", "k", "v"],
        N + "STEPS_PER_SHOT": 500,
        N + "STEPS": 0,  # 0: by STEPS_PER_SHOT
        N + "FIXED_SCALE": False,  # True: logits are 100 times the cosine on every backbone, as in the published code
        N + "PREC": "amp",
    }
    config_domains = declare(
        config_defaults,
        {
            "R": whole(1),
            "ALPHA": number(above=0),
            "DROPOUT": number(least=0, below=1),
            "ENCODER": choice("both", "text", "vision"),
            "PARAMS": list_of(choice(*PARTS), fewest=1),
            "STEPS_PER_SHOT": whole(1),
            "STEPS": whole(),
        },
    )
    architecture = tuple(N + key for key in ("R", "ALPHA", "ENCODER", "PARAMS"))
    frozen_image_encoder = False
    images_read_no_names = True
    rate_at_end = 1e-6

    @classmethod
    def architecture_in(cls, metadata: dict) -> dict:
        """The authors' files have r, alpha, encoder, params."""
        return {N + key.upper(): metadata[key] for key in ("r", "alpha", "encoder", "params") if key in metadata}

    def build_learner(self) -> nn.Module:
        """`layer_<i>`: the blocks of the text tower first, then those of the image tower."""
        cfg, learner = self.method_cfg(), nn.Module()
        if cfg.ENCODER != "text":
            check_vit(self, "changes the attention of the image tower's blocks")
        self.texts = self.prepare_names(self.classnames)
        self.places: list[tuple[str, int]] = []
        for tower, encoder in (("text", self.text_encoder), ("vision", self.image_encoder)):
            for block in range(1, encoder.depth + 1) if cfg.ENCODER in ("both", tower) else ():
                layer = Layer(encoder.width, list(cfg.PARAMS), cfg.R, cfg.ALPHA, cfg.DROPOUT)
                learner.add_module(f"layer_{len(self.places)}", layer)
                self.places.append((tower, block))
        return learner

    def adapted(self) -> tuple[TextEncoder, ImageEncoder]:
        """The two encoders with their updates, which are separate from the weights in training and merged at test."""
        text, image = {}, {}
        for (tower, block), layer in zip(self.places, self.model.children(), strict=True):
            change = BlockChange(added=layer.added, random=layer.dropout > 0)
            if not self.model.training:
                change = BlockChange(merge=layer.merge)
            (text if tower == "text" else image)[block] = change
        with torch.no_grad():
            return self.text_encoder.changed(text), self.image_encoder.changed(image) if image else self.image_encoder

    def encoders(self) -> tuple[TextEncoder, ImageEncoder]:
        return self.once("encoders", self.adapted)

    def prepare_names(self, names: list[str]) -> SplitText:
        return self.text_encoder.split_texts([f"a photo of a {name}." for name in names])

    def encode_names(self, prepared: SplitText) -> Tensor:
        return normalize(self.encoders()[0].encode(prepared).float())

    def encode_text(self) -> Tensor:
        return self.encode_names(self.texts)

    def encode_image(self, image: Tensor) -> Tensor:
        return normalize(self.encoders()[1](image.type(self.image_encoder.dtype)).float())

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with seeded(derive_seed(max(self.cfg.SEED, 0), "dropout", self.epoch, self.batch_idx), cuda=True):
            logits = self.logits(self.encode_image(image), self.encode_text())
        return logits, {"ce": F.cross_entropy(logits, label)}
