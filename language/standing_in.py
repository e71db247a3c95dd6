"""Uses CLIP's templates as sentences of the classes that a language cache lacks."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from .cache import Cache, InputError, Source, clean

logger = logging.getLogger(__name__)


def with_templates(source: Source, names: Iterable[str], dataset: str) -> Source:
    """The source with CLIP's templates as the sentences of the classes in `names` that it lacks; logs one warning.

    dataset: registry name or YAML stem. Sentences of the other classes, and their draws, stay as they are. A missing
    class gets as many sentences as the shortest list of the others has, since one index drawn for all classes must
    exist in every list.
    """
    names = list(dict.fromkeys(map(clean, names)))
    missing = [name for name in names if not _has(source, name)]
    if not missing:
        return source
    from datasets.templates import FULL80, custom_template  # imported late: importing `datasets` imports torch

    listed = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
    logger.warning(
        "Warning: %s has no %s sentences for %d of %d classes (%s); CLIP's templates are used instead",
        source.file, source.name, len(missing), len(names), listed,
    )  # fmt: skip
    cache, name = source.cache, source.name
    classes = {c: {name: by_source[name]} for c, by_source in cache.classes.items() if by_source.get(name)}
    count = min((len(by_source[name]) for by_source in classes.values()), default=len(FULL80))
    templates = list(dict.fromkeys([custom_template(dataset), *FULL80]))
    for c in missing:
        classes[c] = {name: [templates[i % len(templates)].format(c) for i in range(count)]}
    aliases = {other: known for other, known in cache.aliases.items() if known in classes}
    facts = {name: cache.sources[name]}
    return Source(Cache(cache.dataset, facts, classes, cache.dassl_name, cache.origin, aliases), name)


def _has(source: Source, name: str) -> bool:
    try:
        return bool(source.get(name))
    except InputError:
        return False
