"""Lazy imports (PEP 562): names of a module that are imported on first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module


def lazy(module: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of `module`: a name in `homes` ({name: module that has it}) is imported on first use.

    `from module import name` and, where the name stands in `__all__`, `from module import *` find it too.
    """

    def __getattr__(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    return __getattr__
