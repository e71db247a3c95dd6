"""One epoch: batches, progress lines, curves. For any trainer with loaders and `forward_backward`."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import timedelta

from dassl.utils.finite import check_loss
from dassl.utils.meters import AverageMeter, MetricMeter
from dassl.utils.progress import progress

from .time_left import TimeLeft

logger = logging.getLogger(__name__)


class EpochLoop:
    """The epoch of a trainer: its batches, one by one, to `forward_backward`."""

    def _batches(self) -> Iterator[tuple]:
        """The arguments of `forward_backward`, batch by batch; sets `num_batches` first. Here: labelled batches."""
        self.num_batches = len(self.train_loader_x)
        for batch in self._bar(self.train_loader_x):
            yield (batch,)

    _time_left: TimeLeft | None = None
    _epoch_ended: float | None = None

    def run_epoch(self) -> None:
        self._time_left = self._time_left or TimeLeft()
        if self._epoch_ended is not None:
            self._time_left.pause(time.time() - self._epoch_ended)
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
            self._time_left.step(batch_time.val)
            if (self.batch_idx + 1) % freq == 0 or self.num_batches < freq:
                self._log_progress(losses, batch_time, data_time)
            step = self.epoch * self.num_batches + self.batch_idx
            for name, meter in losses.meters.items():
                self.write_scalar("train/" + name, meter.avg, step)
            self.write_scalar("train/lr", self.get_current_lr(), step)
            end = time.time()
        self._epoch_ended = time.time()

    def _log_progress(self, losses: MetricMeter, batch_time: AverageMeter, data_time: AverageMeter) -> None:
        epochs = self.max_epoch - self.epoch - 1
        left = self._time_left.seconds(self.num_batches * (epochs + 1) - self.batch_idx - 1, epochs)
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

    def _bar(self, batches) -> Iterator:
        return progress(batches, desc=f"epoch {self.epoch + 1}/{self.max_epoch}", lines=False)
