"""Reads a suite's YAML file as a tree; errors in the YAML are reported with their line."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from dassl.config.yaml_file import LOADER
from dassl.utils import InputError
from interop.plugins.names import from_folder

from .values import kind


class _Loader(LOADER):
    """Refuses a mapping with the same key twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is there twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _mapping(loader: yaml.SafeLoader, node):
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def plugins_of(tree: dict, file: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(`plugins`, `plugin_cfg`) of a suite as absolute paths; the suite's are relative to its own folder.

    Raises InputError for a value that is no list of texts.
    """
    found = []
    for key in ("plugins", "plugin_cfg"):
        names = tree.get(key, [])
        names = [names] if isinstance(names, str) else names
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(f"{file}, {key}: must be a list of files, but is {kind(names)}.")
        found.append(tuple(from_folder(name, file.parent) for name in names))
    return found[0], found[1]


def load(file: Path) -> dict:
    """The content of the file. Raises InputError for a missing file, and for one that is not YAML."""
    if not os.path.isfile(file):
        there = sorted(str(p) for p in file.parent.glob("*.yaml")) if os.path.isdir(file.parent) else []
        raise InputError(f"There is no suite {file}{'; there are ' + ', '.join(there) if there else ''}.")
    try:
        tree = yaml.load(file.read_text(encoding="utf-8-sig"), _Loader)
    except RecursionError:
        raise InputError(f"{file} is nested too deeply to be a suite; mend it.") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({(error.strerror or str(error)).lower()}); mend that.") from error
    except UnicodeDecodeError:
        raise InputError(f"{file} is not UTF-8 text; save it as such.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"{file}{f', line {mark.line + 1}' if mark else ''}: {problem}; mend it.") from error
    if not isinstance(tree, dict):
        raise InputError(f"{file} must hold `name` and `blocks`, but holds {kind(tree)}.")
    return tree
