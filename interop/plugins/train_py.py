"""Reads extend_cfg, reset_cfg, setup_cfg and the options of a checkout's train.py without running the script.

Only the statements that these functions need are executed, with the imports of the checkout and without the command
line of this process.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import functools
import inspect
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from yacs.config import CfgNode

import dassl.config

from .checkout_files import reading_from_checkouts
from .places import place_of
from .scope import scope_of

FUNCTIONS = ("extend_cfg", "reset_cfg", "setup_cfg")
_defaults: list[CfgNode] = []  # the last is what get_cfg_default gives to the train.py that is running


@dataclass
class TrainPy:
    """A train.py. functions: those of FUNCTIONS that it has. failed: {function: error when it was defined}. options:
    {option: default} of its parser. done: statements executed so far."""

    path: Path
    tree: ast.Module
    functions: dict[str, Callable] = field(default_factory=dict)
    failed: dict[str, BaseException] = field(default_factory=dict)
    names: dict[str, object] = field(default_factory=dict)  # defined by the executed statements
    done: list[ast.stmt] = field(default_factory=list)
    options: dict[str, object] = field(default_factory=dict)

    def call(self, name: str, default: CfgNode, *given: object) -> object:
        """Call the function with as many of `given` as it takes. default: what get_cfg_default gives it.

        Raises whatever the function raises, but RuntimeError for SystemExit.
        """
        function = self.functions[name]
        with _sandbox(self.path, default):
            try:
                return function(*given[: _count(function, len(given))])
            except SystemExit as error:
                raise RuntimeError(f"it ends the process ({error})") from error

    def provide(self, name: str) -> bool:
        """Execute the top-level statements that define a name, and return whether there are any.

        Raises whatever the statements raise, but RuntimeError for SystemExit.
        """
        statements = [each for each in needed(self.tree, name) if each not in self.done]
        try:
            with _sandbox(self.path, dassl.config.get_cfg_default()):
                exec(compile(ast.Module(statements, []), str(self.path), "exec"), self.names)  # the user's own file
        except SystemExit as error:
            raise RuntimeError(f"it ends the process ({error})") from error
        self.done += statements
        return name in self.names

    def namespace(self, given: Namespace) -> Namespace:
        """The script's options with their defaults, overridden by the options in `given`."""
        return Namespace(**{**self.options, **vars(given)})

    def only_its_own(self, given: Namespace) -> dict[str, object]:
        """The script's options that `given` does not have, with their defaults."""
        return {name: value for name, value in self.options.items() if name not in given}


def stamp_of(path: Path) -> tuple[int, ...]:
    """Values that change when the file changes: times, size and inode."""
    status = path.stat()
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


@functools.lru_cache
def read(path: Path, stamp: tuple[int, ...]) -> TrainPy:
    """Read a train.py. stamp: of `stamp_of`, the cache's key. Raises SyntaxError, OSError, and errors of extend_cfg."""
    tree = ast.parse(path.read_text(encoding="utf-8-sig"), str(path))
    names = {"__name__": path.stem, "__file__": str(path), "__builtins__": scope_of(place_of(path).root).builtins}
    found = TrainPy(path, tree, names=names)
    for name in FUNCTIONS:
        try:
            if found.provide(name):
                found.functions[name] = names[name]
        except Exception as error:
            if name == "extend_cfg":
                raise
            found.failed[name] = error
    found.options = _options(tree, names)
    return found


@contextmanager
def _sandbox(path: Path, default: CfgNode) -> Iterator[None]:
    """Within the block, `get_cfg_default()` gives a copy of `default`, and sys.argv has no options."""
    argv, original = sys.argv, dassl.config.get_cfg_default
    sys.argv, dassl.config.get_cfg_default = [str(path)], _default
    _defaults.append(default)
    try:
        with reading_from_checkouts():
            yield
    finally:
        _defaults.pop()
        sys.argv, dassl.config.get_cfg_default = argv, original


def _default() -> CfgNode:
    return _defaults[-1].clone()


