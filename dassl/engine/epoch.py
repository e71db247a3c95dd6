"""One epoch: batches, progress lines, curves. For any trainer with loaders and `forward_backward`."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from torch import nn
from torch.utils.data import DataLoader
from yacs.config import CfgNode

from dassl.protocols import SizedIterable
from dassl.utils.finite import check_loss
from dassl.utils.meters import AverageMeter, MetricMeter
from dassl.utils.progress import progress

from .time_left import TimeLeft

logger = logging.getLogger(__name__)


class EpochLoop:
    """Runs an epoch of a trainer: each batch goes to `forward_backward`."""

    # Attributes of the trainer that derives from this class, which may be upstream's too:
    _models: OrderedDict[str, nn.Module]
    _optims: OrderedDict[str, Any]
    cfg: CfgNode
    epoch: int
    max_epoch: int
    train_loader_x: DataLoader
    forward_backward: Callable[..., dict | None]
    get_current_lr: Callable[..., float]
    set_model_mode: Callable[..., None]
    write_scalar: Callable[..., None]

    num_batches: int
    batch_idx: int

    def _batches(self) -> Iterator[tuple]:
        """The arguments of `forward_backward`, batch by batch; sets `num_batches` first. Here: labelled batches."""
        self.num_batches = len(self.train_loader_x)
        for batch in self._bar(self.train_loader_x):
            yield (batch,)

    _time_left: TimeLeft | None = None
    _epoch_ended: float | None = None

    def run_epoch(self) -> None:
        """Trains on all batches of an epoch; logs progress each TRAIN.PRINT_FREQ batches and writes TensorBoard
        curves."""
        time_left = self._time_left = self._time_left or TimeLeft()
        if self._epoch_ended is not None:
            time_left.pause(time.time() - self._epoch_ended)
        self.set_model_mode("train")
        losses, batch_time, data_time = MetricMeter(), AverageMeter(), AverageMeter()
        freq = self.cfg.TRAIN.PRINT_FREQ
        end = time.time()
        for self.batch_idx, args in enumerate(self._batches()):  # noqa: B020 (methods read self.batch_idx)
            data_time.update(time.time() - end)
            summary = self.forward_backward(*args)
            losses.update(summary)
            if summary and "loss" in summary:
                check_loss(self, losses.meters["loss"].val)
            batch_time.update(time.time() - end)
            time_left.step(batch_time.val)
            if (self.batch_idx + 1) % freq == 0 or self.num_batches < freq:
                self._log_progress(time_left, losses, batch_time, data_time)
            step = self.epoch * self.num_batches + self.batch_idx
            for name, meter in losses.meters.items():
                self.write_scalar("train/" + name, meter.avg, step)
            self.write_scalar("train/lr", self.get_current_lr(), step)
            end = time.time()
        self._epoch_ended = time.time()

    def _log_progress(
        self, time_left: TimeLeft, losses: MetricMeter, batch_time: AverageMeter, data_time: AverageMeter
    ) -> None:
        epochs = self.max_epoch - self.epoch - 1
        left = time_left.seconds(self.num_batches * (epochs + 1) - self.batch_idx - 1, epochs)
        fields = [
            f"epoch [{self.epoch + 1}/{self.max_epoch}]",
            f"batch [{self.batch_idx + 1}/{self.num_batches}]",
            f"time {batch_time.val:.3f} ({batch_time.avg:.3f})",
            f"data {data_time.val:.3f} ({data_time.avg:.3f})",
            str(losses),
            f"lr {self.get_current_lr():.4e}",
            f"eta {timedelta(seconds=int(left))}",
        ]
        logger.info(" ".join(field for field in fields if field))

    def _bar(self, batches: SizedIterable) -> Iterator:
        return progress(batches, desc=f"epoch {self.epoch + 1}/{self.max_epoch}", lines=False)
