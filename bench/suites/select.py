"""Settings that a suite finds itself: blocks of candidates (`select`), and blocks that take a choice (`selected`).

A block with `select: {key, values or factors, by}` trains every method once for each candidate value of a config key,
and evaluates it on validation images. `bench/running/selection.py` chooses a value for each method and writes it to
OUTPUT/selected.yaml; blocks with `selected: NAME` are planned with these values once that file is there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dassl.utils import InputError
from runs.config_names import CONFIG_FOLDER, PUBLISHED, UNTRAINED, config_name
from runs.silent_keys import NO_EFFECT

from .load import load
from .resolved import Resolver
from .values import check_config_keys, check_keys, check_type, listed, numbers, once, text_of, unknown

FILE = "selected.yaml"  # in the suite's output folder
VALIDATION, TEST = "validation", "test"
ORACLE = "oracle"  # begins the variant's name of whatever was chosen by test accuracy
ANY_LARGE = "dtd"  # stands for the datasets of the published tables
VAL_IS_TEST = ("imagenet",)  # datasets whose validation images are their test images
KEYS = ("key", "values", "factors", "by")
# Groups of keys that say what is read and tested, and the one among them that is a setting of a method.
OF_TRAINING = ("OPTIM.", "TRAIN.", "TRAIN_ATTACK.", "DATALOADER.TRAIN_")
OF_THE_DATA, A_SETTING = ("DATASET.", "TEST.", "TRAINER.STREAM."), "TEST.FINAL_MODEL"


@dataclass(frozen=True)
class Select:
    """What is chosen: a value of `key` for each method, among `values`, or among `factors` of its published value."""

    key: str
    values: tuple[str, ...] = ()
    factors: tuple[float, ...] = ()
    by: str = VALIDATION

    def candidates(self, method: str, resolver: Resolver, where: str) -> list[str]:
        """The values that a method is tried with. Raises InputError if factors are of a value that is no number, or if
        the method does not read the key."""
        if not concerns(method, self.key, resolver):
            raise InputError(
                f"{where}, select: {method} does not read {self.key}; leave it out, or put it in a block of its own."
            )
        if self.values:
            return list(self.values)
        value = published_value(method, self.key, resolver, where)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{where}, factors: the published {self.key} of {method} is {value!r}; give values.")
        return [text_of(float(f"{factor * value:.6g}")) for factor in self.factors]


@dataclass(frozen=True)
class Candidate:
    """What a run of a block with `select` tries. method: its name in the suite. published: "" if there is none."""

    method: str
    value: str
    published: str


def read_choice(tree: dict, place: str, resolver: Resolver) -> dict:
    """{field of a block: value} of `select`, `selected` or `published`, which stand in the place of a sweep.

    tree: the block. Raises InputError with the place in the file.
    """
    given = [key for key in ("sweep", "select", "selected", "published") if key in tree]
    if len(given) > 1:
        raise InputError(f"{place}: {given[0]} and {given[1]} exclude each other; leave one out.")
    if "select" in tree:
        return {"select": read_select(tree["select"], f"{place}, select", resolver)}
    if "selected" in tree:
        check_type(tree["selected"], str, f"{place}, selected")
        return {"selected": tree["selected"]}
    if "published" not in tree:
        return {}
    where = f"{place}, published"
    keys = once(listed(tree, "published", place), where)
    for key in keys:
        check_type(key, str, where)
        check_config_keys([key], where)
        resolver.value(key, resolver.known.defaults.get(key), where)
    return {"published": keys}


def read_select(tree: object, place: str, resolver: Resolver) -> Select:
    """The value of `select`, checked. Raises InputError with the place in the file."""
    check_type(tree, dict, place)
    assert isinstance(tree, dict)
    check_keys(tree, KEYS, place)
    key, by = tree.get("key"), tree.get("by", VALIDATION)
    if not isinstance(key, str):
        raise InputError(f"{place}: `key` is missing; name the config key that is chosen, such as OPTIM.LR.")
    check_config_keys([key], place)
    if key != A_SETTING and (key.startswith(OF_THE_DATA) or key in NO_EFFECT):
        raise InputError(
            f"{place}, key: {key} says what is tested, or what is kept of it, so none of its values is better than "
            "another; name a setting of the method, such as OPTIM.LR."
        )
    if by not in (VALIDATION, TEST):
        raise InputError(f"{place}, by: {unknown('rule', by, (VALIDATION, TEST))}")
    if ("values" in tree) == ("factors" in tree):
        raise InputError(f"{place}: give `values`, or `factors` of each method's published value, and not both.")
    if "factors" in tree:
        factors = numbers(tree["factors"], f"{place}, factors", 0)
        resolver.value(key, resolver.known.defaults.get(key), place)
        found = Select(key, (), tuple(float(factor) for factor in factors), by)
        if 0 in found.factors:
            raise InputError(f"{place}, factors: 0 is no factor of a value; leave it out.")
    else:
        check_type(tree["values"], list, f"{place}, values")
        texts = [text_of(resolver.value(key, value, f"{place}, values")) for value in tree["values"]]
        found = Select(key, once(texts, f"{place}, values"), (), by)
    if len(found.values or found.factors) < 2:
        raise InputError(f"{place}: a choice needs two candidates at least.")
    return found


def concerns(method: str, key: str, resolver: Resolver) -> bool:
    """Whether the runs of a method read a config key: a method without training reads none of the training, and no
    method those of another."""
    if method in UNTRAINED and key.startswith(OF_TRAINING):
        return False
    return key not in resolver.known.foreign.get(method, ())


def published_value(method: str, key: str, resolver: Resolver, where: str) -> object:
    """The value of a config key in the method's published config. Raises InputError for a plugin's method."""
    if method not in PUBLISHED:
        raise InputError(f"{where}: {method} has no published config here; give values.")
    file = f"configs/trainers/{CONFIG_FOLDER.get(method, method)}/{config_name(method, ANY_LARGE)}.yaml"
    leaves = dict(resolver.file(file))
    return resolver.value(key, leaves[key], file) if key in leaves else resolver.known.defaults[key]


def published_text(method: str, key: str, resolver: Resolver) -> str:
    """The published value as text; "" for a plugin's method."""
    return text_of(published_value(method, key, resolver, "published")) if method in PUBLISHED else ""


def mark(ids: Iterable[str]) -> str:
    """12 hex digits that stand for the candidate runs with these ids."""
    return hashlib.sha256(" ".join(sorted(ids)).encode()).hexdigest()[:12]


def read_selected(file: Path, marks: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """{block with `select`: {method: value}} from a suite's selected.yaml; blocks whose candidates differ are left out.

    marks: of the candidates that the suite has now, {block: `mark`}. Raises InputError for a damaged file, and for a
    folder in its place, where no choice could be written.
    """
    if os.path.isdir(file):
        raise InputError(f"{file} is a folder, where `python -m bench select` writes a file; remove it.")
    if not os.path.isfile(file):
        return {}
    try:
        tree = load(file)
        found = {}
        for name, own in tree.items():
            values = {method: str(each["chosen"]) for method, each in own["methods"].items()}
            if strange := [method for method, each in own["methods"].items() if each["chosen"] not in each["scores"]]:
                raise KeyError(strange[0])
            if marks.get(name) == own["candidates"]:
                found[str(name)] = values
        return found
    except (InputError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file} is damaged; remove it: `python -m bench select` makes it anew.") from error
