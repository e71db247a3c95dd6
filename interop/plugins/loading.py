"""Imports plugins. One that fails is reported in a sentence with file and line, and the others are still loaded."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY
from dassl.evaluation import EVALUATOR_REGISTRY
from dassl.utils import InputError

from . import clip_names, entry_points, registration
from .checkout_files import reading_from_checkouts
from .failures import location, pip_line, said
from .names import plain
from .places import Place, is_ours, place_of
from .scope import AROUND, LABELS, SCOPES, Loader, scope_of

logger = logging.getLogger("plugins")
NAMES = {"TRAINER.NAME": TRAINER_REGISTRY, "DATASET.NAME": DATASET_REGISTRY, "TEST.EVALUATOR": EVALUATOR_REGISTRY}
AROUND[:] = [registration.registering, clip_names.adopting]


class Broken(NamedTuple):
    """A plugin that could not be imported. sentence: the error, with file and line. file: the plugin's file."""

    sentence: str
    file: Path | None

    def classes(self) -> Mapping[str, int]:
        """{class in the file: its line}."""
        return registration.classes_in(self.file) if self.file and self.file.is_file() else {}


_broken_packages: list[Broken] | None = None  # installed plugins that failed; None before they are imported


def load_plugins(files: Iterable[str] = (), trainer: str = "") -> list[Broken]:
    """Import the installed plugins and these files, unless they are imported already. Returns the broken ones.

    Each broken one is logged. Raises InputError for a file that does not exist, and for a broken plugin that should
    define `trainer`.
    """
    global _broken_packages
    if _broken_packages is None:
        _broken_packages = _load_all(_load_package, entry_points.found())
    asked = {module_of(place_of(file)) for file in files}
    for module in [module for module, label in registration.NAMED.items() if label and module not in asked]:
        del registration.NAMED[module]  # of an earlier run in this process
    broken = [*_broken_packages, *_load_all(load_plugin, files)]
    require(broken, trainer)
    for each in broken:
        logger.warning("Warning: %s; it is left out.", each.sentence)
    return broken


def _load_all(load: Callable, plugins: Iterable) -> list[Broken]:
    broken = []
    for plugin in plugins:
        try:
            load(plugin)
        except BrokenPlugin as error:
            broken.append(error.broken)
    return broken


def require(broken: Iterable[Broken], trainer: str = "", dataset: str = "") -> None:
    """Raises InputError if a broken plugin should have defined this trainer or dataset."""
    for name, registry in ((trainer, TRAINER_REGISTRY), (dataset, DATASET_REGISTRY)):
        for each in broken:
            classes = each.classes()
            # also if another class of that name is registered, since the user means the plugin's
            missing = name and name not in registry and not classes
            if name in classes or missing or (name not in registry and plain(name) in classes):
                raise InputError(f"{each.sentence}.")


class BrokenPlugin(InputError):
    """A plugin that cannot be imported."""

    def __init__(self, broken: Broken) -> None:
        super().__init__(f"{broken.sentence}.")
        self.broken = broken


def load_plugin(path: str | Path) -> ModuleType:
    """Import a file from outside this project. A file that is imported already is not imported again.

    Raises InputError if the file is missing, is not Python, cannot be imported, or registers an invalid class.
    """
    place = place_of(path)
    if is_ours(place.root, place.module):
        return importlib.import_module(place.module)
    scope, name = scope_of(place.root), module_of(place)
    registration.NAMED[name] = LABELS[scope.name] = place.label
    return _guarded(f"--plugin {path}", place.file, scope.name, lambda: _import(name, place.file))


def module_of(place: Place) -> str:
    """The name of a plugin file's module in `sys.modules`."""
    return place.module if is_ours(place.root, place.module) else f"{scope_of(place.root).name}.{place.module}"


def registered_names(config: Mapping[str, object], plugins: Iterable[str]) -> dict[str, str]:
    """{key: registered name} of the trainer, dataset and evaluator that `config`, by dotted keys, names.

    plugins: the files of this run. Raises InputError if a name without a label may mean two classes.
    """
    modules = {module_of(place_of(plugin)) for plugin in plugins}
    return {key: registration.chosen(registry, config[key], modules) for key, registry in NAMES.items()}


def _import(name: str, file: Path) -> ModuleType:
    if name in sys.modules:
        registration.name_again(name)
        return sys.modules[name]
    if name.endswith(f".{file.stem}"):
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(name, file, loader=Loader(name, str(file)))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _load_package(point) -> object:
    top = point.module.partition(".")[0]
    registration.NAMED[point.module] = ""
    what = f"The plugin {point.name} of {entry_points.package_of(point)}"
    return _guarded(what, None, top, lambda: entry_points.import_point(point))


def _guarded(what: str, file: Path | None, scope: str, load: Callable[[], ModuleType]) -> ModuleType:
    """Call `load()`. If it fails, remove the modules and registered classes it left, and raise BrokenPlugin."""
    modules, registered = set(sys.modules), registration.snapshot()
    try:
        with reading_from_checkouts():
            module = load()
        registration.check_kinds(registered)
        return module
    except Exception as error:
        for name in set(sys.modules) - modules:
            if name.partition(".")[0] in SCOPES and name != scope:
                del sys.modules[name]
                registration.BROUGHT.pop(name, None)
        registration.restore(registered)
        raise BrokenPlugin(_told(what, file, error)) from error


def _told(what: str, file: Path | None, error: Exception) -> Broken:
    where, line = location(error) or (file, 0)
    sentence = said(error) + pip_line(error)
    if isinstance(error, registration.Refused):
        sentence = str(error)
        line = line or (registration.classes_in(where).get(error.name, 0) if where else 0)
    elif isinstance(error, SyntaxError):
        sentence = f"{error.msg} (SyntaxError)"
    place = f"{where}, line {line}: " if line else f"{where}: " if where else ""
    return Broken(f"{what} cannot be used: {place}{sentence.rstrip('.')}", file or where)
