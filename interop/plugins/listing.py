"""`python train.py --list`: lists every trainer and dataset with the file or package that it comes from."""

from __future__ import annotations

from collections.abc import Iterable

from tabulate import tabulate

from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY

from .loading import Broken
from .names import plain
from .origin import origin


def listing(broken: Iterable[Broken]) -> str:
    """A table, and a line for each plugin that could not be imported. A name has its label if it is not unique."""
    rows = [
        (what, name, origin(registry.get(name)))
        for what, registry in (("trainer", TRAINER_REGISTRY), ("dataset", DATASET_REGISTRY))
        for name in sorted(registry.registered_names(), key=str.casefold)
        if name == plain(name) or plain(name) not in registry or registry.get(plain(name)) is not registry.get(name)
    ]
    lines = [tabulate(rows, ["", "name", "from"]), *(f"left out: {each.sentence}" for each in broken)]
    return "\n".join(lines)
