"""A list of class names in the place of a dataset, so that a trained model runs where the dataset is not."""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from yacs.config import CfgNode

from dassl.utils import InputError
from datasets.templates import FULL80, custom_template
from language import Source, clean, load_source

logger = logging.getLogger(__name__)

CACHES = ("CACHE_MAIN", "CACHE_NOISE")  # keys of a method's node: language caches that a test reads, not training alone


class ClassList:
    """What trainers read of a `DataManager` and its dataset, without images: names, labels, and no loaders."""

    train_loader_x = train_loader_u = val_loader = test_loader = None
    num_source_domains = 0

    def __init__(self, classnames: Sequence[str]) -> None:
        self.classnames = self.all_classnames = list(classnames)
        self.num_classes = len(self.classnames)
        self.lab2cname = dict(enumerate(self.classnames))
        self.train_x, self.train_u, self.val, self.test = [], [], [], []
        self.dataset = self


@contextlib.contextmanager
def descriptions_for(cfg: CfgNode, node: CfgNode, names: Sequence[str]) -> Iterator[None]:
    """Within the block every name has sentences in the language caches that `node` (of `cfg`) names.

    For names that a cache lacks, sentences from CLIP's templates stand in, with a warning. Sentences of the other
    classes, and their draws, stay as they are.
    """
    with tempfile.TemporaryDirectory() as folder:
        for key in (key for key in CACHES if key in node):
            role = key.removeprefix("CACHE_").lower()
            source = load_source(cfg.DATASET.NAME, node[key], role)
            missing = [name for name in dict.fromkeys(map(clean, names)) if not _has(source, name)]
            if missing:
                listed = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
                logger.warning(
                    "Warning: %s has no %s sentences for %d of %d classes (%s); CLIP's templates stand in for them",
                    source.file, source.name, len(missing), len(names), listed,
                )  # fmt: skip
                node[key] = str(_filled(source, missing, cfg.DATASET.NAME, Path(folder) / f"{key}.json"))
        yield


def _has(source: Source, name: str) -> bool:
    try:
        return bool(source.get(name))
    except InputError:
        return False


def _filled(source: Source, missing: list[str], dataset: str, file: Path) -> Path:
    """The source, with as many template sentences for each missing name as the shortest list of the others has.

    Not fewer, since a draw of one index for all classes goes by the shortest list.
    """
    cache, name = source.cache, source.name
    classes = {c: {name: by_source[name]} for c, by_source in cache.classes.items() if by_source.get(name)}
    count = min((len(by_source[name]) for by_source in classes.values()), default=len(FULL80))
    templates = list(dict.fromkeys([custom_template(dataset), *FULL80]))
    for c in missing:
        classes[c] = {name: [templates[i % len(templates)].format(c) for i in range(count)]}
    aliases = {other: known for other, known in cache.aliases.items() if known in classes}
    facts = {"version": 1, "dataset": cache.dataset, "dassl_name": cache.dassl_name, "aliases": aliases}
    file.write_text(json.dumps({**facts, "sources": {name: cache.sources[name]}, "classes": classes}), encoding="utf-8")
    return file
