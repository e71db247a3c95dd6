"""Old import paths of modules that moved into a folder: they still work, and a warning names the new path."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Moved(MetaPathFinder, Loader):
    """Finds `package.old` as the module `package.new`; it is the same module object under both names."""

    def __init__(self, package: str, moved: Mapping[str, str]) -> None:
        self.moved = {f"{package}.{old}": f"{package}.{new}" for old, new in moved.items()}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in self.moved else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = self.moved[spec.name]
        warnings.warn(f"{spec.name} is {new} now", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(new)
        self.own = module.__spec__  # kept, since importing the module under its old name overwrites it
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.own


def keep_old_paths(package: str, moved: Mapping[str, str]) -> None:
    """`import package.old` gives the module `package.new`, for {"old": "new"} in `moved`."""
    sys.meta_path.append(_Moved(package, moved))
