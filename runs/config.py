"""Config files and KEY VALUE pairs, merged with errors that a person can act on."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping
from types import MappingProxyType

from yacs.config import CfgNode

from dassl.config.allowed import of_type
from dassl.config.domains import Domain, check_value, shown
from dassl.utils import InputError

from .yaml_file import Typed, read_leaves

COMMAND_LINE = "the command line"
NO_DOMAINS: Mapping[str, Domain] = MappingProxyType({})


def all_keys(cfg: CfgNode, prefix: str = "") -> list[str]:
    """Every dotted key of a config."""
    keys = []
    for name, value in cfg.items():
        keys += all_keys(value, f"{prefix}{name}.") if isinstance(value, CfgNode) else [prefix + name]
    return keys


def merge_pairs(cfg: CfgNode, pairs: list, where: str, domains: Mapping[str, Domain] = NO_DOMAINS) -> None:
    """Merges [key, value, ...]. Raises InputError for an odd count, an unknown key, a value of another type, and one
    that the key's domain does not have."""
    if len(pairs) % 2:
        raise InputError(f"Config pairs of {where} come as KEY VALUE, but {pairs[-1]!r} has no value after it.")
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        _check_key(cfg, key, where)
        merge_value(cfg, key, value, where, domains.get(key))


def merge_file(cfg: CfgNode, path: str, domains: Mapping[str, Domain] = NO_DOMAINS) -> list[str]:
    """Merges a YAML file; returns its keys. Raises InputError for a missing or broken file, a key that is there twice,
    and as `merge_pairs` does."""
    leaves = read_leaves(path)
    merge_pairs(cfg, [x for pair in leaves for x in pair], path, domains)
    return [key for key, _ in leaves]


def merge_value(cfg: CfgNode, key: str, value: object, where: str, domain: Domain | None) -> None:
    """Merges the value of one known key, as `merge_pairs` does."""
    path, _, leaf = key.rpartition(".")
    node = _value(cfg, path) if path else cfg
    old = node[leaf]
    value = _read(value, old, domain)
    if any(isinstance(x, str) and "\0" in x for x in (value if isinstance(value, (list, tuple)) else (value,))):
        raise InputError(
            f"{key} in {where} is {shown(value)}, with a zero byte in it, which no name has; leave it out."
        )
    if domain is not None:
        check_value(key, value, domain, "" if where == COMMAND_LINE else where)
    if isinstance(value, (list, tuple)) and isinstance(old, (list, tuple)):
        value = type(old)(value)
    if None not in (value, old) and type(value) is not type(old):
        raise InputError(f"{key} in {where} is {shown(value)}, but must be {of_type(old)} such as {old!r}.")
    node[leaf] = value


def _read(value: object, old: object, domain: Domain | None) -> object:
    """The value of a key that had `old`: a text as it was typed, anything else as Python or YAML has it."""
    texts = domain is not None and domain.item is not None and domain.item.kind == "text"
    if isinstance(value, (list, tuple)):
        return type(value)(_read(item, "" if texts else None, None) for item in value)
    typed = value.text if isinstance(value, Typed) else value
    if isinstance(old, str):
        found = _text(typed)
        return "" if found is None and domain is not None and domain.blank else found
    value = value.value if isinstance(value, Typed) else value
    if isinstance(value, str):
        value = _words(value) if texts else _literal(value, value)
    if isinstance(old, float) and type(value) is int and abs(value) < 2**1000:
        return float(value)
    return value


def _text(value: object) -> object:
    """As typed: 007 and 1e5 are texts too. Quotes around a text are Python's, and None is a blank."""
    if not isinstance(value, str):
        return value if value is None or isinstance(value, (list, tuple, dict)) else str(value)
    literal = _literal(value, value)
    return literal if literal is None or isinstance(literal, str) else value


def _words(value: str) -> object:
    """A list of texts as typed: ('a', 007) has "a" and "007"."""
    try:
        tree = ast.parse(value.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return value
    if not isinstance(tree, (ast.List, ast.Tuple)):
        return value
    return [_text(ast.get_source_segment(value.strip(), item)) for item in tree.elts]


def _literal(text: str, otherwise: object) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return otherwise


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


def _value(cfg: CfgNode, key: str) -> object:
    for part in key.split("."):
        cfg = cfg[part]
    return cfg
