"""Computes frozen features of a dataset's language files before the runs that need them.

The sentences of its cache (ANPrompt, CoPrompt) and the similarities of its class names and novel names (SAR's targets)
go to the feature bank. Runs find them there: many jobs that start together do not wait for the first.
"""

from __future__ import annotations

import torch

from clipkit import FeatureBank, TextEncoder, load_backbone
from dassl.utils.counted import counted

from .cache import InputError, TemplateCache, clean
from .features import SentenceFeatures, name_similarities
from .names import class_names, halves
from .novel import load_novel
from .readers import load_cache, read_file
from .source import Source
from .stems import cache_stem, dassl_name, dataset_stem


def encode(
    dataset: str, encoder: TextEncoder, bank: FeatureBank, precision: str, file: str = "", too_long: str = "refuse"
) -> list[str]:
    """Fills the feature bank for one dataset (registry name or YAML stem); returns lines that report what was computed.

    file: the user's cache in place of the repository's. too_long: as in `SentenceFeatures`.
    """
    cache, done = read_file(file) if file else load_cache(dataset), []
    if not isinstance(cache, TemplateCache):
        for name in cache.sources:
            table = SentenceFeatures(Source(cache, name), encoder, bank, precision, too_long).table
            done.append(f"{cache.dataset}: {counted(len(table), 'sentence')} of source {name}")
    if file and not any(texts for by_source in cache.classes.values() for texts in by_source.values()):
        raise InputError(f"{file} holds no sentence, so there is nothing to encode.")
    names = class_names(dataset)
    if file or not names:
        return done
    from datasets.templates import template_set  # imported late, as in readers

    templates = template_set("select+custom", dassl_name(dataset_stem(dataset)), "sar")
    names = [clean(name) for name in names]
    for which, classes in (("all", names), ("base", halves(names)[0])):
        try:
            novel = load_novel(dataset, base_names=classes).names
        except InputError:
            break
        gram = name_similarities([*classes, *novel], templates, encoder, bank, precision)
        names = counted(len(gram), "name")
        done.append(f"{cache_stem(dataset)}: similarities of {names} ({which} classes and novel ones)")
    return done


def loaded(backbone: str, path: str, precision: str, cpu: bool, spec: str = "") -> TextEncoder:
    """The text tower of a backbone, on the GPU where there is one."""
    device = torch.device("cuda" if torch.cuda.is_available() and not cpu else "cpu")
    return TextEncoder(load_backbone({"NAME": backbone, "PATH": path, "SPEC": spec}, precision, device))
