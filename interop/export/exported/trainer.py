"""Upstream's TrainerX, and what our methods find in our engine beyond it."""

from __future__ import annotations

import logging
import os

import torch

import dassl.engine
from dassl.engine.epoch import EpochLoop
from dassl.utils.checkpoint import last_checkpoint_name, load_checkpoint, save_checkpoint

logger = logging.getLogger(__name__)


class TrainerX(EpochLoop, dassl.engine.TrainerX):
    """Epochs and tests are upstream's, but for methods that choose their batches or test in their own way.

    Checkpoints have upstream's layout, and hold besides what a resumed run needs (`extra_state`).
    """

    _evaluate = None  # a method that tests in its own way: `_evaluate(loader, split)`

    def run_epoch(self) -> None:
        if type(self)._batches is EpochLoop._batches:
            dassl.engine.TrainerX.run_epoch(self)
        else:
            super().run_epoch()

    @torch.no_grad()
    def test(self, split: str | None = None) -> float:
        if self._evaluate is None:
            return super().test(split)
        self.set_model_mode("eval")
        self.evaluator.reset()
        split = split or self.cfg.TEST.SPLIT
        if split == "val" and self.val_loader is not None:
            loader = self.val_loader
        else:
            split, loader = "test", self.test_loader
        logger.info("Evaluate on the *%s* set", split)
        self._evaluate(loader, split)
        results = self.evaluator.evaluate()
        for name, value in results.items():
            self.write_scalar(f"{split}/{name}", value, self.epoch)
        return next(iter(results.values()))

    # ------------------------------------------------------------------ checkpoints

    def extra_state(self) -> dict:
        return {}

    def load_extra_state(self, state: dict) -> None:
        pass

    def run_identity(self) -> dict:
        return {}

    def save_model(
        self, epoch: int, directory: str, is_best: bool = False, val_result: float | None = None, model_name: str = ""
    ) -> None:
        for i, name in enumerate(self.get_model_names()):
            optim, sched = self._optims[name], self._scheds[name]
            state = {
                "state_dict": self._models[name].state_dict(),
                "epoch": epoch + 1,
                "optimizer": None if optim is None else optim.state_dict(),
                "scheduler": None if sched is None else sched.state_dict(),
                "val_result": val_result,
                "run": self.run_identity(),
                "extra": self.extra_state() if i == 0 else {},
            }
            save_checkpoint(state, os.path.join(directory, name), is_best=is_best, model_name=model_name)

    def resume_model_if_exist(self, directory: str) -> int:
        start_epoch = super().resume_model_if_exist(directory)
        if start_epoch:
            folder = os.path.join(directory, self.get_model_names()[0])
            checkpoint = load_checkpoint(os.path.join(folder, last_checkpoint_name(folder)))
            self.load_extra_state(checkpoint.get("extra") or {})
        return start_epoch
