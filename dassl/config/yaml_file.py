"""Reads a YAML config file as [(dotted key, value)]: texts stay as they were typed, and a repeated key is an error.

YAML reads `PATH: 007` as 7, `PATH: 2024-11-05` as a date and `NAME: on` as True; which keys hold texts only the config
knows. So a plain value comes as a `Typed`, with its text beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml
from yacs.config import CfgNode

from dassl.utils import InputError

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the loader in C: same result, ten times as fast
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
NULL, MERGE, MAP = (f"tag:yaml.org,2002:{name}" for name in ("null", "merge", "map"))


@dataclass(frozen=True)
class Typed:
    """A plain YAML value: what YAML makes of it, and its text in the file."""

    value: object
    text: str


def as_yaml(cfg: CfgNode) -> str:
    """The text of `cfg.dump()`, which yacs writes with the slower of PyYAML's two dumpers."""
    return yaml.dump(_as_dict(cfg), Dumper=DUMPER)


def _as_dict(node: object) -> object:
    return {key: _as_dict(value) for key, value in node.items()} if isinstance(node, CfgNode) else node


def read_leaves(path: str | Path) -> list[tuple[str, object]]:
    """Every leaf of the file. Values are `Typed`, lists of values, or None for a blank.

    Raises InputError for a file that is missing or not YAML, holds no mapping, or has a key twice.
    """
    if not Path(path).is_file():
        folder = Path(path).parent
        near = sorted(p.name for p in folder.glob("*.yaml")) if folder.is_dir() else []
        hint = f"; {folder} has {', '.join(near)}" if near else ""
        raise InputError(f"There is no config file {path}{hint}.")
    try:
        loader = LOADER(Path(path).read_text(encoding="utf-8-sig"))
        root = loader.get_single_node()
        if root is None or root.tag == NULL:
            return []
        if root.tag != MAP:
            kind = type(loader.construct_document(root)).__name__
            raise InputError(f"{path} must hold KEY: VALUE lines, but holds a {kind}.")
        return _leaves(loader, root, "", str(path))
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError, OSError) as error:
        if isinstance(error, InputError):
            raise
        what = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path} is not valid YAML: {what}.") from error


def _leaves(loader: yaml.SafeLoader, node: yaml.MappingNode, prefix: str, path: str) -> list[tuple[str, object]]:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in lines and key.tag != MERGE:
            raise InputError(f"{path} has {prefix}{name} twice, in lines {lines[name]} and {line}; leave one out.")
        lines[name] = line
    loader.flatten_mapping(node)
    found = []
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        if value.tag == MAP:
            found += _leaves(loader, value, f"{name}.", path)
        else:
            found.append((name, _value(loader, value)))
    return found


def _value(loader: yaml.SafeLoader, node: yaml.Node) -> object:
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item) for item in node.value]
    value = loader.construct_object(node, deep=True)
    return None if value is None else Typed(value, node.value) if isinstance(node, yaml.ScalarNode) else value
