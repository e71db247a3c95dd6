"""Tip-Adapter-F (Zhang et al., ECCV 2022): Tip-Adapter whose keys are trained."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from clipkit import InputError
from dassl.config.domains import choice
from dassl.engine import TRAINER_REGISTRY

from .parts.best_epoch import BestEpoch
from .parts.step_trainer import StepTrainer
from .shared.domains import declare
from .tipadapter import N, TipAdapter


@TRAINER_REGISTRY.register()
class TipAdapterF(BestEpoch, TipAdapter):
    """The keys start as Tip-Adapter's and learn by cross-entropy on its logits at the first alpha and beta, which are
    searched afterwards.

    `EPOCH`: which keys are used: those of the last epoch, of the best epoch on the images of SEARCH, or of the best
    epoch on the test images, as published, which is a choice on test labels.
    """

    config_defaults = {**TipAdapter.config_defaults, N + "EPOCH": "last"}
    config_domains = TipAdapter.config_domains | declare(
        {N + "EPOCH": "last"}, {"EPOCH": choice("last", "search", "test")}
    )
    learns = True

    @classmethod
    def dataset_overrides(cls, cfg: CfgNode) -> dict:
        epochs = {"OPTIM.MAX_EPOCH": 100} if cfg.DATASET.NAME == "EuroSAT" else {}
        return super().dataset_overrides(cfg) | epochs

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        if (cfg.TRAINER.TIPADAPTER.EPOCH, cfg.TRAINER.TIPADAPTER.SEARCH) == ("search", "none"):
            raise InputError(f"{N}EPOCH is search, and {N}SEARCH none: choose last, or images to search on.")

    def run_epoch(self) -> None:
        StepTrainer.run_epoch(self)

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self.image_logits(self.encode_image(image))
        return logits, {"ce": F.cross_entropy(logits, label)}

    def after_epoch(self) -> None:
        cfg = self.method_cfg()
        if cfg.EPOCH != "last":
            self.choose_epoch("test" if cfg.EPOCH == "test" else cfg.SEARCH, N + "EPOCH")
        super().after_epoch()
