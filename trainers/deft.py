"""DeFT: Vision-Language Models are Strong Noisy Label Detectors (Wei et al., NeurIPS 2024), its first phase."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import ContextPrompts, derive_seed, normalize
from dassl.config.domains import choice, whole
from dassl.engine import TRAINER_REGISTRY

from .context import start_context
from .label_noise.decisions import Decision, record_decision
from .parts.deciding_trainer import DecidingTrainer
from .shared.checks import check_depth, check_vit
from .shared.domains import declare

N = "TRAINER.DEFT."
SMALLEST = 1e-5  # lower bound of the arguments of logarithms
LOG_ZERO = math.log(1e-4)  # stands for log 0 in the reverse cross-entropy


class Learner(nn.Module):
    """`prompt_learner.pos_ctx` and `neg_ctx` [M, width]; `tuner.vpt_list.<i>.prompt` [n, width] of block i + 1."""

    def __init__(self, pos: Tensor, neg: Tensor, n: int, depth: int, width: int, patch: int) -> None:
        super().__init__()
        self.prompt_learner = nn.Module()
        self.prompt_learner.pos_ctx, self.prompt_learner.neg_ctx = nn.Parameter(pos), nn.Parameter(neg)
        self.tuner = nn.Module()
        self.tuner.vpt_list = nn.ModuleList(nn.Module() for _ in range(depth))
        bound = math.sqrt(6 / (3 * patch * patch + width))
        for own in self.tuner.vpt_list:
            own.prompt = nn.Parameter(torch.empty(n, width).uniform_(-bound, bound))

    def visual_prompts(self) -> dict[int, Tensor]:
        return {b: own.prompt for b, own in enumerate(self.tuner.vpt_list, start=1)}


@TRAINER_REGISTRY.register()
class DeFT(DecidingTrainer):
    """Each class has a positive and a negative prompt; a label counts as right where the image is nearer to the
    positive one. Positive prompts and image tokens learn from these labels, negative prompts from all images.

    The choice of the last epoch, made batch by batch, is in `decisions.json`; the positive prompts are the classifier.
    `VARIANT` "real", the authors' variant for real-world noise: a label that counts as right must also be the most
    likely one, and during the warm-up the loss is the symmetric cross-entropy.
    """

    node = "TRAINER.DEFT"
    registered_name = "deft"
    config_defaults = {
        N + "N_CTX": 16,
        N + "N_CTX_VISION": 20,
        N + "PROMPT_DEPTH_VISION": 12,
        N + "WARMUP": 1,  # epochs that learn from all labels
        N + "VARIANT": "synthetic",  # synthetic | real
        N + "PREC": "fp16",
    }
    config_domains = declare(
        config_defaults,
        dict.fromkeys(("N_CTX_VISION", "PROMPT_DEPTH_VISION"), whole(1))
        | {"WARMUP": whole(), "VARIANT": choice("synthetic", "real")},
    )
    architecture = tuple(N + key for key in ("N_CTX", "N_CTX_VISION", "PROMPT_DEPTH_VISION"))
    frozen_image_encoder = trains_on_features = False
    images_read_no_names = True
    seen: tuple[Tensor, Tensor] | None = None  # [N] each, of this epoch: whether an item is clean, p_yes of its label

    def build_learner(self) -> Learner:
        cfg, image = self.method_cfg(), self.image_encoder
        check_vit(self, "puts tokens into the image tower")
        check_depth(N + "PROMPT_DEPTH_VISION", cfg.PROMPT_DEPTH_VISION, image.depth)
        self.prompts, pos = start_context(self.clip, self.classnames, cfg.N_CTX, "")
        neg = 0.02 * torch.randn_like(pos)
        return Learner(pos, neg, cfg.N_CTX_VISION, cfg.PROMPT_DEPTH_VISION, image.width, image.patch)

    def prepare_names(self, names: list[str]) -> ContextPrompts:
        return self.prompts.for_names(names)

    def encode_names(self, prepared: ContextPrompts) -> Tensor:
        return self.text_side(prepared, self.model.prompt_learner.pos_ctx)

    def text_side(self, prompts: ContextPrompts, ctx: Tensor) -> Tensor:
        return normalize(self.text_encoder.encode(prompts.split(ctx)).float())

    def encode_text(self) -> Tensor:
        """[C, d]: the positive prompts."""
        return self.encode_names(self.prompts)

    def encode_image(self, image: Tensor) -> Tensor:
        """[B, d]; the tokens stand after the patches, from ln_pre on, with their own for each block."""
        image, prompts = image.type(self.image_encoder.dtype), self.model.visual_prompts()
        return normalize(self.image_encoder(image, replace=prompts, after_norm=True).float())

    # ------------------------------------------------------------------ training

    def loss(self, image: Tensor, label: Tensor, index: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """L_cls of the positive prompts on the labels that are trusted, and L_neg of the negative ones."""
        cfg, f = self.method_cfg(), self.encode_image(image)
        z = self.logits(f, self.encode_text())
        negative = self.logits(f.detach(), self.text_side(self.prompts, self.model.prompt_learner.neg_ctx))
        p_yes, p_no = torch.stack([z.detach(), negative]).softmax(dim=0)
        each = torch.arange(len(label), device=label.device)
        clean = p_yes[each, label] > 0.5
        if cfg.VARIANT == "real":
            clean &= p_yes.argmax(dim=1) == label
        if index is not None and self.seen is not None:
            self.seen[0][index], self.seen[1][index] = clean, p_yes[each, label]
        own = self.epoch < (1 if cfg.VARIANT == "real" else cfg.WARMUP)  # the first epoch, or the whole warm-up
        positive = label if own else torch.where(clean, label, z.detach().argmax(dim=1))
        other = self.other_classes(label)
        log_no, log_yes = (p.clamp(min=SMALLEST).log() for p in (p_no[each, other], p_yes[each, positive]))
        return z, {"cls": self.classification(z, label, clean), "neg": -(log_no + log_yes).mean()}

    def classification(self, z: Tensor, label: Tensor, clean: Tensor) -> Tensor:
        """Cross-entropy on the labels that `clean` [B] selects; 0 where there is none."""
        cfg = self.method_cfg()
        if self.epoch >= cfg.WARMUP:
            return (F.cross_entropy(z, label, reduction="none") * clean).sum() / clean.sum().clamp(min=1)
        loss = F.cross_entropy(z, label)
        if cfg.VARIANT == "real":
            loss = loss - LOG_ZERO * (1 - z.softmax(dim=1).gather(1, label[:, None])).mean()
        return loss

    def other_classes(self, label: Tensor) -> Tensor:
        """[B]: for each label one of the other classes, drawn from seed and step; its own where there is no other."""
        seed = derive_seed(max(self.cfg.SEED, 0), "other classes", self.epoch, self.batch_idx)
        more = len(self.classnames) - 1
        step = torch.randint(more or 1, label.shape, generator=torch.Generator().manual_seed(seed)) + 1
        return (label + step.to(label.device)) % (more + 1)

    def _batches(self) -> Iterator[tuple]:
        """Every item once per epoch, so that each is decided on."""
        items = torch.ones(len(self.dm.dataset.train_x), dtype=torch.bool)
        self.seen = (torch.zeros_like(items, device=self.device), torch.zeros(len(items), device=self.device))
        batches = self.shuffled_batches(items, self.epoch)
        self.num_batches = len(batches)
        yield from ((batch,) for batch in self._bar(self.listed_batches.load(batches, self.epoch)))

    def parse_batch_train(self, batch: dict) -> tuple:
        return (*super().parse_batch_train(batch)[:2], batch.get("index"))

    def after_epoch(self) -> None:
        record_decision(self, Decision(*self.seen))
        super().after_epoch()
