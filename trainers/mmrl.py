"""MMRL: Multi-Modal Representation Learning for Vision-Language Models (Guo and Gu, CVPR 2025)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from yacs.config import CfgNode

from clipkit import normalize
from dassl.config.domains import NOT_NEGATIVE, SHARE, list_of, whole
from dassl.engine import TRAINER_REGISTRY

from .losses import cosine_distance
from .parts.inserted_tokens import REG_WEIGHT_OF_DATASET, InsertedTokens
from .shared.domains import declare
from .shared.situation import situation

N = "TRAINER.MMRL."
FUSED = ("base", "fs", "cd_source")  # where the test adds the representation branch; elsewhere z alone


class RepresentationLearner(nn.Module):
    """Shared tokens R [K, d_r], and one linear map for each block and tower, equal at the start."""

    def __init__(self, tokens: int, dim: int, layers: list[int], visual_width: int, text_width: int) -> None:
        super().__init__()
        self.layers = layers
        self.compound_rep_tokens = nn.Parameter(0.02 * torch.randn(tokens, dim))
        self.compound_rep_tokens_r2vproj = self._copies(nn.Linear(dim, visual_width))
        self.compound_rep_tokens_r2tproj = self._copies(nn.Linear(dim, text_width))

    def _copies(self, first: nn.Linear) -> nn.ModuleList:
        return nn.ModuleList(copy.deepcopy(first) for _ in self.layers)

    def mapped(self, projections: nn.ModuleList) -> dict[int, Tensor]:
        """{block: F(R) [K, width]}."""
        return {b: f(self.compound_rep_tokens) for b, f in zip(self.layers, projections, strict=True)}


class MultiModalRepresentationLearner(nn.Module):
    """The representation learner, and `image_encoder.proj_rep` [D_v, d], from the image tower to the joint space."""

    def __init__(self, learner: RepresentationLearner, proj_rep: Tensor) -> None:
        super().__init__()
        self.representation_learner = learner
        self.image_encoder = nn.Module()
        self.image_encoder.proj_rep = nn.Parameter(proj_rep)

    def visual_prompts(self) -> dict[int, Tensor]:
        return self.representation_learner.mapped(self.representation_learner.compound_rep_tokens_r2vproj)

    def text_prompts(self) -> dict[int, Tensor]:
        return self.representation_learner.mapped(self.representation_learner.compound_rep_tokens_r2tproj)


@TRAINER_REGISTRY.register()
class MMRL(InsertedTokens):
    """Representation tokens in the upper blocks of both towers; their outputs make a second image feature f_r.

    f_r is trained to fit the task; the class feature f_c is held near CLIP's own. Known classes are tested with both,
    new classes and other datasets with f_c alone.
    """

    node = "TRAINER.MMRL"
    registered_name = "MultiModalRepresentationLearner"
    config_defaults = {
        N + "ALPHA": 0.7,  # weight of the class feature's branch
        N + "REG_WEIGHT": 1.0,  # lambda; the published value of a dataset where there is one
        N + "REP_LAYERS": [6, 7, 8, 9, 10, 11, 12],  # counted from 1
        N + "REP_DIM": 512,  # d_r
        N + "N_REP_TOKENS": 5,  # K
        N + "PREC": "amp",
    }
    config_domains = declare(
        config_defaults,
        {
            "ALPHA": SHARE,
            "REG_WEIGHT": NOT_NEGATIVE,
            "REP_LAYERS": list_of(whole(1), fewest=1),
            "REP_DIM": whole(1),
            "N_REP_TOKENS": whole(1),
        },
    )
    architecture = tuple(N + key for key in ("REP_LAYERS", "REP_DIM", "N_REP_TOKENS"))

    @classmethod
    def dataset_overrides(cls, cfg: CfgNode) -> dict:
        if cfg.TASK == "CD":
            return {N + "REG_WEIGHT": 0.2, N + "REP_DIM": 512} if cfg.DATASET.NAME == "ImageNet" else {}
        weight = REG_WEIGHT_OF_DATASET.get(cfg.DATASET.NAME)
        known = {} if weight is None else {N + "REG_WEIGHT": weight}
        return known | ({N + "REP_DIM": 2048} if cfg.DATASET.NAME == "EuroSAT" else {})

    @classmethod
    def architecture_of(cls, state: dict) -> dict:
        tokens = state.get("representation_learner.compound_rep_tokens")
        return {} if tokens is None else {N + "N_REP_TOKENS": tokens.shape[0], N + "REP_DIM": tokens.shape[1]}

    def build_learner(self) -> MultiModalRepresentationLearner:
        cfg = self.method_cfg()
        self.build_frozen_side(cfg.REP_LAYERS, N + "REP_LAYERS")
        visual, text = self.image_encoder.width, self.text_encoder.width
        learner = RepresentationLearner(cfg.N_REP_TOKENS, cfg.REP_DIM, self.layers, visual, text)
        return MultiModalRepresentationLearner(
            learner, torch.randn(visual, self.image_encoder.embed_dim) * visual**-0.5
        )

    def both_logits(self, f_c: Tensor, tokens: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """z from the class feature, z_r from the representation feature; [B, C] each."""
        f_r = normalize((tokens @ self.projection()).float())
        return self.logits(f_c, text), self.logits(f_r, text)

    def projection(self) -> Tensor:
        """[D_v, d], from the tokens' outputs to the joint space."""
        return self.model.image_encoder.proj_rep

    def fuse(self, z: Tensor, z_r: Tensor) -> Tensor:
        alpha = self.method_cfg().ALPHA
        return alpha * z + (1 - alpha) * z_r

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """alpha L_ce(z) + (1 - alpha) L_ce(z_r) + lambda (L_cos of the image feature + L_cos of the text features)."""
        cfg = self.method_cfg()
        text = self.encode_text()
        f_c, tokens, f_0 = self.image_sides(image, self.model.visual_prompts(), frozen=True)
        z, z_r = self.both_logits(f_c, tokens, text)
        return self.fuse(z, z_r), {
            "ce": cfg.ALPHA * F.cross_entropy(z, label),
            "ce_rep": (1 - cfg.ALPHA) * F.cross_entropy(z_r, label),
            "reg": cfg.REG_WEIGHT * (cosine_distance(f_c, f_0) + cosine_distance(text, self.f_t0)),
        }

    def test_logits(self, image: Tensor) -> dict[str, Tensor]:
        """z, and z fused with z_r."""
        f_c, tokens = self.test_sides(image)
        z, z_r = self.both_logits(f_c, tokens, self.text_features())
        return {"class_feature": z, "fused": self.fuse(z, z_r)}

    @property
    def answer_name(self) -> str:
        """Fused on known classes, z on new ones."""
        return "fused" if situation(self.cfg) in FUSED else "class_feature"
