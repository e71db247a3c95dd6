"""Samplers over a list of `Datum`."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch.utils.data import RandomSampler, Sampler, SequentialSampler
from yacs.config import CfgNode

from dassl.data.datasets.base_dataset import Datum
from dassl.protocols import SizedIterable
from dassl.utils.errors import InputError


def _group(data_source: Sequence[Datum], key: str) -> dict[int, list[int]]:
    groups = defaultdict(list)
    for i, item in enumerate(data_source):
        groups[getattr(item, key)].append(i)
    return groups


class RandomDomainSampler(Sampler):
    """Each batch holds equally many images of `n_domain` domains drawn at random (0 or less: of all).

    An epoch has as many batches as the smallest domain allows, so its length is fixed.
    """

    shuffle_domains = True

    def __init__(self, data_source: Sequence[Datum], batch_size: int, n_domain: int) -> None:
        self.groups = _group(data_source, "domain")
        self.n_domain = len(self.groups) if n_domain <= 0 else n_domain
        if self.n_domain > len(self.groups) or batch_size % self.n_domain:
            raise InputError(
                f"a batch of {batch_size} cannot hold equally many images of {self.n_domain} domains "
                f"(the data has {len(self.groups)}): change BATCH_SIZE or N_DOMAIN"
            )
        self.per_domain = batch_size // self.n_domain
        self.num_batches = min(len(group) for group in self.groups.values()) // self.per_domain

    def __len__(self) -> int:
        return self.num_batches * self.per_domain * self.n_domain

    def __iter__(self) -> Iterator[int]:
        left = {domain: random.sample(group, len(group)) for domain, group in self.groups.items()}
        order = []
        for _ in range(self.num_batches):
            domains = sorted(left)
            if self.shuffle_domains or self.n_domain < len(domains):
                domains = random.sample(domains, self.n_domain)
            for domain in domains if self.shuffle_domains else sorted(domains):
                order += [left[domain].pop() for _ in range(self.per_domain)]
        return iter(order)


class SeqDomainSampler(RandomDomainSampler):
    """As `RandomDomainSampler`, with the domains in ascending order within each batch."""

    shuffle_domains = False


class RandomClassSampler(Sampler):
    """Each batch holds `n_ins` images of each of batch_size / n_ins classes.

    Images of a class are taken in groups of `n_ins`; a class with fewer is padded by repetition, a remainder is dropped.
    Classes with most groups left go first, ties at random, so the length of an epoch is fixed.
    """

    def __init__(self, data_source: Sequence[Datum], batch_size: int, n_ins: int) -> None:
        if batch_size < n_ins:
            raise InputError(f"a batch of {batch_size} cannot hold N_INS = {n_ins} images of a class: raise BATCH_SIZE")
        self.groups = _group(data_source, "label")
        self.n_ins = n_ins
        self.n_classes = batch_size // n_ins
        if len(self.groups) < self.n_classes:
            raise InputError(
            f"a batch needs {self.n_classes} classes (BATCH_SIZE / N_INS), but the data has {len(self.groups)}: "
            "lower BATCH_SIZE or raise N_INS"
            )
        self.length = len(self._class_order()) * n_ins

    def _class_order(self) -> list[int]:
        left = {label: max(1, len(group) // self.n_ins) for label, group in self.groups.items()}
        order = []
        while sum(n > 0 for n in left.values()) >= self.n_classes:
            ranked = sorted(left, key=lambda label: (-left[label], random.random()))
            for label in ranked[: self.n_classes]:
                left[label] -= 1
                order.append(label)
        return order

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        pools = {}
        for label, group in self.groups.items():
            if len(group) < self.n_ins:
                pools[label] = np.random.choice(group, self.n_ins, replace=True).tolist()  # noqa: NPY002
            else:
                pools[label] = random.sample(group, len(group))
        return iter([pools[label].pop() for label in self._class_order() for _ in range(self.n_ins)])


def build_sampler(
    sampler_type: str,
    cfg: CfgNode | None = None,
    data_source: Sequence[Datum] | None = None,
    batch_size: int = 32,
    n_domain: int = 0,
    n_ins: int = 16,
) -> SizedIterable[int]:
    """The sampler of that name; ValueError for an unknown one."""
    items: Sequence[Datum] = () if data_source is None else data_source
    makers: dict[str, Callable[[], SizedIterable[int]]] = {
        "RandomSampler": lambda: RandomSampler(items),
        "SequentialSampler": lambda: SequentialSampler(items),
        "RandomDomainSampler": lambda: RandomDomainSampler(items, batch_size, n_domain),
        "SeqDomainSampler": lambda: SeqDomainSampler(items, batch_size, n_domain),
        "RandomClassSampler": lambda: RandomClassSampler(items, batch_size, n_ins),
    }
    if sampler_type not in makers:
        raise InputError(f"sampler {sampler_type!r} is not known; known are {', '.join(makers)}")
    return makers[sampler_type]()
