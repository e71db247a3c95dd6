"""The source of a cache that a run reads, and pairs of sentences from two of them (ANPrompt's main and noise text)."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from yacs.config import CfgNode

from dassl.config.shown import data_name

from .cache import Source, TemplateCache
from .readers import load_cache, template_cache
from .standing_in import with_templates
from .wrong_sentences import with_wrong

logger = logging.getLogger(__name__)

MISSING = ("refuse", "stand_in")  # a class without sentences: an error, or CLIP's templates instead
# ANPrompt takes main text from CoPrompt's and noise text from HPT's files; the embedded caches name them by their role.
_ALIASES = {"main": "coprompt", "noise": "hpt", "coprompt": "main", "hpt": "noise"}


def source_for(cfg: CfgNode, which: str, role: str, names: Iterable[str]) -> Source:
    """`load_source` for the run of `cfg`, whose classes are `names`. A class without sentences is an InputError, or
    gets CLIP's templates (LANGUAGE.MISSING)."""
    source = with_wrong(load_source(data_name(cfg), which, role), cfg.LANGUAGE.get("WRONG_RATE", 0.0), max(cfg.SEED, 0))
    if cfg.LANGUAGE.MISSING != "stand_in":
        return source
    return with_templates(source, names, data_name(cfg))


def load_source(dataset: str, which: str, role: str = "") -> Source:
    """The source `which` ("main", "hpt", ...) of a dataset's cache, or a cache file (a path that ends in .json).

    dataset: registry name or YAML stem. "main" and "coprompt" stand in for each other, so do "noise" and "hpt"; a cache
    with one source gives that one for every name. Of a file, the source named `role` is taken, or else its first.
    "templates": CLIP's 80 templates with the class name, instead of a cache.
    """
    if which == "templates":
        return Source(template_cache(dataset), which)
    cache = load_cache(which if which.endswith(".json") else dataset)
    wanted = role if which.endswith(".json") else which
    for name in (wanted, _ALIASES.get(wanted, "")):
        if name in cache.sources:
            return Source(cache, name)
    if which.endswith(".json") or len(cache.sources) == 1:
        only = cache.source(None)
        if not isinstance(cache, TemplateCache):
            logger.info("Language cache %s: taking source %s for %s", cache.origin, only, wanted or "all roles")
        return Source(cache, only)
    return Source(cache, cache.source(wanted))  # raises: unknown source


def draw_pairs(
    main: Source, noise: Source, classname: str, seed: int, k: int = 1, shared_index: bool = False
) -> tuple[list[str], list[str]]:
    """k main and k noise sentences of one class, the i-th of each forming a pair.

    From two sources each list has its own order (roles "main" and "noise"); from one and the same source the noise
    sentence is the one after the main sentence, so a pair never repeats itself where the class has two sentences. Where
    a class has fewer than k, its sentences are repeated in turn. The first pairs of a larger draw are the smaller draw.
    `shared_index`: one number for all classes instead of one order a class (see Cache.shared_index).
    """
    same = noise.same_as(main)
    if shared_index:
        start = main.cache.shared_index(main.name, seed, "main")
        other = start + 1 if same else noise.cache.shared_index(noise.name, seed, "noise")
        mains, noises = main.get(classname), noise.get(classname)
    else:
        start, other = 0, int(same)
        mains = main.cache.draw(classname, main.name, seed, k=len(main.get(classname)), role="main")
        noises = mains if same else noise.cache.draw(
            classname, noise.name, seed, k=len(noise.get(classname)), role="noise"
        )  # fmt: skip
    return _cycle(mains, start, k), _cycle(noises, other, k)


def _cycle(sentences: list[str], start: int, k: int) -> list[str]:
    return [sentences[(start + i) % len(sentences)] for i in range(k)]
