"""A torch loader whose batches depend on the seed, the epoch and the position only: not on the number of workers.

The order of an epoch is drawn from (seed, stream, epoch), and each index that goes to the data set carries a seed of its
own, from which all random transforms of that item draw. The global generators of the main process are never touched.
Since seeds travel with the indices, worker processes can stay alive from one epoch to the next.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info
from torch.utils.data.dataloader import _BaseDataLoaderIter, _MultiProcessingDataLoaderIter

from dassl.protocols import SizedIterable
from dassl.utils.randomness import stream_seed, seed_cpu, seeded


class SeededIndex(NamedTuple):
    """The position of an item in the data set, and the seed of its random transforms."""

    position: int
    seed: int


class SeededSampler(Sampler):
    """The order of `sampler`, drawn from the seed; with `per_epoch` it differs from pass to pass."""

    def __init__(self, sampler: SizedIterable[int], seed: int, stream: str, per_epoch: bool) -> None:
        self.sampler = sampler
        self.seed = seed
        self.stream = stream
        self.per_epoch = per_epoch
        self.epoch = 0
        self.passes = 0  # iterations in this epoch: there may be more than one

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        self.passes = 0

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[SeededIndex]:
        return iter(self.next_pass())

    def next_pass(self) -> list[SeededIndex]:
        """The items of a pass, in order. The pass is counted here, not when the items are used."""
        parts = (self.epoch, self.passes) if self.per_epoch else ()
        self.passes += 1
        pass_seed = stream_seed(self.seed, "loader", self.stream, *parts)
        with seeded(pass_seed):
            order = list(self.sampler)
        return [SeededIndex(index, stream_seed(pass_seed, i)) for i, index in enumerate(order)]


class SeededDataset(Dataset):
    """Seeds the generators before an item is made. All other attributes are those of the wrapped data set."""

    wrapped: Any  # a data set with __len__ and __getitem__

    def __init__(self, dataset: Dataset) -> None:
        self.__dict__["wrapped"] = dataset

    def __getattr__(self, name: str) -> Any:
        if name == "wrapped" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.wrapped, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.wrapped, name, value)

    def __len__(self) -> int:
        return len(self.wrapped)

    def __getitem__(self, index: int | SeededIndex) -> Any:
        return self.__getitems__([index])[0] if isinstance(index, SeededIndex) else self.wrapped[index]

    def __getitems__(self, indices: list[SeededIndex]) -> list:
        """A batch of items. In the main process the generators are put back afterwards, once for the whole batch."""
        with nullcontext() if get_worker_info() is not None else seeded(indices[0].seed):
            return [self._seeded_item(index) for index in indices]

    def _seeded_item(self, index: SeededIndex) -> Any:
        seed_cpu(index.seed)
        return self.wrapped[index.position]


class SeededLoader(DataLoader):
    """DataLoader over a `SeededDataset`. Call `set_epoch` before each epoch, as the engine does; without it each
    further pass counts as another one. `stream`: a name that gives loaders of the same seed different draws."""

    def __init__(
        self,
        dataset: Dataset,
        sampler: SizedIterable[int],
        *,
        seed: int,
        stream: str,
        per_epoch: bool,
        **kwargs: Any,
    ) -> None:
        order = SeededSampler(sampler, seed, stream, per_epoch)
        super().__init__(
            SeededDataset(dataset),
            sampler=order,
            generator=torch.Generator().manual_seed(stream_seed(seed, "workers", stream)),
            **kwargs,
        )
        self._order = order
        self._wrapped = dataset
        self._snapshot: int | None = None
        self._finalizer: weakref.finalize | None = None

    def set_epoch(self, epoch: int) -> None:
        self._order.set_epoch(epoch)

    def set_stream(self, stream: str) -> None:
        self._order.stream = stream

    def next_pass(self) -> list[SeededIndex]:
        """The items of the next pass, in order. The pass is counted as done, although no item is loaded."""
        return self._order.next_pass()

    def stop_workers(self) -> None:
        """End persistent worker processes (unless a pass still runs, which ends them itself); the next pass starts
        new ones."""
        if self._finalizer is not None:
            if self._pass_is_running():
                self._finalizer.detach()
            else:
                self._finalizer()
        self._iterator = None

    def _pass_is_running(self) -> bool:
        return getattr(self._iterator, "_tasks_outstanding", 0) > 0

    def __iter__(self) -> _BaseDataLoaderIter:
        if not (self.persistent_workers and self.num_workers > 0):
            return super().__iter__()
        snapshot = _snapshot(self._wrapped)
        # Workers hold a copy of the data set: new ones if it changed (relabelled items, another transform).
        # New ones too if an earlier pass was left early or still runs: persistent workers serve one pass at a time.
        if snapshot != self._snapshot or self._pass_is_running():
            self.stop_workers()
        self._snapshot = snapshot
        is_new = self._iterator is None
        iterator = super().__iter__()
        if is_new and isinstance(iterator, _MultiProcessingDataLoaderIter):
            # Garbage collection may close an iterator's queues before it can tell its workers to end, and then waits
            # five seconds for each. The finalizer keeps the iterator whole until the loader is gone.
            self._finalizer = weakref.finalize(self, iterator._shutdown_workers)
            self._finalizer.atexit = False  # type: ignore[misc]  # typeshed takes it for read-only
        return iterator


def _snapshot(dataset: Dataset) -> int:
    """A hash that changes when an attribute of the data set or a label or path of its items does."""
    own = tuple((name, id(value)) for name, value in vars(dataset).items())
    source = getattr(dataset, "data_source", ())
    items = tuple((getattr(d, "label", None), getattr(d, "impath", None)) for d in source)
    return hash((own, items))
