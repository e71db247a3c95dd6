"""Plugins that pip installed: packages with entry points in the group `robustprompt.plugins`, each naming a module."""

from __future__ import annotations

import importlib
from importlib.metadata import EntryPoint, entry_points

from .names import as_label
from .scope import add_package

GROUP = "robustprompt.plugins"
PACKAGES: dict[str, str] = {}  # first part of its module names: name and version of the package


def found() -> list[EntryPoint]:
    """In the order of their names."""
    return sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value))


def stamp() -> list[str]:
    """What changes when other plugins are installed, or other versions of them."""
    return [f"{package_of(point)}: {point.value}" for point in found()]


def package_of(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def import_point(point: EntryPoint) -> object:
    """The module that the entry point names. Raises whatever its import raises."""
    top = point.module.partition(".")[0]
    PACKAGES[top] = package_of(point)
    add_package(top, as_label(point.dist.name if point.dist else top))
    return importlib.import_module(point.module)
