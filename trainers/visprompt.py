"""VisPrompt: vision-guided prompts under label noise ("Seeing is Believing", Geng, 2026, arXiv 2604.09532).

Published by its authors: the idea (attention injects visual semantics into the prompt tokens, a light modulation sets
its strength for each image, the backbone stays frozen), one prompt an image and class, the two robust losses and the
transport of their code, and the names and values of the visual settings. Their prompt learner and trainer are not
public. This project's design: the layers (`visual_guidance.py`), the visual tokens (`visual_tokens.py`), and which
item gets which loss.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit import InputError, derive_seed, normalize
from dassl.config.domains import NOT_NEGATIVE, POSITIVE, SHARE, choice, number, whole
from dassl.engine import TRAINER_REGISTRY

from .context import context_words, start_context
from .label_noise.decisions import Decision
from .label_noise.prompt_ot import COSTS, ot_decision
from .label_noise.robust_losses import Q, gce
from .parts.chunked_text import chunked_loss, encode_per_image, images_at_a_time
from .parts.deciding_trainer import CleanThenNoisy
from .parts.visual_guidance import PromptLearner
from .parts.visual_tokens import TokenList, patch_tokens
from .shared.domains import declare

N = "TRAINER.VISPROMPT."
OWN = {
    "VIS_SOURCE": choice("patch", "global"),
    "PROMPT_POOL_SIZE": whole(1),
    "VISUAL_HIDDEN_DIM": whole(1),
    "ATTENTION_HEADS": whole(1),
    "GATE": choice("scalar", "token", "none", "thresh"),
    "RELIABILITY_THRESHOLD": SHARE,
    "VISUAL_WEIGHT": NOT_NEGATIVE,
    "PROMPT_DROPOUT": number(0, below=1),
    "REG_WEIGHT": NOT_NEGATIVE,
    "PURIFY": choice("ot_global", "ot_batch", "none"),
    "OT_EVERY": whole(1),
    "OT_COST": choice(*COSTS),
    "REG_E": POSITIVE,
    "LOSS_NOISY": choice("gce", "sce", "mae"),
    "LOSS_ALL": choice("ce", "gce", "sce", "mae"),
    "GCE_Q": Q,
    "SCE_ALPHA": NOT_NEGATIVE,
    "SCE_BETA": NOT_NEGATIVE,
    "TEXT_CHUNK": whole(0),
    "TOKEN_CACHE_MB": whole(0),
}
SMOOTHING = 1e-6  # of the one-hot label in the reverse cross-entropy


def smoothed_sce(logits: Tensor, label: Tensor, alpha: float, beta: float) -> Tensor:
    """alpha CE + beta RCE, RCE = -sum_c p_c log t_c, t the one-hot label with SMOOTHING spread over all classes."""
    target = F.one_hot(label, logits.shape[1]) * (1 - SMOOTHING) + SMOOTHING / logits.shape[1]
    reverse = -(logits.softmax(dim=1) * target.to(logits.dtype).log()).sum(dim=1).mean()
    return alpha * F.cross_entropy(logits, label) + beta * reverse


@TRAINER_REGISTRY.register()
class VisPrompt(CleanThenNoisy):
    """A context for each image b, ctx_b = ctx + Delta_b; Delta_b is what its prompt tokens find in the image.

    Once an epoch optimal transport over the whole training list says which labels to trust. One pass over these with
    cross-entropy, then one over the others with a robust loss. `TEXT_CHUNK` bounds the memory of B x C text passes and
    changes no number.
    """

    node = "TRAINER.VISPROMPT"
    config_defaults = {
        N + "N_CTX": 16,
        N + "CSC": False,
        N + "CTX_INIT": "",
        N + "CLASS_TOKEN_POSITION": "end",
        N + "PREC": "fp16",
        N + "USE_VISUAL_GUIDANCE": True,  # False: CoOp's context
        N + "VIS_SOURCE": "patch",  # patch: the image tower's last tokens | global: parts of its one feature
        N + "PROMPT_POOL_SIZE": 16,  # parts of the feature (VIS_SOURCE global)
        N + "USE_MULTI_SCALE": True,
        N + "VISUAL_HIDDEN_DIM": 512,
        N + "ATTENTION_HEADS": 8,
        N + "FILM": True,
        N + "GATE": "scalar",  # one strength an image | token: one a prompt token | none | thresh: scalar, or off
        N + "RELIABILITY_THRESHOLD": 0.5,  # GATE thresh: where it is off
        N + "VISUAL_WEIGHT": 0.9,  # the highest strength
        N + "PROMPT_DROPOUT": 0.1,  # of Delta
        N + "REG_WEIGHT": 0.01,  # of |Delta|^2 / L
        N + "PURIFY": "ot_global",  # ot_batch: transport within each batch, as released | none: LOSS_ALL for all items
        N + "OT_EVERY": 1,  # epochs
        N + "OT_COST": "prob",  # prob: -p | logp: -log p, as in the released helper
        N + "REG_E": 0.01,
        N + "LOSS_NOISY": "gce",
        N + "LOSS_ALL": "ce",
        N + "GCE_Q": 0.7,
        N + "SCE_ALPHA": 0.5,
        N + "SCE_BETA": 1.0,
        N + "TEXT_CHUNK": 0,  # prompts at a time, at least one image's; 0: by their size
        N + "TOKEN_CACHE_MB": 1024,  # visual tokens of the training list that may stay in memory
        "TRAIN.WATCH_EVERY": 10,  # a look at the test set costs as many text passes as it has images, times C
    }
    config_domains = declare(config_defaults, OWN)
    architecture = tuple(
        N + key
        for key in (
            *("N_CTX", "CTX_INIT", "CLASS_TOKEN_POSITION", "USE_VISUAL_GUIDANCE", "VIS_SOURCE", "PROMPT_POOL_SIZE"),
            *("USE_MULTI_SCALE", "VISUAL_HIDDEN_DIM", "ATTENTION_HEADS", "FILM", "GATE", "RELIABILITY_THRESHOLD"),
            "VISUAL_WEIGHT",
        )
    )
    decision: Decision | None = None  # the last one

    def check_cfg(self, cfg) -> None:
        super().check_cfg(cfg)
        own = cfg.TRAINER.VISPROMPT
        if own.CSC:
            raise InputError(
                "TRAINER.VISPROMPT.CSC is True, but VisPrompt has one context for all classes; leave it False."
            )

    def build_learner(self) -> PromptLearner:
        cfg = self.method_cfg()
        words = context_words(cfg.CTX_INIT)
        n_ctx = len(words.split()) if words else cfg.N_CTX
        self.looks_at_patches = cfg.USE_VISUAL_GUIDANCE and cfg.VIS_SOURCE == "patch"
        self.frozen_image_encoder = not self.looks_at_patches  # the bank holds features, no patches
        position = cfg.CLASS_TOKEN_POSITION
        prompts, ctx = start_context(self.clip, self.classnames, n_ctx, words, position=position)
        return PromptLearner(ctx, prompts, self.image_encoder.embed_dim, cfg)

    # ------------------------------------------------------------------ image and text

    def look(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """(f [B, d], normalised; tokens [B, 1 + G, d] or None) of images, of features f, or of tokens seen before."""
        if not self.looks_at_patches:
            # The copy is aligned in memory as a new tensor is; what comes from a file is not, and rounds differently.
            return (image.clone() if image.ndim == 2 else self.encode_image(image)), None
        tokens = image if image.ndim == 3 else patch_tokens(self.image_encoder, image)
        return normalize(tokens[:, 0].float()), tokens

    def encode_text(self) -> Tensor:
        """[C, d], normalised: under the context alone, without an image."""
        return normalize(self.text_encoder.encode(self.model.prompts.split(self.model.ctx)).float())

    def own_logits(self, f: Tensor, ctx: Tensor) -> Tensor:
        """[B, C]: images f [B, d] against texts under their own contexts [B, L, d_t]."""
        together = self.method_cfg().CLASS_TOKEN_POSITION == "end"
        return self.logits(f, encode_per_image(self.text_encoder, self.model.prompts, ctx, together))

    @cached_property
    def images_at_a_time(self) -> int:
        text = self.model.prompts.split(self.model.ctx.detach())
        half = self.precision != "fp32"
        return images_at_a_time(self.method_cfg().TEXT_CHUNK, text, self.text_encoder, half)

    def dropout_mask(self, images: int) -> Tensor | None:
        """[B, L, d_t] of 0 and 1 / (1 - p), from seed, epoch and step alone; None where nothing is dropped."""
        p = self.method_cfg().PROMPT_DROPOUT
        if p == 0 or not self.model.training:
            return None
        seed = derive_seed(max(self.cfg.SEED, 0), "prompt dropout", self.epoch, self.batch_idx)
        drawn = torch.rand(images, *self.model.ctx.shape, generator=torch.Generator().manual_seed(seed))
        return ((drawn >= p) / (1 - p)).to(self.device)

    # ------------------------------------------------------------------ training

    @cached_property
    def training_list(self) -> TokenList:
        """All training items in order; their visual tokens stay in memory where TOKEN_CACHE_MB allows it."""
        return TokenList(self, self.method_cfg().TOKEN_CACHE_MB * 2**20)

    def decide(self) -> Decision | None:
        """Clean is whose label is the transport's: PromptOT over the whole list, every OT_EVERY epochs."""
        cfg = self.method_cfg()
        if cfg.PURIFY != "ot_global":
            return None
        if self.decision is None or self.epoch % cfg.OT_EVERY == 0:
            prob = self.training_list.logits().softmax(dim=1)
            self.decision = ot_decision(prob, self.training_list.label, cfg.REG_E, cfg.OT_COST)
        return self.decision

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The labels' loss, and REG_WEIGHT mean_b |Delta_b|^2 / L."""
        cfg = self.method_cfg()
        f, tokens = self.look(image)
        if self.model.guidance is None:
            logits = self.logits(f, self.encode_text())
            return logits, {self.loss_name: self.label_loss(logits, label, self.trusted(logits.detach, label))}
        delta = self.model(f, tokens, self.dropout_mask(len(label)))
        ctx = self.model.ctx + delta
        trusted = self.trusted(lambda: self.logits_in_chunks(f, ctx.detach()), label)

        def part(rows: slice, own: Tensor) -> tuple[Tensor, Tensor]:
            z = self.own_logits(f[rows], own)
            value = self.label_loss(z, label[rows], None if trusted is None else trusted[rows])
            return value * (len(own) / len(label)), z

        value, logits = chunked_loss(ctx, self.images_at_a_time, part, self.scaler.get_scale())
        terms = {self.loss_name: value}
        if cfg.REG_WEIGHT:
            terms["reg"] = cfg.REG_WEIGHT * delta.square().sum(dim=(1, 2)).mean() / delta.shape[1]
        return logits, terms

    @property
    def loss_name(self) -> str:
        """Of all items of this step; "mixed": each item by its own."""
        cfg = self.method_cfg()
        if cfg.PURIFY == "ot_global":
            return cfg.LOSS_NOISY if self.part == "noisy" else "ce"
        return cfg.LOSS_ALL if cfg.PURIFY == "none" else "mixed"

    def trusted(self, logits: Callable[[], Tensor], label: Tensor) -> Tensor | None:
        """PURIFY ot_batch: [B], whose label the transport within the batch agrees with; else None."""
        cfg = self.method_cfg()
        if cfg.PURIFY != "ot_batch":
            return None
        return ot_decision(logits().softmax(dim=1), label, cfg.REG_E, cfg.OT_COST).clean

    def label_loss(self, logits: Tensor, label: Tensor, trusted: Tensor | None) -> Tensor:
        """Mean over the items: of `loss_name`, or cross-entropy for the trusted ones and LOSS_NOISY for the others."""
        if trusted is None:
            return self.named_loss(self.loss_name, logits, label)
        parts = (("ce", trusted), (self.method_cfg().LOSS_NOISY, ~trusted))
        return sum(self.named_loss(name, logits[i], label[i]) * i.sum() for name, i in parts if i.any()) / len(label)

    def named_loss(self, name: str, logits: Tensor, label: Tensor) -> Tensor:
        cfg, logits = self.method_cfg(), logits.float()
        if name == "ce":
            return F.cross_entropy(logits, label)
        if name == "sce":
            return smoothed_sce(logits, label, cfg.SCE_ALPHA, cfg.SCE_BETA)
        return gce(logits, label, cfg.GCE_Q if name == "gce" else 1.0)  # q = 1: 1 - p_y

    # ------------------------------------------------------------------ test, resume

    def test_logits(self, image: Tensor) -> dict[str, Tensor]:
        """Of [B, 3, H, W] images, [B, d] features or [B, 1 + G, d] visual tokens."""
        f, tokens = self.look(image)
        if self.model.guidance is None:
            return {"logits": self.image_logits(f)}
        return {"logits": self.logits_in_chunks(f, self.model.ctx + self.model(f, tokens))}

    @torch.no_grad()
    def logits_in_chunks(self, f: Tensor, ctx: Tensor) -> Tensor:
        """`own_logits`, without a gradient, a few images at a time."""
        size = self.images_at_a_time
        return torch.cat([self.own_logits(*part) for part in zip(f.split(size), ctx.split(size), strict=True)])

    def extra_state(self) -> dict:
        """Also the decision, which lasts OT_EVERY epochs."""
        if self.decision is None:
            return super().extra_state()
        return super().extra_state() | {"clean": self.decision.clean, "score": self.decision.score}

    def load_extra_state(self, state: dict) -> None:
        super().load_extra_state(state)
        if "clean" in state:
            self.decision = Decision(state["clean"].to(self.device), state["score"].to(self.device))
