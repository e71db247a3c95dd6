"""A trainer with data loaders, a model, an evaluator, and the usual course of a run."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Sequence
from datetime import timedelta

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from dassl.config.shown import of_run
from dassl.data import DataManager
from dassl.evaluation import build_evaluator
from dassl.modeling import build_backbone, build_head
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.utils.randomness import base_seed, set_random_seed, stream_seed
from dassl.utils.torchtools import count_num_param, load_pretrained_weights

from .asked_split import check_split
from .base import TrainerBase
from .class_rows import check_started
from .evaluation_loop import EvaluationLoop
from .guards import check_resume
from .rolling import RollingCheckpoint
from .trackers import check_trackers, close_trackers, start_trackers

logger = logging.getLogger(__name__)


class SimpleNet(nn.Module):
    """Backbone, optional head, linear classifier (none if `num_classes` is 0)."""

    def __init__(self, cfg: CfgNode, model_cfg: CfgNode, num_classes: int, **kwargs: object) -> None:
        super().__init__()
        self.backbone = build_backbone(
            model_cfg.BACKBONE.NAME, verbose=cfg.VERBOSE, pretrained=model_cfg.BACKBONE.PRETRAINED, **kwargs
        )
        fdim = self.backbone.out_features
        self.head = None
        head = model_cfg.HEAD
        if head.NAME and head.HIDDEN_LAYERS:
            self.head = build_head(
                head.NAME,
                verbose=cfg.VERBOSE,
                in_features=fdim,
                hidden_layers=head.HIDDEN_LAYERS,
                activation=head.ACTIVATION,
                bn=head.BN,
                dropout=head.DROPOUT,
                **kwargs,
            )
            fdim = self.head.out_features
        self.classifier = nn.Linear(fdim, num_classes) if num_classes > 0 else None
        self._fdim = fdim

    @property
    def fdim(self) -> int:
        """Dimension of the feature before the classifier."""
        return self._fdim

    def forward(self, x: Tensor, return_feature: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        feature = self.backbone(x)
        if self.head is not None:
            feature = self.head(feature)
        if self.classifier is None:
            return feature
        logits = self.classifier(feature)
        return (logits, feature) if return_feature else logits


class SimpleTrainer(EvaluationLoop, TrainerBase):
    """Trains on one device. Order of construction: check_cfg, build_data_loader, build_model, evaluator."""

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self.check_cfg(cfg)
        check_trackers(cfg.TRAIN.get("TRACKERS", ()))
        self.device = torch.device("cuda" if torch.cuda.is_available() and cfg.USE_CUDA else "cpu")
        if self.device.type == "cuda" and torch.cuda.device_count() > 1:
            logger.info(
                "%d GPUs are visible; a run uses one. Choose it with CUDA_VISIBLE_DEVICES and run several seeds side "
                "by side on the others",
                torch.cuda.device_count(),
            )
        self.start_epoch = self.epoch = 0
        self.max_epoch = cfg.OPTIM.MAX_EPOCH
        self.output_dir = cfg.OUTPUT_DIR
        self.cfg = cfg
        if cfg.SEED < 0 and not cfg.DATALOADER.get("UPSTREAM_RNG", False):
            set_random_seed(base_seed(cfg))  # so that the logged seed, given next time, repeats this run
        self.build_data_loader()
        check_split(self, cfg.TEST.SPLIT)
        self.build_model()
        self.evaluator = build_evaluator(cfg, lab2cname=self.lab2cname)
        self.best_result = -math.inf
        self._rolling = RollingCheckpoint(self)

    def check_cfg(self, cfg: CfgNode) -> None:
        """Override to refuse settings. Called first: only the argument exists, not yet `self.cfg`."""

    def build_data_loader(self) -> None:
        """Make `dm`, a `DataManager`, and take its loaders and class names."""
        dm = DataManager(self.cfg)
        self.train_loader_x = dm.train_loader_x
        self.train_loader_u = dm.train_loader_u
        self.val_loader = dm.val_loader
        self.test_loader = dm.test_loader
        self.num_classes = dm.num_classes
        self.num_source_domains = dm.num_source_domains
        self.lab2cname = dm.lab2cname
        self.dm = dm

    def keep_training_items(self, indices: Sequence[int]) -> None:
        """Train on the items of these indices alone, in this order; called before the training."""
        self.dm.keep_training_items(indices)
        self.train_loader_x = self.dm.train_loader_x

    def build_model(self) -> None:
        """Backbone and classifier of cfg.MODEL; methods override this."""
        cfg = self.cfg
        self.model = SimpleNet(cfg, cfg.MODEL, self.num_classes)
        if cfg.MODEL.INIT_WEIGHTS:
            load_pretrained_weights(self.model, cfg.MODEL.INIT_WEIGHTS)
            check_started(self.model, cfg.MODEL.INIT_WEIGHTS, self.lab2cname)
        self.model.to(self.device)
        logger.info("# params: %s", f"{count_num_param(self.model):,}")
        self.optim = build_optimizer(self.model, cfg.OPTIM)
        self.sched = build_lr_scheduler(self.optim, cfg.OPTIM)
        self.register_model("model", self.model, self.optim, self.sched)

    def run_identity(self) -> dict:
        cfg = of_run(self.cfg)
        names = list(self.lab2cname.values())
        return {
            "TRAINER.NAME": cfg.TRAINER.NAME,
            "DATASET.NAME": cfg.DATASET.NAME,
            "DATASET.NUM_SHOTS": cfg.DATASET.NUM_SHOTS,
            "DATASET.SUBSAMPLE_CLASSES": cfg.DATASET.get("SUBSAMPLE_CLASSES", "all"),
            "SEED": cfg.SEED,
            **{f"OPTIM.{key}": value for key, value in cfg.OPTIM.items() if key != "MAX_EPOCH"},  # epochs may be added
            "DATALOADER.TRAIN_X.BATCH_SIZE": cfg.DATALOADER.TRAIN_X.BATCH_SIZE,
            "INPUT.TRANSFORMS": list(cfg.INPUT.TRANSFORMS),
            "classes": f"{len(names)} ({names[0]} ... {names[-1]}, {stream_seed(*names):016x})",
        }

    def seed_epoch(self) -> None:
        if self.cfg.DATALOADER.get("UPSTREAM_RNG", False):
            return
        set_random_seed(stream_seed(base_seed(self.cfg), "epoch", self.epoch))
        for loader in (self.train_loader_x, self.train_loader_u):
            if loader is not None and hasattr(loader, "set_epoch"):
                loader.set_epoch(self.epoch)

    def train(self) -> None:  # type: ignore[override]  # upstream's signatures
        try:
            super().train(self.start_epoch, self.max_epoch)
        finally:
            close_trackers(self._trackers, failed=True)  # those that `after_train` has not closed

    def before_train(self) -> None:
        check_resume(self.cfg.RESUME, self.output_dir)
        if self.get_model_names():
            self.start_epoch = self.resume_model_if_exist(self.cfg.RESUME or self.output_dir)
        else:
            logger.info("Nothing to train: the trainer has registered no model")
            self.start_epoch = self.max_epoch
        if self.cfg.TRAIN.get("TENSORBOARD", True) and self.start_epoch < self.max_epoch:
            self.init_writer(os.path.join(self.output_dir, "tensorboard"))
        if self.start_epoch < self.max_epoch:
            self._trackers = start_trackers(self.cfg.TRAIN.get("TRACKERS", ()), self)
        # Remember the starting time (for computing the elapsed time)
        self.time_start = time.time()
        self._rolling.start()

    def after_train(self) -> None:
        logger.info("Finish training")
        if not self.cfg.TEST.NO_TEST:
            if self.cfg.TEST.FINAL_MODEL == "best_val":
                logger.info("Deploy the model with the best val performance")
                self.load_model(self.output_dir)
            else:
                logger.info("Deploy the last-epoch model")
            self.test()
        logger.info("Elapsed: %s", timedelta(seconds=round(time.time() - self.time_start)))
        self.close_writer()

    def after_epoch(self) -> None:
        """Save the model if it is the best on the validation split and TEST.FINAL_MODEL is best_val; save a checkpoint
        if one is due."""
        if not self.cfg.TEST.NO_TEST and self.cfg.TEST.FINAL_MODEL == "best_val":
            result = self.test(split="val")
            if result > self.best_result:
                self.best_result = result
                self.save_model(self.epoch, self.output_dir, val_result=result, model_name="model-best.pth.tar")
        self._rolling.after_epoch()

    def save_to_stop(self) -> None:
        self._rolling.save()

    def model_inference(self, input: Tensor) -> Tensor:
        return self.model(input)

    def parse_batch_test(self, batch: dict) -> tuple[Tensor, Tensor]:
        """Images and labels, on the device."""
        return batch["img"].to(self.device), batch["label"].to(self.device)
