"""Language caches: sentences that describe classes, hand-written or made by language models, and their readers.

    cache = load_cache("digits")            # language/descriptions/digits.json
    cache.get("zero", "main")               # list of sentences
    cache.draw("zero", "noise", seed=1)     # one of them; the same for the same seed, dataset, class and role

Importing this package does not import torch.
"""

from .cache import Cache, InputError, clean
from .readers import load_cache, read_classlist, read_coprompt, read_harness, read_hpt
from .source import Source, draw_pairs, load_source
from .stems import cache_stem, dataset_stem

__all__ = [
    "Cache",
    "InputError",
    "Source",
    "cache_stem",
    "clean",
    "dataset_stem",
    "draw_pairs",
    "load_cache",
    "load_source",
    "read_classlist",
    "read_coprompt",
    "read_harness",
    "read_hpt",
]
