"""What the objects that a method is put together from may ask of it, as a type: they lie below `trainers/base.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from dassl.protocols import Trainer

if TYPE_CHECKING:
    from torch import Tensor

    from clipkit import FeatureBank


class Method(Trainer, Protocol):
    """A `PromptTrainer`. Images are [B, 3, H, W], or features [B, d] where they come from disk; logits are [B, C]."""

    clip: Any  # the frozen CLIP
    bank: FeatureBank
    precision: str
    frozen_image_encoder: bool
    record: dict[str, Any]  # what the method adds to results.json
    config_defaults: dict[str, Any]
    architecture: tuple[str, ...]  # config keys that shape the learner

    @property
    def answer_name(self) -> str: ...
    def answers_itself(self) -> bool: ...
    def test_logits(self, image: Tensor) -> dict[str, Tensor]: ...
    def encode_image(self, image: Tensor) -> Tensor: ...
    def banked(self, loader: Any) -> Any: ...
