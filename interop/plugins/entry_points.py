"""Plugins that pip installed: packages with entry points in the group `robustprompt.plugins`, each naming a module."""

from __future__ import annotations

import importlib
from importlib.metadata import EntryPoint, entry_points

from .names import as_label
from .scope import add_package

GROUP = "robustprompt.plugins"
PACKAGES: dict[str, str] = {}  # {top-level module: name and version of its package}


def found() -> list[EntryPoint]:
    """The entry points of all installed plugins, sorted by name."""
    return sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value))


def stamp() -> list[str]:
    """A list that changes when other plugins, or other versions of them, are installed."""
    return [f"{package_of(point)}: {point.value}" for point in found()]


def package_of(point: EntryPoint) -> str:
    """Name and version of the package that an entry point belongs to."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def import_point(point: EntryPoint) -> object:
    """Import the module that the entry point names. Raises whatever the import raises."""
    top = point.module.partition(".")[0]
    PACKAGES[top] = package_of(point)
    add_package(top, as_label(point.dist.name if point.dist else top))
    return importlib.import_module(point.module)
