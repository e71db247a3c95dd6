"""TDA: Efficient Test-Time Adaptation of Vision-Language Models (Karmanov et al., CVPR 2024)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from clipkit import normalize
from dassl.config.domains import FLAG, NOT_NEGATIVE, choice, whole
from dassl.engine import TRAINER_REGISTRY
from datasets.templates import template_set

from .tta.config import TUNING
from .tta.feature_cache import Entry, FeatureCache
from .tta.prototypes import mean_of_templates
from .tta.stream import StreamTrainer
from .tta.view_ensemble import confident

T = "TRAINER.TDA."
VARIANTS = ("ImageNetV2", "ImageNetA", "ImageNetR", "ImageNetSketch")
SCALE = 100.0  # of the cosines, for every backbone
# (alpha, beta) of the positive cache, as published; they were apparently chosen on the test sets.
PUBLISHED = {
    "ImageNet": (2.0, 5.0), "ImageNetA": (2.0, 5.0), "ImageNetV2": (1.0, 8.0), "ImageNetR": (1.0, 8.0),
    "ImageNetSketch": (2.363, 7.45), "Caltech101": (5.0, 5.0), "DescribableTextures": (2.0, 3.0),
    "EuroSAT": (4.0, 8.0), "FGVCAircraft": (2.0, 2.0), "Food101": (1.0, 1.0), "OxfordFlowers": (1.0, 5.0),
    "OxfordPets": (2.0, 7.0), "StanfordCars": (1.0, 7.0), "SUN397": (2.0, 3.0), "UCF101": (3.0, 8.0),
}  # fmt: skip
SEVEN = ("ImageNet", "ImageNetA", "ImageNetV2", "Caltech101", "StanfordCars", "SUN397")
EIGHTY = ("ImageNetR", "ImageNetSketch")


@dataclass
class Caches:
    """The state of a stream: the two caches."""

    positive: FeatureCache
    negative: FeatureCache


@TRAINER_REGISTRY.register()
class TDA(StreamTrainer):
    """Two caches of test features by predicted class, which correct the logits of the images that follow.

    With l = 100 f t^T, H the entropy of its softmax p and H / log2 C its share (nats over bits, as published, so at
    most 0.693): the most confident features of each class go into the positive cache, those with a share between LOW
    and HIGH into the negative one, with the classes whose p is above P_LOW. The image itself is put into the cache
    before its answer: out = l + ALPHA exp(-BETA (1 - f K^T)) V - NEG_ALPHA exp(-NEG_BETA (1 - f K-^T)) V-.
    On ImageNet's variants f and l are means over the six most confident of 64 views, elsewhere those of the picture.
    TUNED uses the published ALPHA and BETA of the data set, which were chosen on its test images; without it all data
    sets have one pair.
    """

    unread = (*(key for key in TUNING if key != "SELECTION_P"), "SAMPLES_PER_STEP")
    config_defaults = {
        **StreamTrainer.config_defaults,
        T + "ALPHA": 2.0, T + "BETA": 5.0, T + "CAPACITY": 3,
        T + "NEG_ALPHA": 0.117, T + "NEG_BETA": 1.0, T + "NEG_CAPACITY": 2,
        T + "LOW": 0.2, T + "HIGH": 0.5, T + "P_LOW": 0.03,
        T + "TUNED": True,
        T + "VIEWS": "auto",  # auto: all on ImageNet's variants | one: the picture alone | all
        T + "TEMPLATES": "auto",  # auto: as published, 7, 80 or the data set's own | single: CTX_INIT
    }  # fmt: skip
    config_domains = {
        **StreamTrainer.config_domains,
        **{T + key: NOT_NEGATIVE for key in ("ALPHA", "BETA", "NEG_ALPHA", "NEG_BETA", "LOW", "HIGH", "P_LOW")},
        **{T + key: whole(1) for key in ("CAPACITY", "NEG_CAPACITY")},
        T + "TUNED": FLAG,
        T + "VIEWS": choice("auto", "one", "all"),
        T + "TEMPLATES": choice("auto", "single"),
    }

    @classmethod
    def dataset_overrides(cls, cfg: CfgNode) -> dict:
        pair = PUBLISHED.get(cfg.DATASET.NAME) if cfg.TRAINER.TDA.TUNED else None
        return super().dataset_overrides(cfg) | (
            dict(zip((T + "ALPHA", T + "BETA"), pair, strict=True)) if pair else {}
        )

    @classmethod
    def mixes(cls, dataset: str) -> bool:
        return True

    def n_views(self) -> int:
        how = self.cfg.TRAINER.TDA.VIEWS
        many = how == "all" or (how == "auto" and self.cfg.DATASET.NAME in VARIANTS)
        return super().n_views() if many else 1

    def own_text(self) -> Tensor:
        name = self.cfg.DATASET.NAME
        if self.cfg.TRAINER.TDA.TEMPLATES == "single":
            return super().own_text()
        kind = "select" if name in SEVEN else "full80" if name in EIGHTY else "custom"
        return normalize(mean_of_templates(self.text_encoder, template_set(kind, name), self.classnames))

    # ------------------------------------------------------------------ the stream

    def new_state(self) -> Caches:
        cfg = self.cfg.TRAINER.TDA
        return Caches(FeatureCache(cfg.CAPACITY), FeatureCache(cfg.NEG_CAPACITY))

    def state_size(self, state: Caches) -> int:
        return len(state.positive) + len(state.negative)

    def summary(self, f: Tensor) -> tuple[Tensor, Tensor, Tensor, float]:
        """(f [d], l [C], p [C], H) of an image's views [n, d]: means over the confident ones; H of the mean p."""
        logits = self.cosine_logits(f)
        chosen = confident(logits[None], self.method_cfg().SELECTION_P)[0] if len(f) > 1 else slice(None)
        p = logits[chosen].softmax(dim=-1).mean(dim=0)
        return f[chosen].mean(dim=0), logits[chosen].mean(dim=0), p, -torch.xlogy(p, p).sum().item()

    def cosine_logits(self, f: Tensor) -> Tensor:
        """100 f t^T, [n, C], of an image's views [n, d]."""
        return SCALE * f @ self.text_noise.moved(self.text_features()).mT

    def learn(self, state: Caches, f: Tensor) -> None:
        cfg = self.cfg.TRAINER.TDA
        mean, logits, p, h = self.summary(f)
        label = int(logits.argmax())
        state.positive.add(label, Entry(mean, h, F.one_hot(torch.tensor(label), len(p)).to(p)))
        if cfg.LOW < h / max(math.log2(len(p)), 1.0) < cfg.HIGH:
            state.negative.add(label, Entry(mean, h, ((p > cfg.P_LOW) & (p < 1.0)).to(p)))

    def read(self, state: Caches, f: Tensor) -> Tensor:
        cfg = self.cfg.TRAINER.TDA
        mean, logits, _, _ = self.summary(f)
        positive = state.positive.read(mean, cfg.ALPHA, cfg.BETA)
        return logits + positive - state.negative.read(mean, cfg.NEG_ALPHA, cfg.NEG_BETA)
