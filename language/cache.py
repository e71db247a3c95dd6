"""A language cache: for every class of a dataset, lists of sentences from one or more sources."""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from .tokens import shorten

try:
    from dassl.utils import InputError
except ImportError:  # in a checkout with upstream Dassl, which has no such class

    class InputError(ValueError):
        """Wrong input of the user."""


logger = logging.getLogger(__name__)


def clean(name: str) -> str:
    """A class name as a key: underscores become spaces, both ends are stripped, case is kept."""
    return name.replace("_", " ").strip()


class Cache:
    """Sentences by class name and source.

    dataset: stem ("dtd"); `sources`: {name: {"license", "model", "ordered"}}; `classes`: {class: {source: sentences}}.
    `ordered` says that the n-th sentence of every class answers the same question. Classes are found by name, never
    by position: cleaned name first, then regardless of case, then by `aliases` ({other name: class}), the names that
    other class lists of the dataset have. Counts may differ between classes.
    """

    def __init__(
        self,
        dataset: str,
        sources: Mapping[str, Mapping],
        classes: Mapping[str, Mapping[str, Sequence[str]]],
        dassl_name: str = "",
        origin: str = "",
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self.dataset = dataset
        self.dassl_name = dassl_name or dataset
        self.origin = origin or dataset
        self.sources = {name: dict(facts) for name, facts in sources.items()}
        self.classes: dict[str, dict[str, list[str]]] = {}
        spelled: dict[str, str] = {}
        self.doubled: list[tuple[str, str]] = []  # two spellings of one class: (the one that is not used, the other)
        for name, by_source in classes.items():
            if (first := spelled.setdefault(clean(name), name)) != name:
                self.doubled.append((name, first))
                continue
            self.classes[clean(name)] = {k: list(v) for k, v in by_source.items()}
        for name, first in self.doubled:
            logger.warning(
                "language cache %s: %r and %r are names of one class; only the first is used", self.origin, first, name
            )
        self.aliases = {clean(other): clean(name) for other, name in (aliases or {}).items()}
        self._folded = {other.casefold(): name for other, name in self.aliases.items()}
        self._folded |= {name.casefold(): name for name in reversed(self.classes)}

    @cached_property
    def sha256(self) -> str:
        """Hash of classes and sentences, independent of the file's layout; part of the key of cached features."""
        content = [self.dataset, self.classes, *([self.aliases] if self.aliases else [])]
        content = json.dumps(content, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def _find(self, name: str) -> str | None:
        key = clean(name)
        return key if key in self.classes else self._folded.get(key.casefold())

    def source(self, source: str | None = None) -> str:
        """`source`, or the first one if None. Unknown: InputError that lists the sources."""
        if source is None:
            return next(iter(self.sources))
        if source not in self.sources:
            raise InputError(
                f"language cache {self.origin} has no source {source!r}; it has {', '.join(self.sources)}."
            )
        return source

    def get(self, name: str, source: str | None = None, fallback: str = "") -> list[str]:
        """The sentences of one class.

        `fallback`: a template ("a photo of a {}.") for a class without sentences; "": such a class is an InputError,
        which names it and its nearest neighbours in the cache.
        """
        source, found = self.source(source), self._find(name)
        sentences = self.classes[found].get(source, []) if found is not None else []
        if sentences:
            return list(sentences)
        if fallback:
            return [fallback.format(clean(name))]
        way_out = "add it, or use CLIP's templates instead (LANGUAGE.MISSING stand_in)"
        if found is not None:
            text = f"language cache {self.origin}: class {name!r} has no sentence from source {source!r}; {way_out}."
            raise InputError(text)
        near = difflib.get_close_matches(clean(name), list(self.classes), 3, 0.0)
        raise InputError(f"language cache {self.origin} has no class {name!r}; nearest: {', '.join(near)}; {way_out}.")

    def draw(
        self,
        name: str,
        source: str | None,
        seed: int,
        k: int = 1,
        role: str = "",
        exclude: Iterable[str] = (),
        fallback: str = "",
    ) -> list[str]:
        """k different sentences of one class, or all if it has fewer (ANPrompt's `per_class` sampling).

        The order comes from (seed, dataset, class name, role) alone: the same class gets the same sentences in
        training and in evaluation, for any set of other classes, and the first k of a larger draw are the
        smaller draw. `role` (default: the source) separates draws from one source; `exclude`: sentences not to be
        drawn, so that the second of two roles does not repeat the first.
        """
        source, excluded = self.source(source), set(exclude)
        sentences = [s for s in self.get(name, source, fallback) if s not in excluded]
        found = self._find(name) or clean(name)
        seeded_generator(seed, self.dataset, found, role or source).shuffle(sentences)
        return sentences[:k]

    def shared_index(self, source: str | None, seed: int, role: str = "") -> int:
        """One sentence index for all classes, below the smallest count in the whole cache, as in ANPrompt's
        first code."""
        source = self.source(source)
        counts = [len(by_source[source]) for by_source in self.classes.values() if by_source.get(source)]
        if not counts:
            raise InputError(f"language cache {self.origin}: no class has a sentence from source {source!r}.")
        return seeded_generator(seed, self.dataset, "shared_index", role or source).randrange(min(counts))

    def validate(
        self, classnames: Iterable[str], sources: Iterable[str] | None = None, allow_missing: bool = False
    ) -> None:
        """Checks that every class has a sentence from every source; InputError that names those without.

        Sentences of more than 77 tokens are cut at a word, with one warning line. sources: default all.
        """
        wanted, cut = [self.source(s) for s in (self.sources if sources is None else sources)], 0
        missing = []
        for name in classnames:
            found = self._find(name)
            for source in wanted:
                sentences = self.classes[found].get(source) if found is not None else None
                if not sentences or not all(s.strip() for s in sentences):
                    missing.append(f"{name!r} ({source})")
                    continue
                fitting = [shorten(s) for s in sentences]
                cut += sum(a != b for a, b in zip(sentences, fitting, strict=True))
                self.classes[found][source] = fitting
        if missing and not allow_missing:
            listed = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
            raise InputError(f"language cache {self.origin} has no sentences, or empty ones, for {listed}; add them.")
        if cut:
            logger.warning("Warning: %d sentences of %s exceed 77 tokens and are cut", cut, self.origin)


class TemplateCache(Cache):
    """The cache of a dataset without a cache file: every source, of any name, gives CLIP's 80 templates."""

    def __init__(self, dataset: str, templates: Sequence[str], dassl_name: str = "") -> None:
        facts = {"license": "MIT", "model": "none: CLIP's ImageNet templates", "ordered": True}
        super().__init__(dataset, {"templates": facts}, {}, dassl_name, f"{dataset} (CLIP's templates)")
        self.templates = list(templates)

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps([self.dataset, self.templates]).encode()).hexdigest()

    def source(self, source: str | None = None) -> str:
        return "templates"

    def _find(self, name: str) -> str:
        key = clean(name)
        if key not in self.classes:
            self.classes[key] = {"templates": [template.format(key) for template in self.templates]}
        return key

    def shared_index(self, source: str | None, seed: int, role: str = "") -> int:
        return seeded_generator(seed, self.dataset, "shared_index", role or "templates").randrange(len(self.templates))


def seeded_generator(*parts: object) -> random.Random:
    """A generator whose numbers follow from `parts` alone."""
    digest = hashlib.blake2b("\x1f".join(str(part) for part in parts).encode(), digest_size=8).digest()
    return random.Random(int.from_bytes(digest, "big"))


@dataclass(frozen=True)
class Source:
    """The sentences of one source of a cache."""

    cache: Cache
    name: str

    @property
    def file(self) -> str:
        return self.cache.origin

    @property
    def sha256(self) -> str:
        return self.cache.sha256

    def get(self, classname: str, fallback: str = "") -> list[str]:
        return self.cache.get(classname, self.name, fallback)

    def most(self, classnames: Iterable[str]) -> int:
        """The largest number of sentences that one of the classes has."""
        return max(len(self.get(name)) for name in classnames)

    def same_as(self, other: Source) -> bool:
        return self.name == other.name and self.sha256 == other.sha256
