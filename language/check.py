"""Checks a language cache or a list of novel class names: one sentence for each fault, with its line."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dassl.utils.counted import counted

from .cache import Cache
from .names import class_names, fold, halves
from .novel import NOVEL_CLASSES, read_names
from .readers import DESCRIPTIONS, load_cache, read_file, read_json, read_text
from .stems import cache_stem, dataset_stem
from .tokens import CONTEXT_LENGTH, count_tokens

LEAST = {"imagenet": 3}  # least number of sentences per class in this repository's files; others: 5
NOVEL = 200  # least number of novel names (SAR)
SLOTTED = 4  # a sentence that so many classes share, with only the class name exchanged, counts as a template
PROMPT = "a photo of a {}, a type of flower, food, pet or aircraft."  # longer than any prompt that takes a name


@dataclass
class Report:
    """The result for one file: a summary of its content, and its faults as (line number or 0, sentence)."""

    file: Path
    summary: str
    faults: list[tuple[int, str]] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The lines to print, faults in the order of the file."""
        told = [f"{self.file}:{line}: {text}" if line else f"{self.file}: {text}" for line, text in sorted(self.faults)]
        return [*told, f"{self.file}: {self.summary}; {len(self.faults) or 'no'} fault{'s'[: len(self.faults) != 1]}"]


def own_files() -> list[Path]:
    """All language caches and lists of novel names in this repository."""
    return sorted(DESCRIPTIONS.glob("*.json")) + sorted(NOVEL_CLASSES.glob("*.json"))


def check_file(path: str | Path, dataset: str = "", least: int | None = None) -> Report:
    """Checks a cache (format of this project, CoPrompt, HPT) or a list of novel names (JSON object or list, or lines).

    dataset: registry name or YAML stem; default: from the file or its name. least: sentences per class; default: 5 (3
    for ImageNet) in this repository's files, 1 in others. Raises InputError for a file that is neither.
    """
    path = Path(path)
    if _holds_names(path):
        return check_novel(path, dataset)
    cache = read_file(path)
    stem = cache_stem(dataset or cache.dataset)
    if least is None:
        least = LEAST.get(stem, 5) if path.resolve().parent == DESCRIPTIONS else 1
    return check_cache(cache, path, stem, least)


def check_cache(cache: Cache, path: Path, stem: str, least: int) -> Report:
    """Checks that every class has `least` sentences, none of them empty, repeated, a filled template or too long."""
    classnames = class_names(stem)
    sentences = [text for by_source in cache.classes.values() for texts in by_source.values() for text in texts]
    longest = max((count_tokens(text) for text in sentences), default=0)
    texts = counted(len(sentences), "sentence")
    summary = f"{len(cache.classes)} classes, {texts}, at most {counted(longest, 'token')}"
    report = Report(path, summary if classnames else f"{summary}, classes of {stem} unknown: not compared")
    line = _Lines(path)
    wanted = {cache._find(name) or name: name for name in classnames or ()}
    for missing in (name for name in wanted if name not in cache):
        report.faults.append((0, f"class {missing!r} of {stem} is missing"))
    for name, other in cache.doubled:
        report.faults.append((line(name), f"{name!r} and {other!r} are one class: its sentences are not used"))
    templates = defaultdict(set)
    for name, by_source in cache.classes.items():
        if classnames and name not in wanted:
            report.faults.append((line(name), f"{name!r} is no class of {stem}"))
        count = sum(map(len, by_source.values()))
        if count < least:
            report.faults.append((line(name), f"class {name!r} has fewer than {least} sentences: {count}"))
        for text in (text for texts in by_source.values() for text in texts):
            report.faults += [(line(text), fault) for fault in _faults_of(name, text)]
            templates[re.sub(rf"\b{re.escape(name)}\b", "_", text, flags=re.IGNORECASE).casefold()].add(name)
    for text, count in Counter(text.strip().casefold() for text in sentences).items():
        if count > 1:
            written = next(s for s in sentences if s.strip().casefold() == text)
            report.faults.append((line(written, turn=1), f"{written!r} occurs {count} times"))
    for text, users in templates.items():
        if "_" in text and len(users) >= SLOTTED:
            report.faults.append((0, f"{text!r} is a template: {len(users)} classes have it, each with its own name"))
    return report


def check_novel(path: Path, dataset: str = "") -> Report:
    """Checks that there are NOVEL names, each once, none of them a class of the dataset or with a new class in it."""
    names, _ = read_names(path)
    stem = cache_stem(dataset or _dataset_of(path))
    classes = class_names(stem)
    summary = counted(len(names), "novel name")
    report = Report(path, summary if classes else f"{summary}, classes of {stem} unknown: not compared")
    line = _Lines(path)
    if len(names) < NOVEL:
        report.faults.append((0, f"it holds {counted(len(names), 'name')}, fewer than {NOVEL}"))
    base, new = halves(classes or [])
    aliases = load_cache(stem).aliases if classes else {}
    base += [other for other, name in aliases.items() if name in base]
    new += [other for other, name in aliases.items() if name in new]
    known, hidden = {fold(name): name for name in (*base, *new)}, {fold(name): name for name in new}
    seen: dict[str, str] = {}
    for name in names:
        folded = fold(name)
        if folded in seen:
            report.faults.append((line(name, turn=int(seen[folded] == name)), f"{name!r} repeats {seen[folded]!r}"))
        elif folded in known:
            report.faults.append((line(name), f"{name!r} is the class {known[folded]!r} of {stem}"))
        elif inside := [written for key, written in hidden.items() if f" {key} " in f" {folded} "]:
            report.faults.append((line(name), f"{name!r} gives the new class {inside[0]!r} of {stem} away"))
        if (length := count_tokens(PROMPT.format(name))) > CONTEXT_LENGTH:
            report.faults.append((line(name), f"{name!r} is {length - CONTEXT_LENGTH} tokens too long for a prompt"))
        seen.setdefault(folded, name)
    return report


def _faults_of(name: str, text: str) -> Iterator[str]:
    if not text.strip():
        yield f"class {name!r} has an empty sentence"
    elif (length := count_tokens(text)) > CONTEXT_LENGTH:
        yield f"{text!r} has {length} tokens, and CLIP reads {CONTEXT_LENGTH}"


def _holds_names(path: Path) -> bool:
    """Whether the file is a list of names, not of sentences by class."""
    text = read_text(path).lstrip()
    if not (path.suffix == ".json" or text[:1] in ("{", "[")):
        return True
    data = read_json(path)
    return isinstance(data, list) or (isinstance(data, dict) and "names" in data)


def _dataset_of(path: Path) -> str:
    """The dataset of a list of novel names: its entry "dataset", or the file's name."""
    data = read_json(path) if read_text(path).lstrip()[:1] in ("{", "[") else None
    return str(data.get("dataset", "")) if isinstance(data, dict) and data.get("dataset") else dataset_stem(path.stem)


class _Lines:
    """Finds the line of a text in a file: its number from 1, or 0."""

    def __init__(self, path: Path) -> None:
        self.rows = read_text(path).splitlines()

    def __call__(self, text: str, turn: int = 0) -> int:
        """The line of `text`. turn 1: the second line that has it."""
        quoted = {json.dumps(text), json.dumps(text, ensure_ascii=False)}
        found = [i for i, row in enumerate(self.rows, 1) if row.strip() == text or any(q in row for q in quoted)]
        return found[min(turn, len(found) - 1)] if found else 0
