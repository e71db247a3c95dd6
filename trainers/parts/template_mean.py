"""The text target of PromptSRC and ProMetaR."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from clipkit import normalize
from datasets.templates import FULL80

if TYPE_CHECKING:
    from ..shared.method import Method


def template_mean(trainer: Method, count: int = 60) -> Tensor:
    """[C, d], normalised: the mean of un-normalised text features over the first `count` of CLIP's ImageNet
    templates."""
    names = trainer.classnames
    texts = [template.format(name) for template in FULL80[:count] for name in names]
    return normalize(trainer.frozen_text(texts, normalized=False).view(count, len(names), -1).mean(0))
