"""One epoch: over labelled batches (`TrainerX`), or labelled and unlabelled ones together (`TrainerXU`)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import timedelta

from torch import Tensor

from dassl.utils.errors import InputError
from dassl.utils.meters import AverageMeter, MetricMeter
from dassl.utils.progress import progress

from .simple import SimpleTrainer

logger = logging.getLogger(__name__)


class _EpochTrainer(SimpleTrainer):
    def _batches(self) -> Iterator[tuple]:
        """The arguments of `forward_backward`, batch by batch; sets `num_batches` first."""
        raise NotImplementedError

    def run_epoch(self) -> None:
        self.set_model_mode("train")
        losses, batch_time, data_time = MetricMeter(), AverageMeter(), AverageMeter()
        freq = self.cfg.TRAIN.PRINT_FREQ
        end = time.time()
        for self.batch_idx, args in enumerate(self._batches()):  # noqa: B020 (methods read self.batch_idx)
            data_time.update(time.time() - end)
            losses.update(self.forward_backward(*args))
            batch_time.update(time.time() - end)
            if (self.batch_idx + 1) % freq == 0 or self.num_batches < freq:
                self._log_progress(losses, batch_time, data_time)
            step = self.epoch * self.num_batches + self.batch_idx
            for name, meter in losses.meters.items():
                self.write_scalar("train/" + name, meter.avg, step)
            self.write_scalar("train/lr", self.get_current_lr(), step)
            end = time.time()

    def _log_progress(self, losses: MetricMeter, batch_time: AverageMeter, data_time: AverageMeter) -> None:
        left = self.num_batches - self.batch_idx - 1 + (self.max_epoch - self.epoch - 1) * self.num_batches
        fields = [
            f"epoch [{self.epoch + 1}/{self.max_epoch}]",
            f"batch [{self.batch_idx + 1}/{self.num_batches}]",
            f"time {batch_time.val:.3f} ({batch_time.avg:.3f})",
            f"data {data_time.val:.3f} ({data_time.avg:.3f})",
            str(losses),
            f"lr {self.get_current_lr():.4e}",
            f"eta {timedelta(seconds=int(batch_time.avg * left))}",
        ]
        logger.info(" ".join(field for field in fields if field))

    def _bar(self, batches) -> Iterator:
        return progress(batches, desc=f"epoch {self.epoch + 1}/{self.max_epoch}", lines=False)


class TrainerX(_EpochTrainer):
    """Trains on labelled data only: `forward_backward(batch)`."""

    def _batches(self) -> Iterator[tuple]:
        self.num_batches = len(self.train_loader_x)
        for batch in self._bar(self.train_loader_x):
            yield (batch,)

    def parse_batch_train(self, batch: dict) -> tuple[Tensor, Tensor, Tensor]:
        """Images, labels and domains, on the device."""
        return batch["img"].to(self.device), batch["label"].to(self.device), batch["domain"].to(self.device)


class TrainerXU(_EpochTrainer):
    """Trains on labelled and unlabelled data: `forward_backward(batch_x, batch_u)`.

    TRAIN.COUNT_ITER says whose length counts (train_x, train_u, smaller_one); the other loader starts again when it
    is exhausted.
    """

    def _batches(self) -> Iterator[tuple]:
        if self.train_loader_u is None:
            raise InputError(f"{type(self).__name__} needs unlabelled images, and the data set has no train_u")
        x, u = len(self.train_loader_x), len(self.train_loader_u)
        lengths = {"train_x": x, "train_u": u, "smaller_one": min(x, u)}
        if self.cfg.TRAIN.COUNT_ITER not in lengths:
            raise InputError(f"TRAIN.COUNT_ITER must be one of {', '.join(lengths)}, not {self.cfg.TRAIN.COUNT_ITER!r}")
        self.num_batches = lengths[self.cfg.TRAIN.COUNT_ITER]
        batches_x, batches_u = _endless(self.train_loader_x), _endless(self.train_loader_u)
        for _ in self._bar(range(self.num_batches)):
            yield next(batches_x), next(batches_u)

    def parse_batch_train(self, batch_x: dict, batch_u: dict) -> tuple[Tensor, Tensor, Tensor]:
        """Labelled images, labels, unlabelled images, on the device."""
        return batch_x["img"].to(self.device), batch_x["label"].to(self.device), batch_u["img"].to(self.device)


def _endless(loader) -> Iterator:
    while True:
        yield from loader
