"""Frozen features of a language cache: encoded once for a backbone, for all runs, classes, draws and methods.

    features = SentenceFeatures(source, encoder, bank, precision)
    features(["A tench is ...", ...])       # [N, d]

This module needs torch; the rest of the package does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from clipkit import FeatureBank, TextEncoder, frozen_text, long_key, normalize, text_key
from clipkit.tokens import TOO_LONG, check_length
from dassl.config.domains import SHARE, Domain, choice

from .cache import TemplateCache
from .source import MISSING, Source

# Settings of methods that use descriptions: sentences that are too long, wrong ones, and classes without any.
CONFIG_DEFAULTS = {
    "LANGUAGE.TOO_LONG": "refuse",  # refuse | truncate: the first 75 tokens, as published code has it
    "LANGUAGE.WRONG_RATE": 0.0,  # share of sentences replaced by those of another class: noise that tests robustness
    "LANGUAGE.MISSING": "refuse",  # refuse | stand_in: CLIP's templates, with a warning; results then differ
}
CONFIG_DOMAINS: dict[str, Domain] = {"LANGUAGE.TOO_LONG": choice(*TOO_LONG), "LANGUAGE.MISSING": choice(*MISSING)}
CONFIG_DOMAINS["LANGUAGE.WRONG_RATE"] = SHARE
REMEDY = "shorten it (python -m language check lists all such), or let it be cut: LANGUAGE.TOO_LONG truncate"


class SentenceFeatures:
    """The features of all sentences of a source, [sum of P_c, d] fp32 normalised, looked up by sentence.

    All are encoded together at the first use, in the order of the file, so that a sentence has the same features to the
    last bit in every run that reads the file; the feature bank keeps them.

    too_long: "refuse" raises InputError for a sentence of more than 77 tokens, "truncate" cuts it and warns.
    """

    def __init__(
        self, source: Source, encoder: TextEncoder, bank: FeatureBank, precision: str, too_long: str = "refuse"
    ) -> None:
        self.source, self.encoder, self.bank, self.precision = source, encoder, bank, precision
        self.too_long = too_long
        classes = () if isinstance(source.cache, TemplateCache) else source.cache.classes.values()
        sentences = dict.fromkeys(text for by_source in classes for text in by_source.get(source.name, ()))
        self.row = {text: i for i, text in enumerate(sentences)}

    @cached_property
    def table(self) -> Tensor:
        """[sum of P_c, d]: the features of all sentences, in the order of the file."""
        sentences = list(self.row)
        long = {"what": f"sentence of {self.source.file}", "remedy": REMEDY, "too_long": self.too_long}
        truncated = check_length(sentences, **long)
        key = {
            "kind": "features of a language cache, normalised, fp32",
            **text_key(self.encoder, self.precision),
            "cache": self.source.sha256,
            "source": self.source.name,
            **long_key(truncated),
        }

        def compute() -> dict[str, Tensor]:
            return {"features": self.encoder.encode_texts(sentences, too_long=self.too_long)}

        return self.bank.get(key, compute)["features"].to(self.encoder.device)

    def __call__(self, sentences: Sequence[str]) -> Tensor:
        """[N, d]. Sentences that the file does not hold (CLIP's templates) are encoded on their own."""
        if any(text not in self.row for text in sentences):
            return frozen_text(sentences, self.encoder, self.bank, self.precision, too_long=self.too_long)
        return self.table[torch.tensor([self.row[text] for text in sentences], device=self.encoder.device)]


def name_similarities(
    names: Sequence[str], templates: Sequence[str], encoder: TextEncoder, bank: FeatureBank, precision: str
) -> Tensor:
    """[N, N] cosine similarities of e_i, the mean over U templates of normalised features (SAR, ensembled targets)."""

    def compute() -> dict[str, Tensor]:
        texts = [template.format(name) for template in templates for name in names]
        e = normalize(encoder.encode_texts(texts).view(len(templates), len(names), -1).mean(0))
        return {"gram": e @ e.t()}

    key = {"kind": "SAR target similarities, fp32", **text_key(encoder, precision)}
    key |= {"names": list(names), "templates": list(templates)}
    return bank.get(key, compute)["gram"].to(encoder.device)
