"""The page of all config keys (docs/reference/config.md), made from the registries and the sources."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from .key_comments import Source

ROOT = Path(__file__).resolve().parent.parent
MEANINGS = Path(__file__).with_name("key_meanings.yaml")
UPSTREAM = "upstream's; it is taken, and nothing here reads it"
HEAD = """# Config keys

<!-- Made by `python -m robustprompt.reference`; to change a meaning, change the comment at the key's default, or
robustprompt/key_meanings.yaml. -->

Every key with its default, its values and its meaning. Later settings win over earlier ones: these defaults; the
dataset's YAML (`configs/datasets/`); the method's (`configs/trainers/METHOD/`, the settings of its authors, so most
defaults of methods are not what runs have); what a method has for a dataset; `KEY VALUE` on the command line, or a
suite's `overrides`. What a run will have, and where each value comes from: `python train.py ... --show-config`.

A key that does not exist is an error that names the nearest, and so is a value of another kind. A key that has no
effect on a run is told.
"""


class Key(NamedTuple):
    """values: the allowed ones, in words."""

    name: str
    default: str
    values: str
    meaning: str


def config_page() -> str:
    """The page, in Markdown. Imports torch."""
    sections: dict[str, list[Key]] = {}
    for key in all_keys():
        sections.setdefault(_section(key.name), []).append(key)
    found = [f"## {title}\n\n{_readers(title)}{_table(sections[title])}" for title in sorted(sections, key=_order)]
    return "\n".join([HEAD, *found])


def all_keys() -> list[Key]:
    """Every key of the engine, the project and the registered methods and datasets."""
    from runs.config_domains import domains_of
    from runs.defaults import default_cfg

    domains, source = domains_of("CoOp"), Source(ROOT)
    told = yaml.safe_load(MEANINGS.read_text(encoding="utf-8"))
    return [
        Key(name, _shown(value), str(domains[name]) if name in domains else _kind(value), _meaning(name, told, source))
        for name, value in _leaves(default_cfg())
    ]


def unused_meanings() -> list[str]:
    """Entries of key_meanings.yaml that no key has."""
    told = yaml.safe_load(MEANINGS.read_text(encoding="utf-8"))
    names = {key.name for key in all_keys()}
    parts = {name.rpartition(".")[2] for name in names if name.startswith("TRAINER.")}
    return [name for name in told["keys"] if name not in names] + [part for part in told["parts"] if part not in parts]


def _meaning(name: str, told: Mapping[str, Mapping[str, str]], source: Source) -> str:
    from runs.no_effect import UPSTREAMS

    if name.startswith(UPSTREAMS) or _of_upstream(name):
        return UPSTREAM
    last = name.rpartition(".")[2] if name.startswith("TRAINER.") else ""
    return told["keys"].get(name) or source.meaning(name) or told["parts"].get(last, "")


def _of_upstream(name: str) -> bool:
    """Whether the key belongs to a method of upstream's that is not here."""
    from dassl.config.defaults import DEFAULTS

    parts = name.split(".")
    methods = DEFAULTS["TRAINER"]
    return parts[0] == "TRAINER" and len(parts) > 2 and isinstance(methods, dict) and parts[1] in methods


def _leaves(tree: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{before}{name}.")
        else:
            yield before + name, value


def _section(name: str) -> str:
    parts = name.split(".")
    if _of_upstream(name):
        return "Methods of upstream's"
    if len(parts) == 1:
        return "The run"
    return ".".join(parts[:2]) if parts[0] == "TRAINER" and len(parts) > 2 else parts[0]


def _order(title: str) -> tuple[int, str]:
    first = ("The run", "DATASET", "INPUT", "DATALOADER", "MODEL", "OPTIM", "TRAIN", "TEST", "LOSS", "LANGUAGE")
    last = ("ATTACK", "TRAIN_ATTACK", "TRAINER")
    rank = first.index(title) if title in first else 20 + last.index(title) if title in last else 30
    return (99 if title.startswith("Methods") else rank), title.lower()


def _readers(title: str) -> str:
    """A line with the methods that have keys of a method's section."""
    from dassl.engine import TRAINER_REGISTRY

    if not title.startswith("TRAINER."):
        return ""
    found = [
        name
        for name in TRAINER_REGISTRY.registered_names()
        if "@" not in name
        and any(key.startswith(f"{title}.") for key in getattr(TRAINER_REGISTRY.get(name), "config_defaults", {}))
    ]
    told = ", ".join(found[:8]) + (f" and {len(found) - 8} more" if len(found) > 8 else "")
    return f"Of {told}.\n\n" if found else ""


def _table(keys: list[Key]) -> str:
    rows = [f"| `{key.name}` | {key.default} | {_cell(key.values)} | {_cell(key.meaning)} |" for key in keys]
    return "\n".join(["| key | default | values | meaning |", "|---|---|---|---|", *rows, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _shown(value: object) -> str:
    if value == "":
        return "none"
    text = json.dumps(value) if isinstance(value, str) else str(value)
    return f"`{text}`"


def _kind(value: object) -> str:
    names = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}
    return names.get(type(value), "a list")
