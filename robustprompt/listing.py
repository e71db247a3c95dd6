"""`robustprompt list`: methods, datasets, protocols and suites, read from the source, without torch."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import shorten

import yaml
from tabulate import tabulate

from runs.config_names import CONFIG_FOLDER, MIX_INS, PUBLISHED
from runs.protocols import PROTOCOLS

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 100  # characters of what is said about one
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def listing(what: Sequence[str], names: bool = False) -> str:
    """A table for each of what: "methods", "datasets", "protocols", "suites". names: only these, one a line."""
    tables = {kind: TABLES[kind]() for kind in what}
    if names:
        return "\n".join(row[0] for rows in tables.values() for row in rows)
    return "\n\n".join(f"{len(rows)} {kind}\n{_table(rows)}" for kind, rows in tables.items())


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    short = [(*row[:-1], shorten(row[-1], WIDTH, placeholder=" ...")) for row in rows]
    return tabulate(short, tablefmt="plain", disable_numparse=True)


def methods(root: Path = ROOT) -> list[tuple[str, str]]:
    """(name, first sentence about it) of the classes that files of `trainers/` register, and of the methods on hosts
    that have configs. Other hosts can be had by `--trainer`; plugins are listed by `train.py --list`."""
    found = _classes(root / "trainers", "TRAINER_REGISTRY")
    for name in PUBLISHED.keys() - found.keys():
        found[name] = _on_host(name)
    return sorted(found.items(), key=lambda row: row[0].casefold())


def _on_host(name: str) -> str:
    for added, hosts in MIX_INS.items():
        if name.removesuffix(added) in hosts:
            return f"{name.removesuffix(added)} with {added}"
    host = CONFIG_FOLDER.get(name, name.removeprefix("Adv"))
    return f"{host}, trained on attacked pictures"


def datasets(root: Path = ROOT) -> list[tuple[str, str, str]]:
    """(name of the YAML file, registered name, first sentence about the class)."""
    about = _classes(root / "datasets", "DATASET_REGISTRY")
    rows = []
    for file in sorted((root / "configs" / "datasets").glob("*.yaml")):
        said = yaml.load(file.read_text(encoding="utf-8"), LOADER) or {}
        name = said.get("DATASET", {}).get("NAME", "")
        rows.append((file.stem, name, about.get(name, "")))
    return rows


def protocols() -> list[tuple[str, str]]:
    """(name, what it does)."""
    return [(name, _first(inspect.getdoc(protocol)).removeprefix("train.py's arguments: "))
            for name, protocol in PROTOCOLS.items()]  # fmt: skip


def suites(root: Path = ROOT) -> list[tuple[str, str]]:
    """(file, the first sentence of the comment that it begins with)."""
    rows = []
    for file in sorted((root / "configs" / "suites").glob("*.yaml")):
        comment = []
        for line in file.read_text(encoding="utf-8").splitlines():
            if not line.startswith("#"):
                break
            comment.append(line.lstrip("# "))
        rows.append((file.relative_to(root).as_posix(), _first(" ".join(comment))))
    return rows


def _classes(folder: Path, registry: str) -> dict[str, str]:
    """{name: first sentence of its docstring} of the classes in a folder that `@REGISTRY.register()` decorates."""
    found = {}
    for file in sorted(folder.glob("*.py")):
        text = file.read_text(encoding="utf-8")
        for node in ast.parse(text).body if f"{registry}.register" in text else ():
            if isinstance(node, ast.ClassDef) and any(registry in ast.unparse(each) for each in node.decorator_list):
                found[node.name] = _first(ast.get_docstring(node))
    return found


def _first(text: str | None) -> str:
    return " ".join((text or "").split()).partition(". ")[0].rstrip(".:")


TABLES: dict[str, Callable[[], list]] = {
    "methods": methods,
    "datasets": datasets,
    "protocols": protocols,
    "suites": suites,
}
