"""Registers the classes of plugins: always as `NAME@LABEL`, and also as `NAME` if that is free."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType

from dassl.data.datasets import DATASET_REGISTRY, DatasetBase
from dassl.engine import TRAINER_REGISTRY, TrainerBase
from dassl.evaluation import EVALUATOR_REGISTRY, EvaluatorBase
from dassl.utils import InputError, Registry

from .names import OURS, label_of, plain
from .origin import file_of, is_plugin, origin
from .scope import LABELS


class Refused(Exception):
    """The class `name` cannot be registered; the text says why."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name


KINDS = {  # registry: (word for its members, their base class)
    TRAINER_REGISTRY: ("trainer", TrainerBase),
    DATASET_REGISTRY: ("dataset", DatasetBase),
    EVALUATOR_REGISTRY: ("evaluator", EvaluatorBase),
}
NAMED: dict[str, str] = {}  # {module given with --plugin: its label}; other modules are imported by these
BROUGHT: defaultdict[str, list[tuple[Registry, Callable]]] = defaultdict(list)  # {module: classes that it registers}
_executing: list[str] = []
_own_way = {registry: registry.admit for registry in KINDS}


@contextmanager
def registering(module: ModuleType) -> Iterator[None]:
    """Around the execution of a plugin's module: classes that are registered meanwhile are noted as the module's."""
    _executing.append(module.__name__)
    BROUGHT[module.__name__].clear()
    try:
        yield
    finally:
        _executing.pop()


def _admit(registry: Registry, obj: Callable, force: bool) -> Callable:
    """Register a class. A plugin never takes a name in use, even with `force`; it always has its name with a label."""
    if not _executing:
        return _own_way[registry](obj, force)
    BROUGHT[_executing[-1]].append((registry, obj))
    _name(registry, obj, _executing[-1])
    return obj


for _registry in KINDS:
    _registry.admit = partial(_admit, _registry)


def name_again(module: str) -> None:
    """Register the classes of an imported module again, since its label may have changed."""
    for registry, obj in BROUGHT[module]:
        _name(registry, obj, module)


def _name(registry: Registry, obj: Callable, module: str) -> None:
    """Register a class as `NAME` and `NAME@LABEL`. Raises Refused if a file given by --plugin finds both taken."""
    members, name = registry._members, obj.__name__
    label = NAMED.get(module) or LABELS[module.partition(".")[0]]
    full = f"{name}@{label}"
    for each in (name, full):
        if each not in members or _yields(members[each], module):
            members[each] = obj
    if module in NAMED and obj is not members[name] and (label == OURS or obj is not members[full]):
        raise Refused(
            f"the {KINDS[registry][0]} name {name if label == OURS else full} is taken "
            f"({origin(members[name if label == OURS else full])}); give the file a label of its own: "
            f"--plugin LABEL={file_of(obj) or 'FILE'}",
            name,
        )


def _yields(holder: Callable, module: str) -> bool:
    """Whether the class that has a name loses it to one of `module`.

    A class of this project never does. A plugin's class does if `module` was given with --plugin, or lies beside such a
    file, and its own module was not: a process that makes several runs may have loaded other plugins before.
    """
    theirs = getattr(holder, "__module__", "")
    return is_plugin(holder) and (theirs == module or _rank(theirs) < _rank(module))


def _rank(module: str) -> int:
    top = module.partition(".")[0]
    return 2 if module in NAMED else int(any(each.partition(".")[0] == top for each in NAMED))


def chosen(registry: Registry, name: str, modules: Iterable[str] = ()) -> str:
    """The registered name that `name` stands for. modules: those that this run gives with --plugin.

    Raises InputError if `name` has no label and may mean two classes, and for an unknown label.
    """
    what, members, word = KINDS[registry][0], registry._members, plain(name)
    if name == f"{word}@{OURS}":
        if word not in members or is_plugin(members[word]):
            raise InputError(f"{name}: this project has no {what} {word}; leave the @{OURS} out.")
        return word
    ways = {each: kind for each, kind in members.items() if plain(each) == word and label_of(each)}
    if name != word and name not in members:
        known = f"; there is {', '.join(ways)}" if ways else ""
        raise InputError(f"There is no {what} {name}{known}: give its file with --plugin, or correct the label.")
    modules = set(modules)
    rivals = {
        each: kind for each, kind in ways.items()
        if kind is not members.get(word) and modules & {kind.__module__, *_bringing(registry, kind)}
    }  # fmt: skip
    if name != word or not rivals:
        return name
    holder = members[word]
    own = next((each for each, kind in ways.items() if kind is holder), f"{word}@{OURS}")
    theirs = ", ".join(f"{each} for that of {origin(kind)}" for each, kind in rivals.items())
    where = {"trainer": "--trainer", "dataset": "DATASET.NAME", "evaluator": "TEST.EVALUATOR"}[what]
    raise InputError(f"Two {what}s are called {word}: give {where} {theirs}, or {own} for that of {origin(holder)}.")


def _bringing(registry: Registry, kind: Callable) -> list[str]:
    return [module for module, found in BROUGHT.items() if (registry, kind) in found]


def snapshot() -> dict[Registry, dict]:
    """A copy of the registries, for `restore` and `check_kinds`."""
    return {registry: dict(registry._members) for registry in KINDS}


def restore(before: dict[Registry, dict]) -> None:
    """Sets the registries back to a copy from `snapshot`."""
    for registry, members in before.items():
        registry._members = dict(members)


def check_kinds(before: dict[Registry, dict]) -> None:
    """Raises Refused for a class that was registered since `before` and does not have its registry's base class."""
    for registry, (what, base) in KINDS.items():
        for name, kind in registry._members.items():
            new = before[registry].get(name) is not kind
            if new and not (isinstance(kind, type) and issubclass(kind, base)):
                word = plain(name)
                raise Refused(f"the {what} {word} does not derive from {base.__name__}; give it that base", word)


def classes_in(file: Path) -> dict[str, int]:
    """{class: line} of a file, found by a regular expression, since the file may not be valid Python."""
    text = file.read_text(encoding="utf-8", errors="replace")
    found = re.finditer(r"^[ \t]*class[ \t]+(\w+)", text, re.M)
    return {match[1]: text.count("\n", 0, match.start(1)) + 1 for match in found}
