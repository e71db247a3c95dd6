"""Noise in descriptions: replaces sentences of a class by those of another class."""

from __future__ import annotations

import logging
import random

from .cache import Cache, InputError, Source, TemplateCache

logger = logging.getLogger(__name__)


def with_wrong(source: Source, rate: float, seed: int) -> Source:
    """The source in which each sentence is, with this probability, one of another class; logs how many.

    The draw depends on (seed, dataset, source, class, place of the sentence) alone, so all methods that read the source
    get the same wrong sentences. Raises InputError for templates, which belong to no class.
    """
    if not rate:
        return source
    cache, name = source.cache, source.name
    if isinstance(cache, TemplateCache):
        raise InputError(
            "LANGUAGE.WRONG_RATE takes sentences of other classes, but CLIP's templates are the same for all; "
            "set it to 0."
        )
    lists = {c: by_source[name] for c, by_source in cache.classes.items() if by_source.get(name)}
    if len(lists) < 2:
        raise InputError("LANGUAGE.WRONG_RATE needs sentences of two classes at least.")
    found, wrong, known = {}, 0, list(lists)
    for c, sentences in lists.items():
        own = []
        for i, sentence in enumerate(sentences):
            draw = random.Random(f"{seed}|{cache.dataset}|{name}|{c}|{i}")
            if draw.random() < rate:
                sentence = draw.choice(lists[draw.choice([other for other in known if other != c])])
                wrong += 1
            own.append(sentence)
        found[c] = {name: own}
    total = sum(map(len, lists.values()))
    logger.info("Of %d %s sentences of %s, %d are of another class", total, name, cache.dataset, wrong)
    aliases = {other: c for other, c in cache.aliases.items() if c in found}
    return Source(
        Cache(cache.dataset, {name: cache.sources[name]}, found, cache.dassl_name, cache.origin, aliases), name
    )
