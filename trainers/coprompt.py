"""CoPrompt: Consistency-guided Prompt Learning for Vision-Language Models (Roy and Etemad, ICLR 2024)."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from yacs.config import CfgNode

from clipkit import ContextPrompts, InputError, derive_seed, normalize
from dassl.engine import TRAINER_REGISTRY
from language import source_for
from language.features import SentenceFeatures

from .losses import cosine_distance
from .maple import MaPLe, MultiModalPromptLearner, PromptLearner
from .parts.coprompt_config import CONFIG_DEFAULTS, CONFIG_DOMAINS, SETTINGS_OF_DATASET

IMAGE_RATIO, TEXT_RATIO = 0.1, 0.2  # share of the adapter's output in a feature


class Adapter(nn.Module):
    """A(x) = ReLU(W_2 ReLU(W_1 x)), W_1 [d / 4, d], without bias."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = dim // 4
        self.fc = nn.Sequential(
            nn.Linear(dim, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, dim, bias=False), nn.ReLU()
        )

    def forward(self, x: Tensor, ratio: float) -> Tensor:
        """ratio A(x) + (1 - ratio) x, of features [N, d] before normalisation."""
        return ratio * self.fc(x) + (1 - ratio) * x


class CoPromptLearner(MultiModalPromptLearner):
    """MaPLe's prompts and an adapter behind each tower."""

    def __init__(self, prompt_learner: PromptLearner, dim: int) -> None:
        super().__init__(prompt_learner)
        self.adapter_image, self.adapter_text = Adapter(dim), Adapter(dim)


@TRAINER_REGISTRY.register()
class CoPrompt(MaPLe):
    """MaPLe with adapters, kept consistent with frozen CLIP: on another view of the image, on class descriptions.

    Each step draws one sentence number for all classes; a class with fewer sentences starts again from its first.
    """

    node = "TRAINER.CoPrompt"
    config_defaults = CONFIG_DEFAULTS
    config_domains = CONFIG_DOMAINS
    architecture = tuple(f"TRAINER.CoPrompt.{key}" for key in ("N_CTX", "CTX_INIT", "PROMPT_DEPTH"))
    images_read_no_names = True

    @classmethod
    def dataset_overrides(cls, cfg: CfgNode) -> dict:
        if cfg.DATASET.NAME not in SETTINGS_OF_DATASET:
            return {}
        n_ctx, depth, weight, epochs = SETTINGS_OF_DATASET[cfg.DATASET.NAME]
        return {
            f"{cls.node}.N_CTX": n_ctx,
            f"{cls.node}.PROMPT_DEPTH": depth,
            "TRAINER.W": weight,
            "OPTIM.MAX_EPOCH": epochs,
        }

    def build_learner(self) -> CoPromptLearner:
        return CoPromptLearner(self.build_prompts(), self.text_encoder.embed_dim)

    def build_descriptions(self) -> None:
        """The sentences of every class and their frozen features, when training begins: a test needs neither."""
        source = source_for(self.cfg, self.method_cfg().CACHE, "main", self.described)
        self.descriptions = {name: source.get(name) for name in self.described}
        self.record["language"] = {"main": {"source": source.name, "file": source.file, "sha256": source.sha256}}
        clip = (self.text_encoder, self.bank, self.precision)
        features = SentenceFeatures(source, *clip, self.cfg.LANGUAGE.TOO_LONG)
        flat = features([text for name in self.described for text in self.descriptions[name]])
        self.G = flat.split([len(self.descriptions[name]) for name in self.described])  # C x [P_c, d]

    def before_train(self) -> None:
        if self.cfg.DATALOADER.K_TRANSFORMS != 2:
            raise InputError(
                f"DATALOADER.K_TRANSFORMS is {self.cfg.DATALOADER.K_TRANSFORMS}, but CoPrompt trains on two views of "
                "an image: set it to 2."
            )
        super().before_train()

    def description_index(self) -> int:
        """p, the number of this step's sentence, which depends on seed, epoch and step alone."""
        draw = random.Random(derive_seed(max(self.cfg.SEED, 0), "description", self.epoch, self.batch_idx))
        return draw.randrange(max(map(len, self.G)))

    def drawn_descriptions(self) -> Tensor:
        """G[p] [C, d]: the features of this step's sentences."""
        if not hasattr(self, "G"):
            self.build_descriptions()
        p = self.description_index()
        return torch.stack([g[p % len(g)] for g in self.G])

    def encode_names(self, prepared: ContextPrompts) -> Tensor:
        return self.adapted_text(self.prompted_text(prepared))

    def adapted_text(self, before: Tensor) -> Tensor:
        """[N, d], normalised, from features before the adapter, which `sar.py` may align in place of its output."""
        return normalize(self.model.adapter_text(before, TEXT_RATIO))

    def encode_image(self, image: Tensor) -> Tensor:
        return normalize(self.model.adapter_image(self.prompted_image(image), IMAGE_RATIO))

    def parse_batch_train(self, batch: dict) -> tuple[list[Tensor], Tensor]:
        return [view.to(self.device) for view in batch["img"]], batch["label"].to(self.device)

    def loss(self, image: list[Tensor], label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """L = L_ce + lambda (L_cc of the text + L_cc of the image); image: two views [B, 3, H, W] of each image."""
        x1, x2 = image
        text, f = self.encode_text(), self.encode_image(x1)
        logits = self.logits(f, text)
        distance = cosine_distance if self.cfg.TRAINER.DISTILL == "cosine" else F.mse_loss
        weight = self.cfg.TRAINER.W
        return logits, {
            "ce": F.cross_entropy(logits, label),
            "text": weight * distance(text, self.drawn_descriptions()),
            "image": weight * distance(f, self.frozen_image(x2)),
        }
