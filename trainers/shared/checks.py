"""Checks of a method, its settings and its classes; each error is one sentence."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING

from torch import nn

from clipkit import InputError

if TYPE_CHECKING:
    from .method import Method

logger = logging.getLogger(__name__)


def check_no_method(kind: type, name: str, value: object) -> None:
    """Raises InputError if the attribute `name` of an object of this class would hide a method: callers of the method
    (a test, TRAINER.FILTER, SAR) would get a tensor instead. A function may replace a method."""
    if not inspect.isfunction(getattr(kind, name, None)) or (callable(value) and not isinstance(value, nn.Module)):
        return
    raise InputError(
        f"{kind.__name__} sets self.{name} to a {type(value).__name__}, but {name} is a method, which others call; "
        "give the attribute another name."
    )


def warn_of_one_class(classnames: list[str]) -> None:
    """Warn if there is only one class."""
    if len(classnames) == 1:
        text = "Warning: there is one class (%s), so every prediction is right: an accuracy of 100 %% means nothing"
        logger.warning(text, classnames[0])


def check_blocks(key: str, blocks: list[int], depth: int, backbone: str) -> None:
    """Raises InputError unless `blocks` names transformer blocks 1 to `depth`."""
    if not blocks or min(blocks) < 1 or max(blocks) > depth:
        raise InputError(
            f"{key} is {list(blocks)}, but the blocks of {backbone or 'this backbone'} are numbered 1 to {depth}; "
            "name only these."
        )


def check_depth(key: str, depth: int, blocks: int) -> None:
    """Raises InputError unless prompts for the first `depth` blocks fit a tower of `blocks` blocks."""
    if not 1 <= depth <= blocks:
        raise InputError(
            f"{key} is {depth}, but must lie between 1 and {blocks}, the number of blocks of this backbone."
        )


def check_vit(trainer: Method, what: str) -> None:
    """Raises InputError when the backbone is a ResNet. what: the method's operation that needs a ViT, as a verb
    phrase."""
    if not trainer.image_encoder.is_vit:
        backbone = trainer.cfg.MODEL.BACKBONE
        name = backbone.get("PATH", "") or backbone.NAME
        raise InputError(f"{trainer.cfg.TRAINER.NAME} {what} and needs a ViT; {name} is a ResNet.")
