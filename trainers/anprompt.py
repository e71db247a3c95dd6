"""ANPrompt: Anti-noise Prompt Tuning for Vision-Language Models (Gao et al. 2025, arXiv 2508.04677).

Where the paper is silent or contradicts itself, the choice is a config key; docs/anprompt.md lists them.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from yacs.config import CfgNode

from clipkit import normalize
from dassl.engine import TRAINER_REGISTRY

from .losses import cosine_distance, kl_divergence, variance_weight
from .parts.anprompt_config import CONFIG_DEFAULTS, CONFIG_DOMAINS, SIM_W_CROSS_DATASET, SIM_W_OF_DATASET
from .parts.inserted_tokens import InsertedTokens
from .parts.weak_noise import WeakNoiseText
from .shared.situation import situation


class PromptLearner(nn.Module):
    """Everything that ANPrompt learns, and the noise prompts P_w, which are made once and saved in the checkpoint.

    ctx [T, D]: P_c; noise_ctx [T, D]: P_w (buffer); visual_fc / text_fc: the FC layers of each injection layer
    (or one shared by all); nrvpp_proj [D_v, D]: from the vision tower's width to the joint space (Eq. 4).
    """

    def __init__(
        self,
        noise_ctx: Tensor,
        eps: float,
        layers: list[int],
        per_layer: bool,
        nrvpp_proj: Tensor,
        text_width: int,
    ) -> None:
        super().__init__()
        count = len(layers) if per_layer else 1
        self.ctx = nn.Parameter(0.02 * torch.randn_like(noise_ctx))
        self.register_buffer("noise_ctx", noise_ctx)
        self.eps, self.layers = eps, layers
        self.nrvpp_proj = nn.Parameter(nrvpp_proj)
        self.visual_fc = self._projections(noise_ctx.shape[1], nrvpp_proj.shape[0], count)
        self.text_fc = self._projections(noise_ctx.shape[1], text_width, count)

    @staticmethod
    def _projections(d_in: int, d_out: int, count: int) -> nn.ModuleList:
        """`count` copies of one initial layer: every injection layer starts from the same mapping."""
        first = nn.Linear(d_in, d_out)
        return nn.ModuleList([copy.deepcopy(first) for _ in range(count)])

    def visual_prompts(self) -> dict[int, Tensor]:
        """{block: P_a^image [T, D_v]} for the injection layers (Eq. 8, then the image tower's FC layers)."""
        return self._project(self.visual_fc)

    def text_prompts(self) -> dict[int, Tensor]:
        """{block: P_a^text [T, D_t]} for the injection layers."""
        return self._project(self.text_fc)

    def _project(self, fc: nn.ModuleList) -> dict[int, Tensor]:
        p_a = self.ctx + self.eps * self.noise_ctx  # Eq. 8
        return {block: fc[i % len(fc)](p_a) for i, block in enumerate(self.layers)}


@TRAINER_REGISTRY.register()
class ANPrompt(InsertedTokens):
    """Anti-noise prompts: learnable tokens plus weak semantic noise, injected into the deeper blocks of both towers."""

    node = "TRAINER.ANPROMPT"
    config_defaults = CONFIG_DEFAULTS
    config_domains = CONFIG_DOMAINS
    architecture = tuple(f"TRAINER.ANPROMPT.{key}" for key in ("N_TOKENS", "IN_LAYERS", "PROJ_PER_LAYER"))

    @classmethod
    def dataset_overrides(cls, cfg: CfgNode) -> dict:
        weight = SIM_W_CROSS_DATASET if cfg.TASK == "CD" else SIM_W_OF_DATASET.get(cfg.DATASET.NAME)
        return {} if weight is None else {f"{cls.node}.SIM_W": weight}

    def build_learner(self) -> PromptLearner:
        cfg = self.method_cfg()
        self.theta = cfg.THETA
        self.weak_noise = WeakNoiseText(self, cfg)
        self.record["language"] = self.weak_noise.sources()
        self.build_frozen_side(cfg.IN_LAYERS, f"{self.node}.IN_LAYERS")
        self.f_w = self.weak_noise.features(self.described)
        proj = self.image_encoder.projection()
        if cfg.NRVPP_PROJ == "learned_random":
            nn.init.normal_(proj, std=proj.shape[0] ** -0.5)
        eps = cfg.EPS if cfg.ANTI_PROMPT else 0.0
        noise = torch.zeros(cfg.N_TOKENS, self.text_encoder.embed_dim)  # set by `make_noise_ctx` or a checkpoint
        learner = PromptLearner(noise, eps, self.layers, cfg.PROJ_PER_LAYER, proj, self.text_encoder.width)
        learner.nrvpp_proj.requires_grad_(cfg.NRVPP_PROJ != "clip")
        return learner

    def before_train(self) -> None:
        self.make_noise_ctx()
        super().before_train()

    def make_noise_ctx(self) -> None:
        """Makes P_w [T, d], unless it is made already or came from a checkpoint."""
        if not self.model.noise_ctx.any():
            self.model.noise_ctx.copy_(self.weak_noise.prompts(self.described, self.f_w))

    def nrvpp(self, tokens: Tensor) -> Tensor:
        """f_N [B, d]: the noise-resistant visual prompt prototype (Eq. 4), in the joint space."""
        return normalize((tokens @ self.model.nrvpp_proj).float())

    def all_logits(self, f_v: Tensor, f_N: Tensor, f_t: Tensor, f_w: Tensor) -> dict[str, Tensor]:
        """Alignment, robustness, weak-noise (Eq. 5) and final logits, each [B, C]."""
        cfg = self.method_cfg()
        l_A, l_W = self.logits(f_v, f_t), self.logits(f_N, f_w)
        l_R = self.logits(f_N, f_t) if cfg.ROBUST_LOGITS == "rep" else self.logits(f_v, f_w)
        theta = 1.0 if cfg.ROBUST_LOGITS == "none" else self.theta
        return {"align": l_A, "robust": l_R, "weak": l_W, "final": theta * l_A + (1 - theta) * l_R}

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 3: L = L_CE + lambda L_sim + gamma L_WA."""
        cfg = self.method_cfg()
        f_w = self.weak_noise.resampled(self.f_w, self.epoch, self.batch_idx)
        f_t = self.encode_text()
        f_v, tokens, f_v0 = self.image_sides(image, self.model.visual_prompts(), frozen=True)  # Eq. 9
        logits = self.all_logits(f_v, self.nrvpp(tokens), f_t, f_w)
        if cfg.CE_MODE == "fused":
            ce = F.cross_entropy(logits["final"], label)
        else:
            ce = self.theta * F.cross_entropy(logits["align"], label)
            ce = ce + (1 - self.theta) * F.cross_entropy(logits["robust"], label)
        terms = {"ce": ce, "sim": cfg.SIM_W * (cosine_distance(f_v, f_v0) + cosine_distance(f_t, self.f_t0))}
        if cfg.WA_LOSS and cfg.WA_W > 0:
            ref = logits["align" if cfg.WA_REF == "align" else "robust"]
            pair = (ref, logits["weak"]) if cfg.WA_DIRECTION == "ref_to_w" else (logits["weak"], ref)
            gamma = variance_weight(ref, cfg.EPS0)  # Eq. 7
            if cfg.WA_DETACH_GAMMA:
                gamma = gamma.detach()
            terms["wa"] = cfg.WA_W * gamma**cfg.GAMMA_POWER * kl_divergence(*pair)  # Eq. 6
        return logits["final"], terms

    def test_logits(self, image: Tensor) -> dict[str, Tensor]:
        f_v, tokens = self.test_sides(image)
        logits = self.all_logits(f_v, self.nrvpp(tokens), self.text_features(), self.f_w)
        return {kind: logits[kind] for kind in ("align", "robust", "final")}

    @property
    def answer_name(self) -> str:
        """final, align or robust: the setting `TEST_LOGITS` for this kind of test (base, new, ...)."""
        return self.method_cfg().TEST_LOGITS[situation(self.cfg)]
