"""The import graph of a source tree, drawn from its text, and what is wrong with it.

Nothing is imported: `ast` reads every import, those within functions and for type checkers too. The order of the rooms
comes from the table in docs/architecture.md; `faults` names each breach in one sentence.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

NOT_PRODUCT = ("tests", "docs", "configs", "scripts", "output", "data")
BESIDE_METHODS = ("__init__", "__main__", "base", "context", "imagenet_templates", "losses")
DOOR = "__main__.py"
ROW = re.compile(r"^\|(?P<rooms>[^|]*`[^|]*)\|[^|]*\|$", re.M)


class Place(NamedTuple):
    """Where a room stands: its row in the table, the chain in that row, its step in that chain, and its name."""

    storey: int
    chain: str
    step: int
    room: str

    def may_import(self, other: Place) -> bool:
        """A room imports from itself, from later steps of its chain and from lower storeys."""
        if self.storey != other.storey:
            return self.storey < other.storey
        return self == other or (self.chain == other.chain and self.step < other.step)


class Arrow(NamedTuple):
    """`source` imports `target`, both paths of files. name: what it takes from there; empty: the module itself, which
    it calls `known_as`."""

    source: str
    target: str
    line: int
    name: str
    known_as: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


def read_table(text: str) -> dict[str, Place]:
    """{pattern of paths: place} from the first column of the table whose heading begins with "Storey".

    A row is a storey, the upper ones first. In a row chains are apart by `;`; a chain is a package and its steps, apart
    by `>`, the upper ones first; the rooms of a step are apart by `,`, and the files of one room joined by `+`.
    """
    places = {}
    table = re.search(r"^\| Storey.*?(?=^$|\Z)", text, re.M | re.S)
    for storey, row in enumerate(ROW.finditer(table[0] if table else "")):
        for chain in row["rooms"].split(";"):
            package, colon, steps = chain.partition(":")
            home = _quoted(package)[0] if colon else ""
            for step, cell in enumerate((steps if colon else chain).split(">")):
                for room in cell.split(","):
                    paths = [path if path.startswith(home) else home + path for path in _quoted(room)]
                    name = home + " + ".join(path.removeprefix(home) for path in paths)
                    places |= {path: Place(storey, home or chain, step, name) for path in paths}
    return places


def _quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def place_of(path: str, table: Mapping[str, Place]) -> Place | None:
    """The place of the longest pattern that fits; None if none does. A `__main__.py` is a door wherever it lies."""
    if path.rpartition("/")[2] == DOOR and DOOR in table:
        return table[DOOR]
    fitting = [p for p in table if path == p or (p.endswith("/") and path.startswith(p)) or _fits(path, p)]
    return table[max(fitting, key=lambda p: (p.count("/"), "*" not in p, len(p)))] if fitting else None


def _fits(path: str, pattern: str) -> bool:
    """`*` stands for a name, never for a folder: `bench/*.py` are the files on its top floor."""
    return "*" in pattern and path.count("/") == pattern.count("/") and fnmatch(path, pattern)


def sources(root: Path) -> dict[str, ast.Module]:
    """{path below the root: tree} of every product file."""
    found = [*root.glob("*.py")]
    for folder in root.iterdir():
        skipped = folder.name in NOT_PRODUCT or folder.name.startswith(".") or folder.is_symlink()
        found += [] if skipped else folder.rglob("*.py")
    return {p.relative_to(root).as_posix(): ast.parse(p.read_text(encoding="utf-8"), str(p)) for p in sorted(found)}


def arrows(trees: Mapping[str, ast.Module]) -> list[Arrow]:
    """Every import of one file of `trees` by another."""
    return [arrow for path, tree in trees.items() for arrow in _arrows_of(path, tree, trees)]


def _arrows_of(path: str, tree: ast.Module, trees: Mapping[str, ast.Module]) -> Iterator[Arrow]:
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        for alias in node.names:
            called, name = alias.asname or alias.name, ""
            if isinstance(node, ast.Import):
                target = _file_of(alias.name.split("."), trees)
            else:
                above = path.split("/")[: -node.level] if node.level else []
                module = above + (node.module.split(".") if node.module else [])
                target = _file_of([*module, alias.name], trees)
                if not target:
                    target, name = _file_of(module, trees), alias.name
            if target:
                yield Arrow(path, target, node.lineno, name, called)


def _file_of(module: list[str], trees: Mapping[str, ast.Module]) -> str:
    path = "/".join(module)
    return next((file for file in (f"{path}.py", f"{path}/__init__.py") if file in trees), "")


def circles(links: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The nodes of each circle (each of them leads to every other), sorted."""
    after: dict[str, set[str]] = defaultdict(set)
    for source, target in links:
        if source != target:
            after[source].add(target)
    reached = {node: _reached(node, after) for node in after}
    found = {frozenset(n for n in reached if n in reached[node] and node in reached[n]) for node in reached}
    return sorted(sorted(circle) for circle in found if circle)


