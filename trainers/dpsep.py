"""DP-SEP: dual-polarity prompts with stochastic entropy perturbation, against label noise.

Equation numbers are the paper's. Where its text contradicts itself, a config key chooses the reading.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import ContextPrompts, InputError, derive_seed, normalize
from dassl.engine import TRAINER_REGISTRY

from .base import PromptTrainer
from .context import start_context, words_and_length
from .label_noise.derangement import derangement
from .parts.dpsep_config import ARCHITECTURE, CONFIG_DEFAULTS, CONFIG_DOMAINS, NODE
from .parts.pair_similarity import pair_similarities

LOG_FLOOR = -13.815510558  # log 1e-6: lower bound of log p in the perturbation's term


class PromptLearner(nn.Module):
    """`ctx_pos` [n, width] in front of the right class names, `ctx_neg` [m, width] in front of wrong ones (Eq. 1)."""

    def __init__(self, ctx_pos: Tensor, ctx_neg: Tensor, prompts: ContextPrompts, negative: ContextPrompts) -> None:
        super().__init__()
        self.ctx_pos, self.ctx_neg = nn.Parameter(ctx_pos), nn.Parameter(ctx_neg)
        self.prompts, self.negative_prompts = prompts, negative


@TRAINER_REGISTRY.register()
class DPSEP(PromptTrainer):
    """A positive and a negative context. An image shall be more similar to its class under the first than to a random
    wrong class under the second; the target combines the label with the model's own, perturbed prediction.

    All C prompts of both polarities are encoded once per step, in the order of labels: the wrong pairing pi permutes
    rows.
    """

    node = NODE
    config_defaults = CONFIG_DEFAULTS
    config_domains = CONFIG_DOMAINS
    architecture = ARCHITECTURE
    trains_on_features = True
    stacks = True

    def build_learner(self) -> PromptLearner:
        cfg = self.method_cfg()
        if len(self.classnames) < 2:
            raise InputError("DPSEP pairs each class with a wrong one and needs at least two classes.")
        words, n = words_and_length(cfg)
        m = n if words else cfg.N_CTX_NEG or n
        prompts, ctx_pos = start_context(self.clip, self.classnames, n, words)
        negative, ctx_neg = (prompts, None) if m == n else start_context(self.clip, self.classnames, m, "")
        if ctx_neg is None:
            ctx_neg = ctx_pos.clone() if words else 0.02 * torch.randn_like(ctx_pos)
        return PromptLearner(ctx_pos, ctx_neg, prompts, negative)

    # ------------------------------------------------------------------ text

    def prepare_names(self, names: list[str]) -> ContextPrompts:
        return self.model.prompts.for_names(names)

    def encode_names(self, prepared: ContextPrompts) -> Tensor:
        return normalize(self.text_encoder.encode(prepared.split(self.model.ctx_pos)).float())

    def encode_text(self) -> Tensor:
        """z^pos [C, d]."""
        return self.encode_names(self.model.prompts)

    def encode_both(self) -> tuple[Tensor, Tensor]:
        """z^pos and z^neg [C, d], both in the order of labels; one text batch where the contexts have equal lengths."""
        model = self.model
        if model.negative_prompts is not model.prompts:
            negative = self.text_encoder.encode(model.negative_prompts.split(model.ctx_neg))
            return self.encode_text(), normalize(negative.float())
        both = torch.stack([model.ctx_pos, model.ctx_neg])[:, None]  # [2, 1, n, width]: the names' ends are shared
        z = normalize(self.text_encoder.encode(model.prompts.split(both)).float())
        return z[0], z[1]

    def wrong_partner(self) -> Tensor:
        """pi [C]: for each class another one (Eq. 1); from seed, epoch and step alone."""
        mode, classes = self.method_cfg().PI_MODE, len(self.classnames)
        if mode == "shift":
            return (torch.arange(classes, device=self.device) + 1) % classes
        moment = {"iter": (self.epoch, self.batch_idx), "epoch": (self.epoch,), "fixed": ()}[mode]
        return derangement(classes, derive_seed(max(self.cfg.SEED, 0), "pi", *moment)).to(self.device)

    # ------------------------------------------------------------------ loss

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """L = L_SEP + A_pos + alpha_e A_neg + beta M_C (Eq. 6)."""
        cfg = self.method_cfg()
        f = self.encode_image(image)
        if not (cfg.USE_APOS or cfg.USE_ANEG or cfg.USE_MC):
            logits = self.logits(f, self.encode_text())
            return logits, self.sep_terms(logits, label)
        z_pos, z_neg = self.encode_both()
        logits = self.logits(f, z_pos)
        return logits, self.sep_terms(logits, label) | self.alignment_terms(f, z_pos, z_neg, label)

    def sep_terms(self, logits: Tensor, label: Tensor) -> dict[str, Tensor]:
        """L_SEP = lambda H - mean_n log p_{n, y_n}, H = -mean_n <p_n + delta_n, log p_n> (Eq. 5)."""
        cfg = self.method_cfg()
        terms = {"ce": F.cross_entropy(logits, label)}
        if not cfg.USE_SEP or cfg.SEP_LAMBDA == 0:
            return terms
        log_p = F.log_softmax(logits, dim=1)
        if cfg.SEP_FORM == "label":
            log_p = log_p.gather(1, label[:, None])
        p = log_p.exp().detach() if cfg.DETACH_P else log_p.exp()
        perturbed = self.delta(log_p) * log_p.clamp_min(LOG_FLOOR) if cfg.SEP_SIGMA > 0 else 0.0
        entropy = -(p * log_p + perturbed).sum(dim=1).mean()
        sign = 1.0 if cfg.SEP_SIGN == "printed" else -1.0
        return terms | {"sep": sign * cfg.SEP_LAMBDA * entropy}

    def delta(self, log_p: Tensor) -> Tensor:
        """delta_n, drawn anew each step: one number per entry, or one per sample."""
        cfg = self.method_cfg()
        seed = derive_seed(max(self.cfg.SEED, 0), "delta", self.epoch, self.batch_idx)
        shape = log_p.shape if cfg.DELTA_SHAPE == "elementwise" else (len(log_p), 1)
        drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        return cfg.SEP_SIGMA * drawn.to(log_p.device)

    def alignment_terms(self, f: Tensor, z_pos: Tensor, z_neg: Tensor, label: Tensor) -> dict[str, Tensor]:
        """A_pos (Eq. 2), alpha_e A_neg (Eq. 3) and beta M_C (Eq. 4), weighted."""
        cfg = self.method_cfg()
        wrong = self.wrong_partner()[label]
        cos_pos, cos_neg = f @ z_pos.t(), f @ z_neg.t()
        scale = cfg.SIM_SCALE or self.logit_scale
        s_pos, s_neg = pair_similarities(scale * cos_pos, scale * cos_neg, label, wrong, cfg.SIM_NORM)
        each = torch.arange(len(label), device=label.device)
        gap = cos_neg[each, wrong] - cos_pos[each, label] if cfg.MC_SIM == "cosine" else s_neg - s_pos
        reduce = torch.sum if cfg.REDUCTION == "sum" else torch.mean
        alpha = cfg.ALPHA_MIN + (1 - cfg.ALPHA_MIN) * (self.epoch + 1) / self.max_epoch
        found = {
            "a_pos": (cfg.USE_APOS, 1.0, F.relu(cfg.MU_POS - s_pos)),
            "a_neg": (cfg.USE_ANEG, alpha, F.relu(s_neg - s_pos + cfg.MU_NEG)),
            "m_c": (cfg.USE_MC, cfg.BETA, F.relu(gap)),
        }
        return {k: cfg.PAR_WEIGHT * weight * reduce(hinge) for k, (used, weight, hinge) in found.items() if used}

    # ------------------------------------------------------------------ test

    def image_logits(self, features: Tensor) -> Tensor:
        """Logits of the positive prompts, or the softmax over positive prompts minus that over negative ones."""
        if self.method_cfg().INFER == "pos":
            return super().image_logits(features)
        z_pos, z_neg = self.once("both polarities", self.encode_both)
        return self.logits(features, z_pos).softmax(dim=1) - self.logits(features, z_neg).softmax(dim=1)