def _count(function: Callable, given: int) -> int:
    """The number of positional arguments the function takes, at most `given`. Raises TypeError if it needs others."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return given
    if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        raise TypeError(f"it takes {inspect.signature(function)}")
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return given
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if sum(p.default is p.empty for p in places) > given:
        raise TypeError(f"it takes {inspect.signature(function)}")
    return min(given, len(places))


# ---------------------------------------------------------------------- options of the script


def _options(tree: ast.Module, names: dict) -> dict[str, object]:
    """{destination: default} of every `.add_argument(...)` in the file; None for a default that cannot be read."""
    found: dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            parser = argparse.ArgumentParser(add_help=False, argument_default=None)
            flags = [_value(each, names) for each in node.args]
            given = {each.arg: _value(each.value, names) for each in node.keywords if each.arg}
            given = {key: value for key, value in given.items() if key not in ("required", "choices", "type", "help")}
            try:
                action = parser.add_argument(*flags, **given)
                found[action.dest] = action.default
            except (TypeError, ValueError, AttributeError):
                name = next((flag for flag in flags if isinstance(flag, str)), "")
                if name:
                    found[name.lstrip("-").replace("-", "_")] = None
    return found


def _value(node: ast.expr, names: dict) -> object:
    """The value of an expression without calls; None for any other expression."""
    if any(isinstance(each, (ast.Call, ast.Lambda, ast.Await, ast.NamedExpr)) for each in ast.walk(node)):
        return None
    if isinstance(node, ast.Attribute) and node.attr == "REMAINDER":
        return argparse.REMAINDER
    try:
        return eval(compile(ast.Expression(node), "<option>", "eval"), dict(names))
    except Exception:  # such as a name that is not defined
        return None


# ---------------------------------------------------------------------- statements that a function needs


def needed(tree: ast.Module, name: str) -> list[ast.stmt]:
    """The top-level statements that define `name` and the names that these use, in the order of the file."""
    defined: dict[str, list[ast.stmt]] = {}
    stars = [each for each in tree.body if isinstance(each, ast.ImportFrom) and each.names[0].name == "*"]
    for statement in tree.body:
        for each in defines(statement):
            defined.setdefault(each, []).append(statement)
    if name not in defined:
        return []
    wanted, found, seen = [name], [], set()
    while wanted:
        if (each := wanted.pop()) in seen:
            continue
        seen.add(each)
        for statement in defined.get(each, ()):
            if statement not in found:
                found.append(statement)
                wanted += [node.id for node in ast.walk(statement) if isinstance(node, ast.Name)]
    known = {*defined, *vars(builtins)}
    local = {arg.arg for statement in found for arg in ast.walk(statement) if isinstance(arg, ast.arg)}
    local |= {n.id for s in found for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    if seen - known - local:
        found += stars
    return [statement for statement in tree.body if statement in found]


def defines(statement: ast.stmt) -> list[str]:
    """The names that a top-level statement defines or changes; none for `if __name__ == ...`."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name.partition(".")[0] for alias in statement.names]
    if isinstance(statement, ast.Expr):  # NAMES.append(...), but no plain call such as main()
        call = statement.value
        return [root] if isinstance(call, ast.Call) and (root := attribute_root(call.func)) else []
    if isinstance(statement, (ast.If, ast.Try, ast.With, ast.For)):
        if isinstance(statement, ast.If) and "__name__" in ast.dump(statement.test):
            return []
        inner = [each for part in ("body", "orelse", "finalbody") for each in getattr(statement, part, [])]
        inner += [each for handler in getattr(statement, "handlers", []) for each in handler.body]
        heads = [getattr(statement, "target", None), *(each.optional_vars for each in getattr(statement, "items", []))]
        named = [n.id for head in heads if head for n in ast.walk(head) if isinstance(n, ast.Name)]
        return [*named, *(name for each in inner for name in defines(each))]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [node.id for target in targets if target for node in ast.walk(target) if isinstance(node, ast.Name)]


def attribute_root(node: ast.expr) -> str:
    """`a` of `a.b.c` and of `a.b[0].c`; "" for a plain name and for anything else."""
    if not isinstance(node, (ast.Attribute, ast.Subscript)):
        return ""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
