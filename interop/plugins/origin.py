"""Tells where a registered class comes from: this project, a plugin's file, or an installed package."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

from .entry_points import PACKAGES
from .places import PROJECT, place_of
from .scope import SCOPES, is_private, scope_of


def is_plugin(kind: type) -> bool:
    """Whether the class is from a `--plugin` file or an installed package."""
    return is_private(kind.__module__)


def brought_by(kind: type, plugins: Iterable[str]) -> bool:
    """Whether the class is from the checkout of one of these files, or from an installed package."""
    tops = {scope_of(place_of(plugin).root).name for plugin in plugins} | PACKAGES.keys()
    return kind.__module__.partition(".")[0] in tops


def file_of(kind: type) -> Path | None:
    """The file that defines the class."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return Path(file) if file else None


def root_of(kind: type) -> Path | None:
    """The checkout of a plugin's class; None for a class of an installed package or of this project."""
    scope = SCOPES.get(kind.__module__.partition(".")[0])
    return scope.root if scope else None


def origin(kind: type) -> str:
    """Where the class comes from, in a few words for messages and tables."""
    top, file = kind.__module__.partition(".")[0], file_of(kind)
    if top in PACKAGES:
        return f"package {PACKAGES[top]}, {kind.__module__}"
    if is_plugin(kind):
        return f"plugin {file}"
    if file is not None and file.is_relative_to(PROJECT):
        return f"this project, {file.relative_to(PROJECT)}"
    return f"module {kind.__module__}"


def provenance(kind: type) -> dict | None:
    """{"from": origin, "sha256": hash of its file} of a plugin's class, for results.json; None for other classes."""
    file = file_of(kind)
    if not is_plugin(kind) or file is None:
        return None
    return {"from": origin(kind), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
