"""The type of a method for the modules that `trainers/base.py` imports, which cannot import it themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from dassl.protocols import SizedIterable, Trainer

if TYPE_CHECKING:
    from torch import Tensor

    from clipkit import FeatureBank, ImageEncoder, TextEncoder
    from clipkit.openai_clip import CLIP


class Method(Trainer, Protocol):
    """A `PromptTrainer`. Images are [B, 3, H, W], or features [B, d] where they come from disk; logits are [B, C]."""

    text_encoder: TextEncoder
    image_encoder: ImageEncoder
    bank: FeatureBank
    classnames: list[str]
    described: list[str]
    text_noise: Any  # a TextNoise
    model: Any  # the learner; None where nothing is trained
    node: str  # the method's config node
    tester: Any  # a Tester
    frozen_image_encoder: bool
    trains_on_features: bool
    stored_normalized: bool  # whether the features of `stored_image` are normalised
    reads: Counter[str]  # features that came from disk
    record: dict[str, Any]  # what the method adds to results.json
    config_defaults: dict[str, Any]
    architecture: tuple[str, ...]  # config keys that determine the learner's shape

    @property
    def training_list(self) -> Any: ...  # a TrainingList
    @property
    def clip(self) -> CLIP: ...
    @property
    def precision(self) -> str: ...
    @property
    def answer_name(self) -> str: ...
    def answers_itself(self) -> bool: ...
    def test_logits(self, image: Tensor) -> dict[str, Tensor]: ...
    def encode_image(self, image: Tensor) -> Tensor: ...
    def stored_image(self, image: Tensor) -> Tensor: ...
    def class_features(self) -> Tensor: ...
    def frozen_image(self, image: Tensor) -> Tensor: ...
    def frozen_text(self, texts: list[str], normalized: bool = True) -> Tensor: ...
    def logits(self, image_features: Tensor, text_features: Tensor) -> Tensor: ...
    def banked(self, loader: Any) -> Any: ...
    def keep_training_items(self, indices: Sequence[int]) -> None: ...
    def test_batches(self, split: str) -> SizedIterable[dict]: ...
    def test_draws(self, split: str = "test") -> AbstractContextManager[None]: ...
