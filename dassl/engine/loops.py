"""One epoch: over labelled batches (`TrainerX`), or labelled and unlabelled ones together (`TrainerXU`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor

from dassl.utils.errors import InputError

from .epoch import EpochLoop
from .simple import SimpleTrainer


class TrainerX(EpochLoop, SimpleTrainer):
    """Trains on labelled data only: `forward_backward(batch)`."""

    def parse_batch_train(self, batch: dict) -> tuple[Tensor, Tensor, Tensor]:
        """Images, labels and domains, on the device."""
        return batch["img"].to(self.device), batch["label"].to(self.device), batch["domain"].to(self.device)


class TrainerXU(EpochLoop, SimpleTrainer):
    """Trains on labelled and unlabelled data: `forward_backward(batch_x, batch_u)`.

    TRAIN.COUNT_ITER says which loader sets the length of an epoch (train_x, train_u, smaller_one); the other loader
    starts again when it is exhausted.
    """

    def _batches(self) -> Iterator[tuple]:
        if self.train_loader_u is None:
            raise InputError(f"{type(self).__name__} needs unlabelled images, but the data set has none (train_u)")
        x, u = len(self.train_loader_x), len(self.train_loader_u)
        lengths = {"train_x": x, "train_u": u, "smaller_one": min(x, u)}
        if self.cfg.TRAIN.COUNT_ITER not in lengths:
            raise InputError(f"TRAIN.COUNT_ITER must be one of {', '.join(lengths)}, not {self.cfg.TRAIN.COUNT_ITER!r}")
        self.num_batches = lengths[self.cfg.TRAIN.COUNT_ITER]
        batches_x, batches_u = _endless(self.train_loader_x), _endless(self.train_loader_u)
        for _ in self._bar(range(self.num_batches)):
            yield next(batches_x), next(batches_u)

    def parse_batch_train(  # type: ignore[override]  # upstream's signatures
        self, batch_x: dict, batch_u: dict
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Labelled images, labels, unlabelled images, on the device."""
        return batch_x["img"].to(self.device), batch_x["label"].to(self.device), batch_u["img"].to(self.device)


def _endless(loader: Iterable) -> Iterator:
    while True:
        yield from loader
