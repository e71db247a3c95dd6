"""Novel class names: names similar to the base classes of a dataset, for regularisers such as SAR.

    novel = load_novel("dtd", base_names=classnames)             # 200 names of language/novel_classes/dtd.json
    novel = load_novel("dtd", "wordnet", base_names=classnames)  # 200 nouns drawn from WordNet

Source: SAR (arXiv 2502.11969), section on novel class names: 200 a dataset, in all its experiments.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .cache import InputError, clean, seeded_generator
from .readers import read_json, read_text
from .stems import cache_stem, dataset_stem

logger = logging.getLogger(__name__)

NOVEL_CLASSES = Path(__file__).parent / "novel_classes"
OWN_LIST = ("llm", "hand", "list")  # all three mean this repository's hand-written list; SAR's was made by an LLM
SOURCES = (*OWN_LIST, "wordnet", "oracle", "file")


@dataclass(frozen=True)
class NovelNames:
    """Cleaned names without repetition. `file`: where they come from, or ""; `sha256`: of the names in their order."""

    names: tuple[str, ...]
    source: str
    file: str
    sha256: str


def load_novel(
    dataset: str,
    source: str = "llm",
    file: str = "",
    *,
    base_names: Iterable[str],
    new_names: Iterable[str] | None = None,
    count: int = 200,
    seed: int = 1,
    missing: str = "refuse",
) -> NovelNames:
    """`count` novel names for a dataset (registry name or YAML stem).

    source: "llm", "hand" or "list": this repository's list for the dataset. "wordnet": nouns, drawn uniformly.
    "oracle": all of `new_names`, the dataset's real new classes, for any `count`. "file": the names in `file`,
    which also replaces the repository's list (see `read_names`).
    base_names: names that must not be among them, compared cleaned and regardless of case. Of a longer list `count`
    names are chosen at random by (seed, dataset) alone and stay in their order; a smaller choice is part of a larger.
    missing: "stand_in" takes ImageNet's list for a dataset without one, with a warning line.
    Errors: InputError if the list is missing, unreadable or too short. Length in tokens is not checked.
    """
    if source not in SOURCES:
        raise InputError(f"source of novel names {source!r} is not known; it is one of {', '.join(SOURCES)}.")
    if count < 1:
        raise InputError(f"The number of novel names is {count}, but must be at least 1.")
    if file and source in OWN_LIST:
        source = "file"
    if file and source != "file":
        raise InputError(f"a file of novel names is given ({file}) but their source is {source!r}; set it to file.")
    base_names, stem = list(base_names), cache_stem(dataset)
    if source == "oracle":
        names, origin = list(new_names or ()), f"the new classes of {dataset}"
        if not names:
            raise InputError(f"source oracle needs the new class names of {dataset}, but none were given.")
    elif source == "wordnet":
        names, origin = _nouns()
    else:
        file = file if source == "file" else str(_own_list(dataset, missing))
        if not file:
            raise InputError("source file needs the path of a list of names: set TRAINER.SAR.NOVEL_FILE.")
        names, source = read_names(file, stem)
        origin = file
    usable = _without(names, base_names, origin, quiet=source == "wordnet")
    wanted = max(1, len(usable)) if source == "oracle" else count
    if len(usable) < wanted:
        raise InputError(
            f"{origin} holds {len(usable)} usable novel names, but {wanted} are needed; give a longer list."
        )
    chosen = _choose(usable, wanted, seed, stem)
    digest = hashlib.sha256(json.dumps(chosen, ensure_ascii=False).encode()).hexdigest()
    return NovelNames(tuple(chosen), source, file, digest)


def overlap(names: Iterable[str], new_names: Iterable[str]) -> int:
    """How many of the names are real new classes. For reports only: to filter by it would leak the new classes."""
    return len({_key(name) for name in names} & {_key(name) for name in new_names})


def read_names(path: str | Path, stem: str = "") -> tuple[list[str], str]:
    """The names of a file and their source: a JSON object ({"version": 1, "names": [...]}), a JSON list, or lines.

    The source is the object's entry "source", else "file". `stem`: a warning if the object is for another dataset.
    """
    text = read_text(path).strip()
    if not (str(path).endswith(".json") or text[:1] in ("{", "[")):
        return [line.strip() for line in text.splitlines() if line.strip()], "file"
    data, source = read_json(path), "file"
    if isinstance(data, dict):
        if data.get("version") != 1:
            raise InputError(f"{path}: version {data.get('version')!r} of the novel names' form is not known; use 1.")
        written_for = data.get("dataset", "")
        if stem and written_for and cache_stem(str(written_for)) != stem:
            logger.warning("Warning: the novel names of %s were written for %s, not %s", path, written_for, stem)
        source, data = str(data.get("source", source)), data.get("names")
    if not isinstance(data, list) or not all(isinstance(name, str) and name.strip() for name in data):
        raise InputError(f'{path} should hold a list of names, or an object with one under "names".')
    return data, source


def _own_list(dataset: str, missing: str) -> Path:
    for stem in dict.fromkeys((dataset_stem(dataset), cache_stem(dataset))):
        file = NOVEL_CLASSES / f"{stem}.json"
        if os.path.isfile(file):
            return file
    if missing == "stand_in":
        logger.warning("Warning: there is no list of novel names for %s; ImageNet's is used instead", dataset)
        return NOVEL_CLASSES / "imagenet.json"
    known = ", ".join(sorted(file.stem for file in NOVEL_CLASSES.glob("*.json")))
    raise InputError(
        f"there is no list of novel names for {dataset}, only for {known}; set TRAINER.SAR.NOVEL_SOURCE file and "
        "TRAINER.SAR.NOVEL_FILE to a list of yours, or TRAINER.SAR.NOVEL_SOURCE wordnet, or let ImageNet's stand in "
        "(LANGUAGE.MISSING stand_in)."
    )


def _tidy(name: str) -> str:
    return " ".join(clean(name).split())


def _key(name: str) -> str:
    return _tidy(name).casefold()


def _without(names: list[str], base_names: list[str], origin: str, quiet: bool) -> list[str]:
    """Tidy names, each once, that are no base class; a warning counts those that are one."""
    base = {_key(name) for name in base_names}
    kept: dict[str, str] = {}
    for name in names:
        kept.setdefault(_key(name), _tidy(name))
    dropped = base & set(kept)
    if dropped and not quiet:
        logger.warning("Warning: %d novel names of %s are base classes and are dropped", len(dropped), origin)
    return [name for key, name in kept.items() if key not in base]


def _choose(names: list[str], count: int, seed: int, stem: str) -> list[str]:
    if len(names) == count:
        return names
    order = list(range(len(names)))
    seeded_generator(seed, stem, "novel").shuffle(order)
    return [names[i] for i in sorted(order[:count])]


def _nouns() -> tuple[list[str], str]:
    """All noun lemmas of WordNet except proper nouns, sorted, and the package that they come from ("wn" or "nltk")."""
    for package, read in (("wn", _wn_lemmas), ("nltk", _nltk_lemmas)):
        try:
            importlib.import_module(package)
        except ImportError:
            continue
        return sorted({clean(lemma) for lemma in read() if not lemma[:1].isupper()}), f"WordNet ({package})"
    raise InputError(
        "source wordnet needs the package wn: `pip install wn`, then `python -m wn download oewn:2024` "
        "(or nltk, then `python -m nltk.downloader wordnet`)."
    )


def _wn_lemmas() -> list[str]:
    wn = importlib.import_module("wn")
    try:
        found = [word.lemma() for word in wn.words(pos="n", lang="en")]
    except wn.Error:
        found = []
    if not found:
        raise InputError("the package wn has no English WordNet; fetch it with `python -m wn download oewn:2024`.")
    return found


def _nltk_lemmas() -> list[str]:
    # From synsets, since nltk's list of all lemmas is in lower case, which hides proper nouns.
    try:
        wordnet = importlib.import_module("nltk.corpus").wordnet
        return [lemma for synset in wordnet.all_synsets("n") for lemma in synset.lemma_names()]
    except LookupError as error:
        raise InputError(
            "the package nltk has no WordNet data; fetch it with `python -m nltk.downloader wordnet`."
        ) from error
