"""Upstream's TrainerX with the functions of RobustPrompt's engine that the exported methods use."""

from __future__ import annotations

import os

import dassl.engine
from dassl.engine.epoch import EpochLoop
from dassl.engine.evaluation_loop import EvaluationLoop
from dassl.utils.checkpoint import last_checkpoint_name, load_checkpoint, save_checkpoint

from .training_items import keep_training_items


class TrainerX(EpochLoop, EvaluationLoop, dassl.engine.TrainerX):
    """The base class of exported methods in place of upstream's TrainerX.

    Epochs are upstream's, except for methods that choose their batches. Tests evaluate all logits of a method, which
    upstream's loop cannot do. Checkpoints have upstream's layout, and also the state that a resumed run needs.
    """

    def run_epoch(self) -> None:
        if type(self)._batches is EpochLoop._batches:
            dassl.engine.TrainerX.run_epoch(self)
        else:
            super().run_epoch()

    keep_training_items = keep_training_items

    # ------------------------------------------------------------------ checkpoints

    def extra_state(self) -> dict:
        """State beyond upstream's checkpoints: the loss scale of mixed precision. Methods may add to it."""
        scaler = getattr(self, "scaler", None)
        return {} if scaler is None else {"scaler": scaler.state_dict()}

    def load_extra_state(self, state: dict) -> None:
        if state.get("scaler"):
            self.scaler.load_state_dict(state["scaler"])

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
