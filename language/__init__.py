"""Language caches: sentences that describe classes, hand-written or made by language models; novel class names.

    cache = load_cache("digits")            # language/descriptions/digits.json
    cache.get("zero", "main")               # list of sentences
    cache.draw("zero", "noise", seed=1)     # one of them; the same for the same seed, dataset, class and role
    load_novel("dtd", base_names=names)     # 200 names near the base classes of a dataset (novel_classes/dtd.json)

Importing this package does not import torch.
"""

from .cache import Cache, InputError, Source, clean
from .novel import NovelNames, load_novel, overlap, read_names
from .readers import load_cache, read_classlist, read_coprompt, read_harness, read_hpt
from .source import draw_pairs, load_source, source_for
from .stems import cache_stem, dataset_stem

__all__ = [
    "Cache",
    "InputError",
    "NovelNames",
    "Source",
    "cache_stem",
    "clean",
    "dataset_stem",
    "draw_pairs",
    "load_cache",
    "load_novel",
    "load_source",
    "overlap",
    "read_classlist",
    "read_coprompt",
    "read_harness",
    "read_hpt",
    "read_names",
    "source_for",
]