def _reached(start: str, after: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(after.get(start, ()))
    while waiting:
        if (node := waiting.pop()) not in found:
            found.add(node)
            waiting += after.get(node, ())
    return found


def faults(trees: Mapping[str, ast.Module], table: Mapping[str, Place]) -> list[str]:
    """One sentence for every breach of the rules of docs/architecture.md in `sources(root)`."""
    links = arrows(trees)
    places = {path: place_of(path, table) for path in trees}
    found = [f"{path} is in no room of the table" for path, place in places.items() if place is None]
    for arrow in links:
        source, target = places[arrow.source], places[arrow.target]
        if source and target and not source.may_import(target):
            found.append(f"{arrow}, which is not below it")
        if _private(arrow.name):
            found.append(f"{arrow.source}:{arrow.line} takes {arrow.name}, a private part, from {arrow.target}")
        if (owner := _owner(arrow.target, trees)) not in ("", arrow.source) and _on_top_floor(arrow.source):
            found.append(f"{arrow}, which is {owner}'s own")
    found += [f"circle of files: {', '.join(c)}" for c in circles((a.source, a.target) for a in links)]
    rooms = {path: _node(path, place) for path, place in places.items()}
    found += [f"circle of rooms: {', '.join(c)}" for c in circles((rooms[a.source], rooms[a.target]) for a in links)]
    for path, tree in trees.items():
        modules = {a.known_as: a.target for a in links if a.source == path and not a.name}
        found += _private_reads(path, tree, modules)
        if path.rpartition("/")[2].startswith("test_"):
            found.append(f"{path} is named like a test")
        if _on_top_floor(path) and not _is_method(path, tree):
            found.append(f"{path} holds no method")
    return found


def _node(path: str, place: Place | None) -> str:
    """A file's room where the table names rooms by files, else its folder; a door is a room of its own."""
    if path.endswith(f"/{DOOR}"):
        return path
    return place.room if place and not place.room.endswith("/") else path.rpartition("/")[0] + "/"


def _private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _private_reads(path: str, tree: ast.Module, modules: Mapping[str, str]) -> Iterator[str]:
    """`module._name`; modules: {what the file calls it: its file}."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _private(node.attr) and (target := modules.get(ast.unparse(node.value))):
            yield f"{path}:{node.lineno} takes {node.attr}, a private part, from {target}"


def _on_top_floor(path: str) -> bool:
    return re.fullmatch(r"trainers/\w+\.py", path) is not None


def _owner(path: str, trees: Mapping[str, ast.Module]) -> str:
    """trainers/parts/METHOD_anything.py belongs to trainers/METHOD.py; "" for other files."""
    part = re.fullmatch(r"trainers/parts/([a-z0-9]+)_\w+\.py", path)
    owner = f"trainers/{part[1]}.py" if part else ""
    return owner if owner in trees else ""


def _is_method(path: str, tree: ast.Module) -> bool:
    """Whether it registers a trainer, or is one of the files that all methods share."""
    named = (ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return Path(path).stem in BESIDE_METHODS or "TRAINER_REGISTRY.register" in named


def storeys(
    trees: Mapping[str, ast.Module], table: Mapping[str, Place]
) -> tuple[list[list[str]], list[tuple[int, int]]]:
    """(the lines of text of each package, upper ones first; arrows between these by number). An arrow that others lead
    along already is left out."""
    places = {path: place_of(path, table) for path in trees}
    keys = list(dict.fromkeys((p.storey, p.chain) for p in table.values()))
    after: dict[tuple[int, str], set[tuple[int, str]]] = defaultdict(set)
    for arrow in arrows(trees):
        source, target = places[arrow.source][:2], places[arrow.target][:2]
        if source != target:
            after[source].add(target)
    drawn = []
    for number, key in enumerate(keys):
        longer = set().union(*(_reached(near, after) for near in after[key])) if after[key] else set()
        drawn += [(number, keys.index(near)) for near in keys if near in after[key] - longer]
    return [_label(key, table) for key in keys], drawn


def _label(key: tuple[int, str], table: Mapping[str, Place]) -> list[str]:
    steps: dict[int, list[str]] = defaultdict(list)
    for place in table.values():
        if place[:2] == key and place.room.removeprefix(key[1]) not in ("", *steps[place.step]):
            steps[place.step].append(place.room.removeprefix(key[1]))
    home = "" if "`" in key[1] else key[1]
    return [line for line in (home, *(", ".join(step) for _, step in sorted(steps.items()))) if line]
