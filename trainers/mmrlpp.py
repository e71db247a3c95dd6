"""MMRL++: Parameter-Efficient and Interaction-Aware Representation Learning for Vision-Language Models (Guo and Gu)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from dassl.engine import TRAINER_REGISTRY

from .mmrl import MMRL
from .parts.mmrlpp_config import (
    BETA_OF_TARGET,
    CONFIG_DEFAULTS,
    CONFIG_DOMAINS,
    CROSS_DATASET,
    SETTINGS_OF_DATASET,
    N,
)


class LowRank(nn.Module):
    """A B [rows, columns]: A random, B zero, so that the product is zero at the start. bias: its start value, if
    any."""

    def __init__(self, rows: int, columns: int, rank: int, bias: Tensor | None = None) -> None:
        super().__init__()
        self.A, self.B = nn.Parameter(torch.empty(rows, rank)), nn.Parameter(torch.zeros(rank, columns))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        if bias is not None:
            self.bias = nn.Parameter(bias.clone())

    def forward(self) -> Tensor:
        return self.A @ self.B


class SharedMap(nn.Module):
    """The maps of one tower: a shared matrix W [d_out, d_r], and for each layer a low-rank residual and a bias."""

    def __init__(self, dim: int, width: int, rank: int, layers: int) -> None:
        super().__init__()
        first = nn.Linear(dim, width)
        self.weight = first.weight
        self.srra = nn.ModuleList(LowRank(width, dim, rank, first.bias.detach()) for _ in range(layers))

    def forward(self, tokens: Tensor) -> list[Tensor]:
        """R [K, d_r] -> R (W + A_l B_l)^T + b_l [K, width] of each layer l."""
        return [tokens @ (self.weight + layer()).t() + layer.bias for layer in self.srra]


class MultiModalRepresentationLearner(nn.Module):
    """R [K, d_r], its maps into both towers, and `image_encoder`: the low-rank residual of CLIP's own projection."""

    def __init__(self, cfg: CfgNode, layers: list[int], widths: tuple[int, int], dim: int) -> None:
        super().__init__()
        self.layers = layers
        learner, visual, text = nn.Module(), *widths
        learner.compound_rep_tokens = nn.Parameter(0.02 * torch.randn(cfg.N_REP_TOKENS, cfg.REP_DIM))
        learner.srra_r2vproj = SharedMap(cfg.REP_DIM, visual, cfg.RES_LORA_DIM, len(layers))
        learner.srra_r2tproj = SharedMap(cfg.REP_DIM, text, cfg.RES_LORA_DIM, len(layers))
        self.representation_learner = learner
        self.image_encoder = LowRank(visual, dim, cfg.PROJ_LORA_DIM)

    def visual_prompts(self) -> dict[int, Tensor]:
        """{block: its tokens [K, D_v]}."""
        return self._mapped(self.representation_learner.srra_r2vproj)

    def text_prompts(self) -> dict[int, Tensor]:
        return self._mapped(self.representation_learner.srra_r2tproj)

    def _mapped(self, maps: SharedMap) -> dict[int, Tensor]:
        return dict(zip(self.layers, maps(self.representation_learner.compound_rep_tokens), strict=True))


@TRAINER_REGISTRY.register()
class MMRLpp(MMRL):
    """MMRL with shared, low-rank maps, CLIP's own projection for the representation feature, and tokens that blend new
    ones (share BETA) with the previous block's outputs.

    BETA is that of the training run, also on other datasets. `TARGET_BETA` uses the value published for each target
    dataset, which can only have been chosen on its test images; results.json then says so.
    """

    node = "TRAINER.MMRLpp"
    config_defaults = CONFIG_DEFAULTS
    config_domains = CONFIG_DOMAINS
    architecture = tuple(
        N + key for key in ("REP_LAYERS", "REP_DIM", "N_REP_TOKENS", "PROJ_LORA_DIM", "RES_LORA_DIM", "BETA")
    )

    @classmethod
    def dataset_overrides(cls, cfg: CfgNode) -> dict:
        name = cfg.DATASET.NAME
        if cfg.TASK == "CD" and name != "ImageNet":
            return {}
        settings = CROSS_DATASET if cfg.TASK == "CD" else SETTINGS_OF_DATASET.get(name)
        return {} if settings is None else {N + "BETA": settings[0], N + "REG_WEIGHT": settings[1]}

    @classmethod
    def architecture_of(cls, state: dict) -> dict:
        """As MMRL's. BETA is not in published files, so the config's value is used."""
        tokens = state.get("representation_learner.compound_rep_tokens")
        proj, residual = state.get("image_encoder.A"), state.get("representation_learner.srra_r2vproj.srra.0.A")
        if tokens is None or proj is None or residual is None:
            return {}
        shape = {"N_REP_TOKENS": tokens.shape[0], "REP_DIM": tokens.shape[1]}
        shape |= {"PROJ_LORA_DIM": proj.shape[1], "RES_LORA_DIM": residual.shape[1]}
        return {N + key: value for key, value in shape.items()}

    def build_learner(self) -> MultiModalRepresentationLearner:
        cfg = self.method_cfg()
        self.build_frozen_side(cfg.REP_LAYERS, N + "REP_LAYERS")
        self.proj = self.image_encoder.projection()
        widths = self.image_encoder.width, self.text_encoder.width
        return MultiModalRepresentationLearner(cfg, self.layers, widths, self.image_encoder.embed_dim)

    def projection(self) -> Tensor:
        """CLIP's own, and A B."""
        return self.proj + self.model.image_encoder()

    def token_weight(self) -> float:
        cfg, name = self.method_cfg(), self.cfg.DATASET.NAME
        if not (cfg.TARGET_BETA and self.cfg.TASK == "CD" and name in BETA_OF_TARGET):
            return cfg.BETA
        self.record["beta_of_the_target"] = BETA_OF_TARGET[name]
        return BETA_OF_TARGET[name]
