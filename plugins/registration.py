"""What a plugin may register: names that are free, classes that are trainers, datasets or evaluators."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType

from dassl.data.datasets import DATASET_REGISTRY, DatasetBase
from dassl.engine import TRAINER_REGISTRY, TrainerBase
from dassl.evaluation import EVALUATOR_REGISTRY, EvaluatorBase
from dassl.utils import Registry

from .origin import origin


class Refused(Exception):
    """The class `name` is not registered; the text says why."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name


KINDS = {  # registry: (what is in it, the class that all of them derive from)
    TRAINER_REGISTRY: ("trainer", TrainerBase),
    DATASET_REGISTRY: ("dataset", DatasetBase),
    EVALUATOR_REGISTRY: ("evaluator", EvaluatorBase),
}
NAMED: set[str] = set()  # modules that were asked for; others are there because these import them
PASSED_OVER: defaultdict[str, list[Refused]] = defaultdict(list)  # module: what it did not get registered
_executing: list[str] = []


@contextmanager
def registering(module: ModuleType) -> Iterator[None]:
    """Around the execution of a plugin's module."""
    _executing.append(module.__name__)
    try:
        yield
    finally:
        _executing.pop()


def _taken(registry: Registry, obj: Callable) -> Callable:
    """A name that is taken is an error in a file that was asked for.

    A checkout's trainers/coop.py, which such a file imports, may be its own version of CoOp: ours stays the one of that
    name, and whoever imports theirs has it.
    """
    if not _executing:
        return Registry.when_taken(registry, obj)
    what = KINDS[registry][0]
    name, module = obj.__name__, _executing[-1]
    refused = Refused(f"the {what} name {name} is taken ({origin(registry.get(name))}); rename the class", name)
    if module in NAMED:
        raise refused
    PASSED_OVER[module].append(refused)
    return obj


for _registry in KINDS:
    _registry.when_taken = partial(_taken, _registry)


def snapshot() -> dict[Registry, dict]:
    """What is registered now, for `restore` and `check_kinds`."""
    return {registry: dict(registry._members) for registry in KINDS}


def restore(before: dict[Registry, dict]) -> None:
    for registry, members in before.items():
        registry._members = dict(members)


def check_kinds(before: dict[Registry, dict]) -> None:
    """Raises Refused for a class that came since `before` and is not what its registry is for."""
    for registry, (what, base) in KINDS.items():
        for name, kind in registry._members.items():
            new = before[registry].get(name) is not kind
            if new and not (isinstance(kind, type) and issubclass(kind, base)):
                raise Refused(f"the {what} {name} does not derive from {base.__name__}; give it that base", name)


def classes_in(file: Path) -> dict[str, int]:
    """{class: line} of a file that may not be Python's to read."""
    text = file.read_text(encoding="utf-8", errors="replace")
    found = re.finditer(r"^[ \t]*class[ \t]+(\w+)", text, re.M)
    return {match[1]: text.count("\n", 0, match.start(1)) + 1 for match in found}
