"""VisPrompt: vision-guided prompts under label noise ("Seeing is Believing", Geng, 2026, arXiv 2604.09532).

Published: the idea (attention brings visual semantics into the prompt tokens, a modulation sets its strength for each
image), one prompt per image and class, the robust losses, the transport, and the visual settings. Prompt learner and
trainer are not public. This project's design, in `parts/`: the layers (`visual_guidance.py`), the visual tokens
(`visual_tokens.py`), and which item gets which loss (`visprompt_losses.py`).
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor
from yacs.config import CfgNode

from clipkit import InputError, derive_seed, normalize
from dassl.engine import TRAINER_REGISTRY

from .context import start_context, words_and_length
from .label_noise.decisions import Decision
from .label_noise.prompt_ot import ot_decision
from .parts.chunked_text import chunked_loss, encode_per_image, images_at_a_time
from .parts.deciding_trainer import LastingDecision
from .parts.visprompt_config import ARCHITECTURE, CONFIG_DEFAULTS, CONFIG_DOMAINS, NODE
from .parts.visprompt_losses import label_loss, loss_name, trusted_in_batch
from .parts.visual_guidance import PromptLearner, dropout_mask
from .parts.visual_tokens import TokenList, patch_tokens
from .shared.training_list import TrainingList


@TRAINER_REGISTRY.register()
class VisPrompt(LastingDecision):
    """A context for each image b, ctx_b = ctx + Delta_b; Delta_b is the attention of prompt tokens to the image.

    Once an epoch, optimal transport over the whole training list selects the trusted labels. One pass over these uses
    cross-entropy, one over the others a robust loss. `TEXT_CHUNK` bounds the memory of B x C text passes and does not
    change results.
    """

    node = NODE
    config_defaults = CONFIG_DEFAULTS
    config_domains = CONFIG_DOMAINS
    architecture = ARCHITECTURE
    frozen_image_encoder: bool | None = None  # set by `build_learner`: False if the method uses patches
    trains_on_features = images_read_no_names = True

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        if cfg.TRAINER.VISPROMPT.CSC:
            raise InputError(f"{NODE}.CSC is True, but VisPrompt has one context for all classes; leave it False.")

    def build_learner(self) -> PromptLearner:
        cfg = self.method_cfg()
        words, n_ctx = words_and_length(cfg)
        self.looks_at_patches = cfg.USE_VISUAL_GUIDANCE and cfg.VIS_SOURCE == "patch"
        self.frozen_image_encoder = not self.looks_at_patches  # the bank holds features, no patches
        prompts, ctx = start_context(self.clip, self.classnames, n_ctx, words, position=cfg.CLASS_TOKEN_POSITION)
        return PromptLearner(ctx, prompts, self.image_encoder.embed_dim, cfg)

    # ------------------------------------------------------------------ image and text

    def look(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """(f [B, d], normalised; tokens [B, 1 + G, d] or None) of images, of features f, or of tokens."""
        if not self.looks_at_patches:
            # Cloned: tensors from a file may be aligned differently in memory, which changes the last bit of products.
            return (image.clone() if image.ndim == 2 else self.encode_image(image)), None
        tokens = image if image.ndim == 3 else patch_tokens(self.image_encoder, image)
        return normalize(tokens[:, 0].float()), tokens

    def encode_text(self) -> Tensor:
        """[C, d], normalised: under the context alone, without an image."""
        return normalize(self.text_encoder.encode(self.model.prompts.split(self.model.ctx)).float())

    def own_text(self, ctx: Tensor) -> Tensor:
        """[B, C, d], normalised: under each image's own context [B, L, d_t]."""
        together = self.method_cfg().CLASS_TOKEN_POSITION == "end"
        return encode_per_image(self.text_encoder, self.model.prompts, ctx, together)

    def class_features(self) -> Tensor:
        shift = self.model(*self.look(self.tester.first_images())) if self.model.guidance is not None else None
        return self.text_features() if shift is None else self.own_text(self.model.ctx + shift)

    @cached_property
    def images_at_a_time(self) -> int:
        text = self.model.prompts.split(self.model.ctx.detach())
        return images_at_a_time(self.method_cfg().TEXT_CHUNK, text, self.text_encoder, self.precision != "fp32")

    def dropout_mask(self, images: int) -> Tensor | None:
        """[B, L, d_t], from seed, epoch and step alone; None where nothing is dropped."""
        if not self.model.training:
            return None
        seed = derive_seed(max(self.cfg.SEED, 0), "prompt dropout", self.epoch, self.batch_idx)
        return dropout_mask((images, *self.model.ctx.shape), self.method_cfg().PROMPT_DROPOUT, seed, self.device)

    # ------------------------------------------------------------------ training

    @cached_property
    def training_list(self) -> TrainingList:
        """All training items in order; their visual tokens stay in memory where TOKEN_CACHE_MB allows it."""
        if not self.looks_at_patches:
            return TrainingList(self)
        return TokenList(self, self.method_cfg().TOKEN_CACHE_MB * 2**20)

    def decide(self) -> Decision | None:
        """An item is clean if its label is that of PromptOT over the whole list, which runs every OT_EVERY epochs."""
        cfg = self.method_cfg()
        if cfg.PURIFY != "ot_global":
            return None
        if self.decision is None or self.epoch % cfg.OT_EVERY == 0:
            prob = self.training_list.logits().softmax(dim=1)
            self.decision = ot_decision(prob, self.training_list.label, cfg.REG_E, cfg.OT_COST)
        return self.decision

    def loss(self, image: Tensor, label: Tensor, part: str = "all") -> tuple[Tensor, dict[str, Tensor]]:
        """The loss on labels, and REG_WEIGHT mean_b |Delta_b|^2 / L. part: "clean" or "noisy" items, or "all"."""
        cfg, name = self.method_cfg(), loss_name(part, self.method_cfg())
        f, tokens = self.look(image)
        if self.model.guidance is None:
            logits = self.logits(f, self.encode_text())
            trusted = trusted_in_batch(logits.detach, label, cfg)
            return logits, {name: label_loss(name, logits, label, trusted, cfg)}
        delta = self.model(f, tokens, self.dropout_mask(len(label)))
        ctx = self.model.ctx + delta
        trusted = trusted_in_batch(torch.no_grad()(lambda: self.logits_in_chunks(f, ctx)), label, cfg)

        def chunk(rows: slice, own: Tensor) -> tuple[Tensor, Tensor]:
            z = self.logits(f[rows], self.own_text(own))
            value = label_loss(name, z, label[rows], None if trusted is None else trusted[rows], cfg)
            return value * (len(own) / len(label)), z

        value, logits = chunked_loss(ctx, self.images_at_a_time, chunk, self.scaler.get_scale())
        terms = {name: value}
        if cfg.REG_WEIGHT:
            terms["reg"] = cfg.REG_WEIGHT * delta.square().sum(dim=(1, 2)).mean() / delta.shape[1]
        return logits, terms

    # ------------------------------------------------------------------ test

    def test_logits(self, image: Tensor) -> dict[str, Tensor]:
        """Logits of [B, 3, H, W] images, [B, d] features or [B, 1 + G, d] visual tokens."""
        f, tokens = self.tester.sides(image, self.look)
        if self.model.guidance is None:
            return {"logits": self.image_logits(f)}
        return {"logits": self.logits_in_chunks(f, self.model.ctx + self.model(f, tokens))}

    def logits_in_chunks(self, f: Tensor, ctx: Tensor) -> Tensor:
        """[B, C]: images against texts under their own contexts, a few images at a time."""
        parts = zip(f.split(self.images_at_a_time), ctx.split(self.images_at_a_time), strict=True)
        return torch.cat([self.logits(x, self.own_text(own)) for x, own in parts])
