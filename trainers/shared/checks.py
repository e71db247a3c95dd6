"""Checks of a method's settings that more than one method makes; each error is one sentence."""

from __future__ import annotations

from clipkit import InputError


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


def check_vit(trainer, what: str) -> None:
    """Raises InputError when the backbone is a ResNet; `what`: what the method does that a ResNet has no place for."""
    if not trainer.image_encoder.is_vit:
        backbone = trainer.cfg.MODEL.BACKBONE
        name = backbone.get("PATH", "") or backbone.NAME
        raise InputError(f"{trainer.cfg.TRAINER.NAME} {what} and needs a ViT; {name} is a ResNet.")
