"""The bare training loop with its hooks, checkpoints and TensorBoard writer."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from yacs.config import CfgNode

from dassl.data.facts import data_facts, difference, image_paths
from dassl.protocols import Evaluator
from dassl.utils.checkpoint import (
    BEST_NAME,
    last_checkpoint_name,
    load_checkpoint,
    load_model_state,
    resume_state,
    save_checkpoint,
)
from dassl.utils.errors import InputError, MissingFileError
from dassl.utils.finite import check_saved, check_weights

from . import preemption
from .class_rows import by_label, check_classes
from .guards import check_training
from .models import ModelKeeper
from .trackers import Tracker, close_trackers, configuration, write_configuration, write_point

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)


class TrainerBase(ModelKeeper):
    """Iterative training: before_train, (before_epoch, run_epoch, after_epoch) for each epoch, after_train."""

    # Set by `SimpleTrainer`. A trainer with data of its own may lack some of the first six.
    cfg: CfgNode
    dm: Any
    train_loader_x: DataLoader
    val_loader: DataLoader | None
    test_loader: DataLoader
    lab2cname: dict[int, str]
    device: torch.device
    output_dir: str
    start_epoch: int
    epoch: int
    max_epoch: int
    best_result: float
    evaluator: Evaluator

    def __init__(self) -> None:
        super().__init__()
        self._writer: SummaryWriter | None = None
        self._trackers: dict[str, Tracker] = {}  # beside it: TRAIN.TRACKERS
        self._data_met: dict | None = None
        self.lists_met: dict[str, list[str]] = {}  # {"train", "val", "test"} -> image paths when the training began
        self._rolling_file = ""  # see `replace_next`

    # ---- checkpoints

    def save_model(
        self, epoch: int, directory: str, is_best: bool = False, val_result: float | None = None, model_name: str = ""
    ) -> None:
        """Write a checkpoint of each registered model after the epoch of index `epoch` (0-based) to `directory`.

        Raises DivergedError, and saves nothing, where a weight is infinite or NaN.
        """
        finished = epoch + 1 == getattr(self, "max_epoch", None)
        for name in self.get_model_names():
            check_saved(self, name, epoch)
        for i, name in enumerate(self.get_model_names()):
            optim, sched = self._optims[name], self._scheds[name]
            state = {
                "state_dict": self._models[name].state_dict(),
                "epoch": epoch + 1,
                # A finished run takes no further step: without the optimizer's state the file is a third of the size.
                "optimizer": None if optim is None or finished else optim.state_dict(),
                "scheduler": None if sched is None else sched.state_dict(),
                "val_result": val_result,
                # Not in upstream, which ignores them:
                "best_result": getattr(self, "best_result", None),
                "rolling_file": self._rolling_file,
                "run": self.run_identity(),
                "extra": self.extra_state() if i == 0 else {},
                "classnames": by_label(getattr(self, "lab2cname", {})),
                "data": self.data_met(),
            }
            save_checkpoint(state, os.path.join(directory, name), is_best=is_best, model_name=model_name)

    def replace_next(self, file: str) -> str:
        """Sets the checkpoint that the next save replaces ("": none); returns the one set before. See rolling.py."""
        before, self._rolling_file = self._rolling_file, file
        return before

    def run_identity(self) -> dict:
        """Plain values that must agree between a checkpoint and the run that resumes from it."""
        return {}

    def data_met(self) -> dict:
        """`data_facts` of the dataset as it was when the training began: a method may change its lists later."""
        if self._data_met is None:
            dataset = getattr(getattr(self, "dm", None), "dataset", None)
            self._data_met = {} if dataset is None else data_facts(dataset)
            self.lists_met = {} if dataset is None else image_paths(dataset)
        return self._data_met

    def extra_state(self) -> dict:
        """Further state that a resumed run needs (a running average, for instance): tensors and plain values.

        Here: the state of `self.scaler`, if there is such a gradient scaler.
        """
        scaler = getattr(self, "scaler", None)
        return {} if scaler is None else {"scaler": scaler.state_dict()}

    def load_extra_state(self, state: dict) -> None:
        """Restore what `extra_state` gave. Called on resume, also with {} for a file without it."""
        scaler = getattr(self, "scaler", None)
        if scaler is not None and state.get("scaler"):
            scaler.load_state_dict(state["scaler"])

    def resume_model_if_exist(self, directory: str) -> int:
        """Resume all registered models if each has a folder in `directory`; returns the index of the next epoch.
        Raises InputError if a checkpoint is of another run, other data, or more epochs than OPTIM.MAX_EPOCH."""
        names = self.get_model_names()
        folders = [os.path.join(directory, name) for name in names]
        if not all(os.path.isdir(folder) for folder in folders) or not any(
            os.path.isfile(os.path.join(folder, "checkpoint")) for folder in folders
        ):
            logger.info("No checkpoint found, train from scratch")
            return 0
        logger.info("Found checkpoint at %s (will resume training)", directory)
        start_epoch = 0
        for i, (name, path) in enumerate(zip(names, self._common_files(folders), strict=True)):
            checkpoint = resume_state(path, self._models[name], self._optims[name], self._scheds[name])
            self._check_identity(checkpoint.get("run") or {}, path)
            self._check_data(checkpoint.get("data"), path)
            check_weights(self._models[name], path, "its training has diverged; remove the folder to start again")
            check_classes(self._models[name], checkpoint, getattr(self, "lab2cname", {}), path)
            start_epoch = checkpoint.get("epoch", 0)
            if i == 0:
                self._rolling_file = checkpoint.get("rolling_file") or ""
                if checkpoint.get("best_result") is not None:
                    self.best_result = checkpoint["best_result"]
                self._take_extra(checkpoint.get("extra") or {}, path)
            if start_epoch > getattr(self, "max_epoch", start_epoch):
                raise InputError(
                    f"{path} was trained for {start_epoch} epochs, but OPTIM.MAX_EPOCH is {self.max_epoch}: "
                    "use another output folder for fewer epochs, or raise OPTIM.MAX_EPOCH"
                )
        return start_epoch

    def _take_extra(self, extra: dict, path: str) -> None:
        try:
            self.load_extra_state(extra)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as exc:
            if isinstance(exc, InputError):
                raise
            raise InputError(
                f"{path} cannot be resumed from: its extra state does not fit this run ({type(exc).__name__}: {exc}); "
                "to start again use another output folder, or delete this one"
            ) from exc

    @staticmethod
    def _common_files(folders: list[str]) -> list[str]:
        """The last checkpoint of each folder, or, if a run stopped between two models' saves, the one that all have."""
        names = [last_checkpoint_name(folder) for folder in folders]
        for name in [names[0], *sorted(set(names))]:
            if all(os.path.isfile(os.path.join(folder, name)) for folder in folders):
                return [os.path.join(folder, name) for folder in folders]
        raise InputError(
            f"{os.path.dirname(folders[0])} cannot be resumed from: its models have no checkpoint in common"
        )

    def _check_identity(self, saved: dict, path: str) -> None:
        mine = self.run_identity()
        wrong = [f"{k} {saved[k]!r} instead of {mine[k]!r}" for k in mine if k in saved and saved[k] != mine[k]]
        if wrong:
            raise InputError(
                f"{path} comes from another run ({'; '.join(wrong)}) and cannot be resumed: use another output folder, "
                "or delete that one to start again; to evaluate a trained model use its folder as model folder instead"
            )

    def _check_data(self, saved: dict | None, path: str) -> None:
        if not saved:
            logger.warning("Warning: %s does not say which images it was trained on: resuming assumes this run's", path)
            return
        if wrong := difference(saved, self.data_met()):
            unseeded = self.run_identity().get("SEED", 0) < 0
            why = "without a seed (--seed) each start draws its own" if unseeded else "bring back that data"
            raise InputError(
                f"{path} cannot be resumed: the data has changed since, {wrong}; {why}, use another output folder, or "
                "delete that one to start again."
            )

    def load_model(self, directory: str, epoch: int | None = None) -> None:
        """Load `directory`/<name>/model-best.pth.tar, or model.pth.tar-<epoch>, into each registered model."""
        if not directory:
            logger.info("Note that load_model() is skipped as no pretrained model is given")
            return
        for name in self.get_model_names():
            path = os.path.join(directory, name, BEST_NAME if epoch is None else f"model.pth.tar-{epoch}")
            if not os.path.isfile(path):
                raise MissingFileError(f'No model at "{path}": check the model folder and the epoch')
            checkpoint = load_checkpoint(path)
            load_model_state(self._models[name], checkpoint, path, "Check the method's settings and the backbone")
            check_weights(self._models[name], path, "its training has diverged, or the file is damaged; train again")
            check_classes(self._models[name], checkpoint, getattr(self, "lab2cname", {}), path)
            result = checkpoint.get("val_result")
            result = f"{result:.1f}" if isinstance(result, (int, float)) else "none"
            logger.info("Load %s to %s (epoch=%s, val_result=%s)", path, name, checkpoint.get("epoch"), result)

    # ---- TensorBoard, and trackers beside it

    def init_writer(self, log_dir: str) -> None:
        """Open the event file and write the configuration to it; without the tensorboard package there is none."""
        if self._writer is not None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            logger.info("The tensorboard package is not installed: no event files are written")
            return
        logger.info("Initialize tensorboard (log_dir=%s)", log_dir)
        self._writer = SummaryWriter(log_dir=log_dir)
        if hasattr(self, "cfg"):
            write_configuration(self._writer, configuration(self))

    def close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        close_trackers(self._trackers, failed=False)

    def write_scalar(self, tag: str, value: float, global_step: int | None = None) -> None:
        """Write a point of a curve to TensorBoard and the other trackers; nothing without any."""
        if self._writer is not None:
            self._writer.add_scalar(tag, value, global_step)
        write_point(self._trackers, tag, value, global_step)

    # ---- the loop and its hooks

    def train(self, start_epoch: int, max_epoch: int) -> None:
        """Train from epoch index `start_epoch`, which `before_train` may change, up to `max_epoch` epochs."""
        self.start_epoch = start_epoch
        self.max_epoch = max_epoch
        check_training(self)
        self.data_met()
        self.before_train()
        for self.epoch in range(self.start_epoch, self.max_epoch):  # noqa: B020 (hooks read self.epoch)
            with preemption.epoch(self):
                self.seed_epoch()
                self.before_epoch()
                self.run_epoch()
                self.after_epoch()
        self.after_train()

    def save_to_stop(self) -> None:
        """Called when the run stops after the current epoch: save this epoch, unless it is saved."""

    def seed_epoch(self) -> None:
        """Make the random draws of an epoch independent of what ran before it."""

    def before_train(self) -> None:
        pass

    def after_train(self) -> None:
        pass

    def before_epoch(self) -> None:
        pass

    def after_epoch(self) -> None:
        pass

    def run_epoch(self) -> None:
        raise NotImplementedError

    def test(self, split: str | None = None) -> float:
        raise NotImplementedError

    def parse_batch_train(self, batch: Any) -> Any:
        raise NotImplementedError

    def parse_batch_test(self, batch: Any) -> Any:
        raise NotImplementedError

    def forward_backward(self, batch: Any) -> Any:
        raise NotImplementedError

    def model_inference(self, input: Tensor) -> Tensor:
        raise NotImplementedError
