"""Separates the imports of a plugin from this project's and from those of other plugins.

Every checkout is a package of its own in `sys.modules` (`plugin_<hash>`), so that its `trainers`, `datasets`, `utils`
or `clip` do not replace those of this project. Its modules run with an `__import__` of their own, which looks in the
checkout first, as Python does for the checkout's own train.py. `dassl` is always this project's.
"""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType

from .names import as_label
from .places import PROJECT, USUAL, is_ours

STOCK_CLIP = "plugin_clip"  # a second copy of the package `clip`, for plugins without one of their own
AROUND: list[Callable] = []  # module -> context manager, entered while a plugin's module is executed


class Scope:
    """The imports of one checkout. root: its folder; None for an installed package, which only needs a `clip`."""

    def __init__(self, name: str, root: Path | None) -> None:
        self.name, self.root = name, root
        self.builtins = {**vars(builtins), "__import__": self._import, "open": _open}

    def private(self, name: str) -> str | None:
        """The name in `sys.modules` of the plugin's own module for `import name`; None for an ordinary import."""
        top, *parts = name.split(".")
        if top == "dassl" or (self.root and is_ours(self.root, top)):
            return None
        if self.root is not None and _exists(self.root.joinpath(top, *parts)):
            return f"{self.name}.{name}"
        return ".".join([STOCK_CLIP, *parts]) if top == "clip" and self.name != STOCK_CLIP else None

    def _import(self, name, globals=None, locals=None, fromlist=(), level=0):
        if level:
            return self._relative(name, globals, locals, fromlist, level)
        private = self.private(name)
        if private is None:
            return builtins.__import__(name, globals, locals, fromlist)
        if fromlist:
            return builtins.__import__(private, globals, locals, fromlist)
        importlib.import_module(private)
        depth = 1 + private.count(".") - name.count(".")  # `import a.b` binds a
        return sys.modules[".".join(private.split(".")[:depth])]

    def _relative(self, name, globals, locals, fromlist, level):
        """A relative import; if a file taken out of its checkout lacks the module, this project's of that name."""
        try:
            return builtins.__import__(name, globals, locals, fromlist, level)
        except ModuleNotFoundError as error:
            wanted = importlib.util.resolve_name("." * level + name, globals["__package__"])
            if not name or not fromlist or error.name != wanted:
                raise
            below = wanted.removeprefix(f"{self.name}.")
            for ours in [below, *(f"{package}.{below}" for package in USUAL)]:
                if ours.partition(".")[0] in USUAL and _exists(PROJECT.joinpath(*ours.split("."))):
                    return builtins.__import__(ours, globals, locals, fromlist)
            raise


def _open(*args, **kwargs):
    """Call the current `open`, which checkout_files.py replaces after the plugin's modules are imported."""
    return builtins.open(*args, **kwargs)


SCOPES: dict[str, Scope] = {}  # {top-level module: its scope}
LABELS: dict[str, str] = {}  # {top-level module: label of its classes}


def scope_of(root: Path) -> Scope:
    """The scope of a checkout, which is made once for all its files."""
    name = f"plugin_{hashlib.sha256(str(root).encode()).hexdigest()[:8]}"
    if name not in SCOPES:
        module = ModuleType(name, f"The modules of the checkout {root}.")
        module.__path__ = [str(root)]
        SCOPES[name], sys.modules[name] = Scope(name, root), module
        LABELS[name] = as_label(root.name)
        _add_finder()
    return SCOPES[name]


def add_package(top: str, label: str) -> None:
    """Let the modules of an installed package run as a plugin's. No effect on modules that are imported already."""
    SCOPES.setdefault(top, Scope(top, None))
    LABELS[top] = label
    _add_finder()


def is_private(module: str) -> bool:
    """Whether the module belongs to a plugin."""
    return module.partition(".")[0] in SCOPES


def _exists(path: Path) -> bool:
    """Whether there is a module or package at this path. A folder without Python files is none."""
    return path.with_name(f"{path.name}.py").is_file() or (path.is_dir() and any(path.glob("*.py")))


class Loader(SourceFileLoader):
    """Executes a module with the imports of its scope."""

    def exec_module(self, module: ModuleType) -> None:
        module.__builtins__ = SCOPES[module.__name__.partition(".")[0]].builtins
        with contextlib.ExitStack() as stack:
            for around in AROUND:
                stack.enter_context(around(module))
            super().exec_module(module)


class Finder:
    """Finds the modules of all scopes."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        scope = SCOPES.get(name.partition(".")[0])
        if scope is None:
            return None
        if scope.root is not None:
            spec = PathFinder.find_spec(name, path)
        elif name == STOCK_CLIP:
            spec = _stock_clip()
        else:  # an installed package, by whichever way it is installed
            others = (finder for finder in sys.meta_path if finder is not Finder and hasattr(finder, "find_spec"))
            spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = Loader(spec.loader.name, spec.loader.path)
        return spec


def _stock_clip() -> ModuleSpec:
    file = importlib.util.find_spec("clip").origin
    return importlib.util.spec_from_file_location(
        STOCK_CLIP, file, loader=Loader(STOCK_CLIP, file), submodule_search_locations=[str(Path(file).parent)]
    )


def _add_finder() -> None:
    SCOPES.setdefault(STOCK_CLIP, Scope(STOCK_CLIP, None))
    LABELS.setdefault(STOCK_CLIP, "clip")
    if Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)
