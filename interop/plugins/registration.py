"""What a plugin may register, and under which names: its own where that is free, and `NAME@LABEL` in any case."""

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
    """The class `name` is not registered; the text says why."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name


KINDS = {  # registry: (what is in it, the class that all of them derive from)
    TRAINER_REGISTRY: ("trainer", TrainerBase),
    DATASET_REGISTRY: ("dataset", DatasetBase),
    EVALUATOR_REGISTRY: ("evaluator", EvaluatorBase),
}
NAMED: dict[str, str] = {}  # {module that this run asks for: its label}; others are there because these import them
BROUGHT: defaultdict[str, list[tuple[Registry, Callable]]] = defaultdict(list)  # {module: what it registers}
_executing: list[str] = []
_own_way = {registry: registry.admit for registry in KINDS}


@contextmanager
def registering(module: ModuleType) -> Iterator[None]:
    """Around the execution of a plugin's module."""
    _executing.append(module.__name__)
    BROUGHT[module.__name__].clear()
    try:
        yield
    finally:
        _executing.pop()


def _admit(registry: Registry, obj: Callable, force: bool) -> Callable:
    """A plugin never takes a name that another has, whatever it says of `force`: it has its own with the label."""
    if not _executing:
        return _own_way[registry](obj, force)
    BROUGHT[_executing[-1]].append((registry, obj))
    _name(registry, obj, _executing[-1])
    return obj


for _registry in KINDS:
    _registry.admit = partial(_admit, _registry)


def name_again(module: str) -> None:
    """After a module that is there already was asked for, perhaps with another label."""
    for registry, obj in BROUGHT[module]:
        _name(registry, obj, module)


def _name(registry: Registry, obj: Callable, module: str) -> None:
    """Classes of a file that was asked for go before those of its neighbours."""
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
    """Ours never does; a plugin's does to a file that was asked for, or that lies beside one, where it itself was not.
    A process that makes several runs may have loaded other plugins before."""
    theirs = getattr(holder, "__module__", "")
    return is_plugin(holder) and (theirs == module or _rank(theirs) < _rank(module))


def _rank(module: str) -> int:
    top = module.partition(".")[0]
    return 2 if module in NAMED else int(any(each.partition(".")[0] == top for each in NAMED))


def chosen(registry: Registry, name: str, modules: Iterable[str] = ()) -> str:
    """The registered name that `name` stands for. modules: those that this run asks for with --plugin.

    Raises InputError where one of them brings a class whose plain name is another's, and nothing says which is meant;
    and for a label that there is not.
    """
    what, members, word = KINDS[registry][0], registry._members, plain(name)
    if name == f"{word}@{OURS}":
        if word not in members or is_plugin(members[word]):
            raise InputError(f"{name}: this project has no {what} {word}; leave the @{OURS} out.")
        return word
    ways = {each: kind for each, kind in members.items() if plain(each) == word and label_of(each)}
    if name != word and name not in members:
        known = f"; there is {', '.join(ways)}" if ways else ""
        raise InputError(f"There is no {what} {name}{known}: give its file with --plugin, or mend the label.")
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
                word = plain(name)
                raise Refused(f"the {what} {word} does not derive from {base.__name__}; give it that base", word)


def classes_in(file: Path) -> dict[str, int]:
    """{class: line} of a file that may not be Python's to read."""
    text = file.read_text(encoding="utf-8", errors="replace")
    found = re.finditer(r"^[ \t]*class[ \t]+(\w+)", text, re.M)
    return {match[1]: text.count("\n", 0, match.start(1)) + 1 for match in found}
