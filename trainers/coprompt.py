"""CoPrompt: Consistency-guided Prompt Learning for Vision-Language Models (Roy and Etemad, ICLR 2024)."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import ContextPrompts, InputError, derive_seed, normalize
from dassl.config.domains import FILLED, NOT_NEGATIVE, choice, whole
from dassl.engine import TRAINER_REGISTRY
from language import source_for
from language.features import CONFIG_DEFAULTS as LANGUAGE_DEFAULTS
from language.features import CONFIG_DOMAINS as LANGUAGE_DOMAINS
from language.features import SentenceFeatures

from .losses import cosine_distance
from .maple import MaPLe, MultiModalPromptLearner, PromptLearner
from .shared.domains import declare

# N_CTX, PROMPT_DEPTH, W, epochs
SETTINGS_OF_DATASET = {
    "ImageNet": (4, 12, 8.0, 8),
    "Caltech101": (4, 12, 4.0, 8),
    "OxfordPets": (2, 12, 0.1, 8),
    "StanfordCars": (4, 12, 4.0, 8),
    "OxfordFlowers": (4, 9, 8.0, 8),
    "Food101": (4, 9, 0.5, 5),
    "FGVCAircraft": (4, 9, 2.0, 8),
    "SUN397": (4, 12, 8.0, 8),
    "DescribableTextures": (2, 12, 8.0, 8),
    "EuroSAT": (2, 12, 0.1, 8),
    "UCF101": (4, 12, 2.0, 8),
}
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

    Each step draws one sentence number for all classes; a class with fewer sentences counts round.
    """

    node = "TRAINER.CoPrompt"
    config_defaults = {
        "TRAINER.CoPrompt.N_CTX": 2,
        "TRAINER.CoPrompt.CTX_INIT": "a photo of a",
        "TRAINER.CoPrompt.PREC": "fp16",
        "TRAINER.CoPrompt.PROMPT_DEPTH": 9,
        "TRAINER.CoPrompt.CACHE": "coprompt",  # source of the sentences: main/coprompt, noise/hpt, or a file
        "TRAINER.W": 1.0,  # lambda; the published value of a dataset where there is one
        "TRAINER.DISTILL": "cosine",
        **LANGUAGE_DEFAULTS,
    }
    config_domains = declare(
        config_defaults,
        {
            "PROMPT_DEPTH": whole(1),
            "CACHE": FILLED,
            "TRAINER.W": NOT_NEGATIVE,
            "TRAINER.DISTILL": choice("cosine", "mse"),
            **LANGUAGE_DOMAINS,
        },
    )
    architecture = tuple(f"TRAINER.CoPrompt.{key}" for key in ("N_CTX", "CTX_INIT", "PROMPT_DEPTH"))

    @classmethod
    def dataset_overrides(cls, cfg) -> dict:
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
        source = source_for(self.cfg, self.method_cfg().CACHE, "main", self.classnames)
        self.descriptions = {name: source.get(name) for name in self.classnames}
        self.record["language"] = {"main": {"source": source.name, "file": source.file, "sha256": source.sha256}}
        clip = (self.text_encoder, self.bank, self.precision)
        features = SentenceFeatures(source, *clip, self.cfg.LANGUAGE.TOO_LONG)
        flat = features([text for name in self.classnames for text in self.descriptions[name]])
        self.G = flat.split([len(self.descriptions[name]) for name in self.classnames])  # C x [P_c, d]
        self.most_descriptions = max(map(len, self.G))

    def before_train(self) -> None:
        if self.cfg.DATALOADER.K_TRANSFORMS != 2:
            raise InputError(
                f"DATALOADER.K_TRANSFORMS is {self.cfg.DATALOADER.K_TRANSFORMS}, but CoPrompt trains on two views of "
                "an image: set it to 2."
            )
        super().before_train()

    def drawn_descriptions(self) -> Tensor:
        """G[p] [C, d] for this step's p, which depends on seed, epoch and step alone."""
        if not hasattr(self, "G"):
            self.build_descriptions()
        draw = random.Random(derive_seed(max(self.cfg.SEED, 0), "description", self.epoch, self.batch_idx))
        self.description_index = draw.randrange(self.most_descriptions)
        return torch.stack([g[self.description_index % len(g)] for g in self.G])

    def encode_names(self, prepared: ContextPrompts) -> Tensor:
        self.before_adapter = self.prompted_text(prepared)  # which SAR may align in place of the adapter's output
        return normalize(self.model.adapter_text(self.before_adapter, TEXT_RATIO))

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
