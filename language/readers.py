"""Reads language caches in the formats of this project, CoPrompt and HPT, and plain lists of class names."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from functools import cache
from pathlib import Path

from .cache import Cache, InputError, TemplateCache
from .stems import cache_stem, dassl_name, dataset_stem

logger = logging.getLogger(__name__)

DESCRIPTIONS = Path(__file__).parent / "descriptions"
HPT_ANSWERS = 5  # overall look, distinct features, how to identify, difference from the others, unique cue


def load_cache(name: str, directory: str | Path = DESCRIPTIONS) -> Cache:
    """The cache of a dataset (YAML stem or registry name), or of a file (a path that ends in .json).

    Shifted variants without a file of their own (ImageNet's, Shapes') use the cache of their source set. Without any
    file the 80 templates of CLIP stand in, with one log line. The format may be this project's, CoPrompt's or HPT's.
    """
    if name.endswith(".json"):
        return read_file(name)
    for stem in dict.fromkeys((dataset_stem(name), cache_stem(name))):
        file = Path(directory) / f"{stem}.json"
        if os.path.isfile(file):
            return read_harness(file)
    found = template_cache(name)
    _announce(f"No language cache for {found.dataset}: the {len(found.templates)} templates of CLIP are used instead")
    return found


def template_cache(name: str) -> TemplateCache:
    """CLIP's 80 templates as a cache, for any dataset (YAML stem or registry name)."""
    from datasets.templates import FULL80  # imported late: importing `datasets` imports torch

    stem = cache_stem(name)
    return TemplateCache(stem, FULL80, dassl_name(stem))


@cache
def _announce(line: str) -> None:
    """Log a line once in a process, however many roles load the same cache."""
    logger.info(line)


def read_harness(path: str | Path) -> Cache:
    """A cache in this project's format: {"version": 1, "dataset", "dassl_name", "sources", "classes"}.

    "sources": {name: facts}, "classes": {class: {source: [sentences]}}. Optional: "aliases": {other name: class}.
    """
    data = _read_object(path)
    if data.get("version") != 1:
        raise InputError(f"{path}: version {data.get('version')!r} of the cache format is not known; this reads 1.")
    _check_shape(path, data)
    sources, classes, aliases = data["sources"], data["classes"], data.get("aliases") or {}
    dataset = data["dataset"]
    if not sources or not all(set(by_source) <= set(sources) for by_source in classes.values()):
        raise InputError(f'{path}: some class has a source that is not listed under "sources"; list it there.')
    for by_source in classes.values():
        _check_sentences(path, by_source)
    if stray := [name for name in aliases.values() if name not in classes]:
        raise InputError(f'{path}: "aliases" name {stray[0]!r}, which is none of its classes.')
    return Cache(dataset, sources, classes, data.get("dassl_name", ""), str(path), aliases)


def read_coprompt(path: str | Path) -> Cache:
    """CoPrompt's `<short>_prompt.json`: {class: [sentences]}, in no order. The source is called "coprompt"."""
    stem = dataset_stem(Path(path).stem.removesuffix("_prompt"))
    return _read_plain(path, stem, "coprompt", {"license": "MIT", "model": "unknown", "ordered": False})


def read_hpt(path: str | Path) -> Cache:
    """HPT's `<DatasetName>.json`: {class: [five answers to the same questions]}. The source is called "hpt"."""
    stem = dataset_stem(Path(path).stem.removesuffix("_prompt"))
    found = _read_plain(path, stem, "hpt", {"license": "MIT", "model": "gpt-3.5-turbo", "ordered": True})
    for name, by_source in found.classes.items():
        if len(by_source["hpt"]) != HPT_ANSWERS:
            raise InputError(
                f"{path}: class {name!r} has {len(by_source['hpt'])} sentences, but HPT's files hold {HPT_ANSWERS} "
                "each; read it as a CoPrompt file instead."
            )
    return found


def read_classlist(path: str | Path) -> list[str]:
    """One class name per line, in label order (HPT's and ANPrompt's `.txt` files). Empty lines are dropped."""
    names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if not names:
        raise InputError(f"{path} holds no class names; it should hold one per line.")
    return names


def read_file(path: str | Path) -> Cache:
    """The cache in a file in the format of this project, CoPrompt or HPT; the file's name does not matter."""
    data = _read_object(path)
    if "version" in data and "classes" in data:
        return read_harness(path)
    five_each = all(isinstance(texts, list) and len(texts) == HPT_ANSWERS for texts in data.values())
    return read_hpt(path) if five_each else read_coprompt(path)


def _read_plain(path: str | Path, stem: str, source: str, facts: dict) -> Cache:
    data = _read_object(path)
    _check_sentences(path, data)
    classes = {name: {source: texts} for name, texts in data.items()}
    return Cache(stem, {source: facts}, classes, dassl_name(stem), str(path))


SHAPE = {"dataset": str, "dassl_name": str, "sources": dict, "classes": dict, "aliases": dict}


def _check_shape(path: str | Path, data: dict) -> None:
    if missing := [key for key in ("dataset", "sources", "classes") if key not in data]:
        raise InputError(f'{path} is no language cache: it has no "{missing[0]}".')
    for key, kind in SHAPE.items():
        if key in data and not isinstance(data[key], kind):
            what = {str: "a text", dict: "an object"}[kind]
            raise InputError(f'{path} is no language cache: "{key}" should be {what}, but is {str(data[key])[:40]}.')
    for key in ("sources", "classes"):
        if odd := [name for name, value in data[key].items() if not isinstance(value, dict)]:
            raise InputError(f'{path}: {odd[0]!r} under "{key}" should be an object.')
    if odd := [name for name, value in (data.get("aliases") or {}).items() if not isinstance(value, str)]:
        raise InputError(f'{path}: {odd[0]!r} under "aliases" should be the name of a class.')


def _check_sentences(path: str | Path, lists: dict) -> None:
    for name, texts in lists.items():
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise InputError(f"{path}: {name!r} should hold a list of sentences.")


def read_text(path: str | Path) -> str:
    """A language file's text, without a byte order mark. Raises InputError where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"language file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"language file {path} is not UTF-8 text; save it as such.") from error


def read_json(path: str | Path) -> object:
    """The content of a JSON file. Raises InputError for text that is not JSON, and for an object with a key twice."""
    text, doubled = read_text(path), []

    def once(pairs: list[tuple[str, object]]) -> dict:
        found = dict(pairs)
        if len(found) < len(pairs):
            doubled.extend(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        return found

    try:
        data = json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise InputError(f"language file {path} is not JSON ({error}).") from error
    except RecursionError:
        raise InputError(f"language file {path} is nested too deeply to hold class names or sentences.") from None
    if doubled:
        raise InputError(f"language file {path}: {doubled[0]!r} occurs twice in one object; leave one out.")
    return data


def _read_object(path: str | Path) -> dict:
    data = read_json(path)
    if not isinstance(data, dict) or not data:
        raise InputError(f"language file {path} should hold an object of classes.")
    return data
