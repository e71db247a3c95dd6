"""Every public function says what it takes and gives: its parameters and its result have types."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import dassl.utils

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "attacks",
    "bench",
    "clipkit",
    "dassl",
    "datasets",
    "interop",
    "language",
    "robustness",
    "runs",
    "speed",
    "trainers",
)


def untyped(source: str) -> Iterator[str]:
    """Public functions and methods with what has no type in them; what begins with _ is private."""
    for name, node, is_method in functions(ast.parse(source).body):
        if node.name.startswith("_") and not node.name.startswith("__"):
            continue
        static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
        args = node.args
        given = [*args.posonlyargs, *args.args][int(is_method and not static) :]  # without self
        given += [*args.kwonlyargs, *filter(None, (args.vararg, args.kwarg))]
        missing = [arg.arg for arg in given if arg.annotation is None]
        missing += ["return"] if node.returns is None else []
        if missing:
            yield f"{name}({', '.join(missing)})"


def functions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef, bool]]:
    """(name, node, is it a method) of what a module and its classes define, not what stands in a function."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield prefix + node.name, node, bool(prefix)
        elif isinstance(node, ast.ClassDef):
            yield from functions(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, (ast.If, ast.Try, ast.With)):
            yield from functions([*node.body, *getattr(node, "orelse", ())], prefix)


@pytest.mark.parametrize("package", PACKAGES)
def test_public_functions_have_types(package):
    found = {}
    for file in sorted((ROOT / package).rglob("*.py")):
        if names := list(untyped(file.read_text(encoding="utf-8"))):
            found[str(file.relative_to(ROOT))] = names
    assert not found


def test_the_stub_of_the_lazy_package_names_what_it_gives():
    stub = ast.parse((ROOT / "dassl/utils/__init__.pyi").read_text())
    told = {alias.asname: f"dassl.utils.{node.module}" for node in stub.body[1:] for alias in node.names}
    assert told == dassl.utils._HOME


def test_what_is_untyped_is_found():
    source = """
def free(cfg, *args: int, **kwargs) -> None: ...
def fine(cfg: int, *, key: str = "") -> None: ...
def result(): ...
def _private(cfg): ...
class A:
    def __init__(self, trainer) -> None: ...
    @staticmethod
    def made(cfg) -> None: ...
    @classmethod
    def of(cls) -> None: ...
    if True:
        def within(self, x) -> None: ...
"""
    assert list(untyped(source)) == [
        "free(cfg, kwargs)",
        "result(return)",
        "A.__init__(trainer)",
        "A.made(cfg)",
        "A.within(x)",
    ]
