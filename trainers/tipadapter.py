"""Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification (Zhang et al., ECCV 2022)."""

from __future__ import annotations

import logging
import math

import torch
from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from clipkit import InputError, normalize
from dassl.config.domains import NOT_NEGATIVE, choice, number, whole
from dassl.engine import TRAINER_REGISTRY

from .parts.frozen_features import choosing_features, choosing_items, classifier, training_features
from .parts.key_cache import Cache
from .parts.step_trainer import StepTrainer
from .parts.tip_search import PUBLISHED, best_of_grid
from .shared.domains import declare

N = "TRAINER.TIPADAPTER."
logger = logging.getLogger(__name__)


@TRAINER_REGISTRY.register()
class TipAdapter(StepTrainer):
    """Training images vote for their classes, weighted by their similarity to the test image. Nothing is trained; alpha
    and beta are chosen on few-shot validation images.

    `SEARCH`: the images that they are chosen on, see `choosing_features`, or "none". "val_full" and "test" are the
    published ways, with the published start values and ranges of the dataset; they use labels that a few-shot run does
    not have. New classes have no keys: for them the answer is zero-shot CLIP's.
    """

    node = "TRAINER.TIPADAPTER"
    registered_name = "tip_adapter"
    config_defaults = {
        N + "ALPHA": 1.17,  # in training, and where nothing is searched
        N + "BETA": 1.0,
        N + "SEARCH": "val_fewshot",  # val_fewshot | none | val_full | test
        N + "ALPHA_RANGE": 10.0,  # the search tries 20 values from 0.1 up to this one
        N + "BETA_RANGE": 12.0,  # 200 values
        N + "VIEWS": 10,  # augmented views of an image, of which a key is the mean
        N + "FIXED_SCALE": False,  # True: zero-shot logits are 100 times the cosine on every backbone, as published
        N + "PREC": "fp16",
    }
    config_domains = declare(
        config_defaults,
        {
            **dict.fromkeys(("ALPHA", "BETA"), NOT_NEGATIVE),
            **dict.fromkeys(("ALPHA_RANGE", "BETA_RANGE"), number(above=0.1)),
            "SEARCH": choice("val_fewshot", "none", "val_full", "test"),
            "VIEWS": whole(1),
        },
    )
    learns = False  # whether the keys are trained

    @classmethod
    def dataset_overrides(cls, cfg: CfgNode) -> dict:
        if cfg.TRAINER.TIPADAPTER.SEARCH not in ("val_full", "test"):
            return {}
        names = ("BETA", "ALPHA", "BETA_RANGE", "ALPHA_RANGE")
        return dict(zip((N + name for name in names), PUBLISHED.get(cfg.DATASET.NAME, ()), strict=False))

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        if cfg.MODEL.INIT_WEIGHTS:
            raise InputError(f"{cfg.TRAINER.NAME} starts from its training images; leave MODEL.INIT_WEIGHTS out.")

    def build_learner(self) -> Cache:
        cfg = self.method_cfg()
        values = torch.tensor(
            [item.label for item in getattr(self.dm.dataset, "train_x", None) or ()], dtype=torch.long
        )
        cache = Cache(self.classnames, values, self.text_encoder.embed_dim, cfg.ALPHA, cfg.BETA)
        cache.adapter.weight.requires_grad_(self.learns)
        self.w = classifier(self, self.classnames)
        return cache

    def total_steps(self) -> int:
        """Every image once per epoch."""
        images = len(getattr(self.dm.dataset, "train_x", None) or ())
        return self.cfg.OPTIM.MAX_EPOCH * math.ceil(images / self.cfg.DATALOADER.TRAIN_X.BATCH_SIZE)

    # ------------------------------------------------------------------ cache and logits

    def before_train(self) -> None:
        super().before_train()
        if self.method_cfg().SEARCH == "val_fewshot":
            choosing_items(self, "val_fewshot", N + "SEARCH")  # raises an error before anything is trained
        if self.start_epoch == 0:
            keys, labels = training_features(self, self.method_cfg().VIEWS)
            self.model.adapter.weight.data, self.model.values = normalize(keys), labels

    def run_epoch(self) -> None:
        """Nothing is trained."""

    def encode_text(self) -> Tensor:
        return self.w

    def image_logits(self, features: Tensor) -> Tensor:
        """S f w^T + alpha exp(-beta (1 - f keys^T)) L, L [N, C] the one-hot labels of the keys."""
        with torch.autocast(self.device.type, enabled=False):
            votes = torch.exp(-self.model.beta * (1 - self.nearness(features))) @ self.labels()
            return self.logits(features, self.w) + self.model.alpha * votes

    def nearness(self, f: Tensor) -> Tensor:
        """[B, N] products of image features with the keys; they are cosines until the keys learn."""
        return F.linear(f.float(), self.model.adapter.weight)

    def labels(self) -> Tensor:
        """[N, C]: 1 where a key is of a class of this run, found by its name."""
        rows = torch.tensor(self.model.rows(self.classnames), device=self.device)
        return (self.model.values[:, None] == rows).float()

    # ------------------------------------------------------------------ alpha and beta

    def after_epoch(self) -> None:
        if self.epoch + 1 == self.max_epoch and self.method_cfg().SEARCH != "none":
            self.search()
        super().after_epoch()

    @torch.no_grad()
    def search(self) -> None:
        """Sets alpha and beta to the pair of the grid with the best accuracy on the images of SEARCH; the first if
        tied."""
        cfg = self.method_cfg()
        f, label = choosing_features(self, cfg.SEARCH, N + "SEARCH")
        ends = cfg.BETA_RANGE, cfg.ALPHA_RANGE
        beta, alpha, accuracy = best_of_grid(self.logits(f, self.w), self.nearness(f), self.labels(), label, *ends)
        self.model.alpha.fill_(alpha)
        self.model.beta.fill_(beta)
        self.record["search"] = {"images": cfg.SEARCH, "count": len(f), "alpha": alpha, "beta": beta}
        logger.info("alpha %.4f, beta %.4f: %.2f %% of the images of %s", alpha, beta, accuracy, cfg.SEARCH)
