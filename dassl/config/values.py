"""Values of config keys as people and files give them, read with errors that a person can act on."""

from __future__ import annotations

import ast
import copy
import difflib
import functools
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from yacs.config import CfgNode

from dassl.config.allowed import of_type
from dassl.config.domains import Domain, check_value, shown
from dassl.utils import InputError

from .yaml_file import Typed

COMMAND_LINE = "the command line"
NO_DOMAINS: Mapping[str, Domain] = MappingProxyType({})


def all_keys(cfg: CfgNode, prefix: str = "") -> list[str]:
    """Every dotted key of a config."""
    keys = []
    for name, value in cfg.items():
        keys += all_keys(value, f"{prefix}{name}.") if isinstance(value, CfgNode) else [prefix + name]
    return keys


def pairs_of(words: Sequence, where: str) -> list[tuple[str, object]]:
    """[(key, value)] of [key, value, ...]. Raises InputError for an odd count."""
    if len(words) % 2:
        raise InputError(f"Config pairs of {where} come as KEY VALUE, but {words[-1]!r} has no value after it.")
    return list(zip(words[::2], words[1::2], strict=True))


def merge_pairs(cfg: CfgNode, words: Sequence, where: str, domains: Mapping[str, Domain] = NO_DOMAINS) -> None:
    """Merges [key, value, ...] into `cfg`. Raises InputError for an odd count, an unknown key, a value of another type,
    and a value outside of the key's domain. where: the source of the words, for messages."""
    for key, given in pairs_of(words, where):
        *path, leaf = str(key).split(".")
        node = cfg
        for part in path:
            node = node.get(part) if isinstance(node, CfgNode) else None
        if not isinstance(node, CfgNode) or leaf not in node or isinstance(node[leaf], CfgNode):
            raise unknown_key(all_keys(cfg), key, where)
        node[leaf] = read_value(key, given, node[leaf], where, domains.get(key))


def check_known(known: Collection[str], key: str, where: str) -> None:
    """Raises InputError unless `key` is one of the dotted keys `known`."""
    if key not in known:
        raise unknown_key(known, key, where)


def unknown_key(known: Collection[str], key: str, where: str) -> InputError:
    """The error for a key that is none of `known`: it says that the key is a group of keys, or lists the nearest."""
    key = str(key)
    if inside := [each[len(key) + 1 :].partition(".")[0] for each in known if each.startswith(f"{key}.")]:
        names = ", ".join(dict.fromkeys(inside))
        return InputError(f"{key} in {where} is a group of config keys, not one: name one of {names}.")
    lower = {each.lower(): each for each in known}
    near = [lower[each] for each in difflib.get_close_matches(key.lower(), lower, n=3, cutoff=0.5)]
    hint = f"; nearest: {', '.join(near)}" if near else ""
    return InputError(f"Unknown config key {key} in {where}{hint}.")


def read_value(key: str, given: object, old: object, where: str, domain: Domain | None) -> object:
    """The new value of a key whose present value is `old`.

    given: the value as a person typed it, or as Python or a YAML file has it. domain: the allowed values; None: all.
    Raises InputError for another type than that of `old`, and for a value outside of the domain.
    """
    value = _read(given, old, domain)
    if any(isinstance(x, str) and "\0" in x for x in (value if isinstance(value, (list, tuple)) else (value,))):
        raise InputError(
            f"{key} in {where} is {shown(value)}, with a zero byte in it, which no file name may have; leave it out."
        )
    if domain is not None:
        check_value(key, value, domain, "" if where == COMMAND_LINE else where)
    if isinstance(value, (list, tuple)) and isinstance(old, (list, tuple)):
        value = type(old)(value)
    if None not in (value, old) and type(value) is not type(old):
        raise InputError(f"{key} in {where} is {shown(value)}, but must be {of_type(old)} such as {old!r}.")
    return value


def _read(value: object, old: object, domain: Domain | None) -> object:
    """As `read_value`: where `old` is a text, the text as typed; else the value that Python or YAML makes of it."""
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
    """The text as typed (007 and 1e5 are texts too), without quotes around it; None is an empty text."""
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
        return copy.copy(_evaluated(text))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return otherwise


@functools.lru_cache(maxsize=1024)  # a plan reads the same few values for thousands of runs
def _evaluated(text: str) -> object:
    return ast.literal_eval(text)
