"""Rewrites the import statements of a module for its place in the exported package."""

from __future__ import annotations

import ast
import importlib
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from dassl.utils import InputError

from .upstream import STAND_INS, stays

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "robustprompt"
LINE = 120


@dataclass
class Rewritten:
    """A module's new text. needs: modules of this project that it imports; others: packages to be installed."""

    text: str
    needs: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)


def source_file(module: str) -> Path | None:
    """The file of a module of this project; None if there is no such module."""
    path = ROOT.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def is_own(root: str) -> bool:
    """Whether a top-level package is exported with a method: those of this project, and OpenAI's `clip`."""
    return root == "clip" or source_file(root) is not None


def place(module: str) -> str:
    """The name of a module in the exported package: `dassl` becomes `engine`, the other names stay."""
    for prefix, there in (("interop.export.exported.", ""), ("dassl", "engine")):
        if module.startswith(prefix):
            return there + module[len(prefix) :]
    return module


def defined_in(module: str, name: str) -> str:
    """The module that defines `name` of `from module import name`, which `module` may itself have imported."""
    if source_file(f"{module}.{name}"):
        return module
    home = getattr(getattr(importlib.import_module(module), name), "__module__", module)
    return home if home.partition(".")[0] == module.partition(".")[0] else module


def rewrite(module: str, text: str, file: Path) -> Rewritten:
    """The source `text` of `module` with imports of this project replaced by imports of the exported package.

    Names that upstream Dassl has are still imported from `dassl`. Only import statements change. Raises InputError for
    an import that cannot be rewritten (`import trainers.coop` without `as`).
    """
    done, lines = Rewritten(text), text.splitlines(keepends=True)
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    for node in sorted(imports, key=lambda node: -node.lineno):
        statements = _statements(node, package, done, f"{file}:{node.lineno}")
        if statements is None:
            continue
        indent, last = lines[node.lineno - 1][: node.col_offset], lines[node.end_lineno - 1]
        comment = last.encode()[node.end_col_offset :].decode().rstrip("\n")
        rendered = [indent + statement for statement in statements]
        rendered[-1] += comment
        lines[node.lineno - 1 : node.end_lineno] = [line + "\n" for line in rendered]
    done.text = "".join(lines)
    return done


def _statements(node: ast.Import | ast.ImportFrom, package: str, done: Rewritten, where: str) -> list[str] | None:
    """The statements that replace an import, or None if it stays. Adds to `done.needs` and `done.others`."""
    if isinstance(node, ast.Import):
        return _plain_import(node, done, where)
    if node.level:  # relative imports stay valid: the modules keep their relative places
        base = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], *filter(None, [node.module])])
        done.needs |= {_module_of(base, alias.name) for alias in node.names}
        return None
    root = node.module.partition(".")[0]
    if not is_own(root):
        _note_other(root, node, done)
        return None
    groups: dict[str, list[str]] = defaultdict(list)  # module -> names
    for alias in node.names:
        name = f"{alias.name} as {alias.asname}" if alias.asname else alias.name
        if stays(node.module, alias.name):
            groups[node.module].append(name)
            continue
        home = node.module
        if root == "dassl":
            home = STAND_INS.get(alias.name) or defined_in(node.module, alias.name)
        done.needs.add(_module_of(home, alias.name))
        groups[f"{PACKAGE}.{place(home)}".rstrip(".")].append(name)
    return [_render(module, names) for module, names in sorted(groups.items())]


def _plain_import(node: ast.Import, done: Rewritten, where: str) -> list[str] | None:
    roots = [alias.name.partition(".")[0] for alias in node.names]
    if not any(is_own(root) and root != "dassl" for root in roots):  # a plain `import dassl.engine` means upstream's
        for root in roots:
            _note_other(root, node, done)
        return None
    if len(node.names) > 1 or ("." in node.names[0].name and not node.names[0].asname):
        raise InputError(f"{where}: this import cannot be exported; write it as `from package import module`.")
    name, short = node.names[0].name, node.names[0].asname
    done.needs.add(name)
    parent, _, leaf = f"{PACKAGE}.{place(name)}".rpartition(".")
    return [f"from {parent} import {leaf}" + (f" as {short}" if short else "")]


def _module_of(base: str, name: str) -> str:
    """The module that `from base import name` imports."""
    return f"{base}.{name}" if source_file(f"{base}.{name}") else base


def _note_other(root: str, node: ast.stmt, done: Rewritten) -> None:
    """Note a package that must be installed; one imported within a function is optional and not noted."""
    if node.col_offset == 0 and not is_own(root) and root not in sys.stdlib_module_names:
        done.others.add(root)


def _render(module: str, names: list[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    return line if len(line) <= LINE else f"from {module} import (\n    " + ",\n    ".join(names) + ",\n)"
