"""Config files and KEY VALUE pairs, merged with errors that a person can act on."""

from __future__ import annotations

import difflib
from pathlib import Path

import yaml
from yacs.config import CfgNode

from dassl.utils import InputError


def all_keys(cfg: CfgNode, prefix: str = "") -> list[str]:
    """Every dotted key of a config."""
    keys = []
    for name, value in cfg.items():
        keys += all_keys(value, f"{prefix}{name}.") if isinstance(value, CfgNode) else [prefix + name]
    return keys


def merge_pairs(cfg: CfgNode, pairs: list, where: str) -> None:
    """Merges [key, value, ...]. Raises InputError for an odd count, an unknown key, or a value of another type."""
    if len(pairs) % 2:
        raise InputError(f"Config pairs of {where} come as KEY VALUE, but {pairs[-1]!r} has no value after it.")
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        _check_key(cfg, key, where)
        # Published scripts write True and False for words ("CTX_INIT False"): what is a word stays one.
        word = isinstance(_value(cfg, key), str) and str(value) in ("True", "False")
        whole = isinstance(_value(cfg, key), float) and str(value).strip().lstrip("+-").isdecimal()  # 1 means 1.0
        try:
            cfg.merge_from_list([key, repr(str(value)) if word else float(value) if whole else value])
        except ValueError as error:
            raise InputError(_wrong_type(cfg, key, value, where)) from error


def merge_file(cfg: CfgNode, path: str) -> None:
    """Merges a YAML file. Raises InputError for a missing or broken file, unknown keys, values of another type."""
    if not Path(path).is_file():
        folder = Path(path).parent
        near = sorted(p.name for p in folder.glob("*.yaml")) if folder.is_dir() else []
        hint = f"; {folder} has {', '.join(near)}" if near else ""
        raise InputError(f"There is no config file {path}{hint}.")
    try:
        tree = yaml.safe_load(Path(path).read_text(encoding="utf-8-sig")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {str(error).splitlines()[0]}.") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path} must hold KEY: VALUE lines, but holds a {type(tree).__name__}.")
    merge_pairs(cfg, [x for pair in _leaves(cfg, tree) for x in pair], path)


def _leaves(cfg: CfgNode, tree: dict, prefix: str = "") -> list[tuple[str, object]]:
    pairs = []
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            pairs += _leaves(cfg, value, f"{key}.")
        else:
            pairs.append((key, value))
    return pairs


def _check_key(cfg: CfgNode, key: str, where: str) -> None:
    node = cfg
    for part in str(key).split("."):
        if not isinstance(node, CfgNode) or part not in node:
            known = all_keys(cfg)
            near = difflib.get_close_matches(str(key), known, n=3, cutoff=0.5)
            hint = f"; nearest: {', '.join(near)}" if near else ""
            raise InputError(f"Unknown config key {key} in {where}{hint}.")
        node = node[part]
    if isinstance(node, CfgNode):
        raise InputError(f"{key} in {where} is a group of config keys, not one: name one of {', '.join(node)}.")


def _wrong_type(cfg: CfgNode, key: str, value: object, where: str) -> str:
    node = _value(cfg, key)
    return f"{key} in {where} is {value!r}, but must be a {type(node).__name__} such as {node!r}."


def _value(cfg: CfgNode, key: str) -> object:
    for part in key.split("."):
        cfg = cfg[part]
    return cfg
