"""Checks the blocks of a suite that choose settings against each other, and puts in what follows from `select`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dassl.utils import InputError

from .blocks import Block
from .select import ORACLE, TEST, VAL_IS_TEST, VALIDATION, Select
from .values import unknown

SPLIT = "TEST.SPLIT"


def choosing(blocks: Sequence[Block], given: Mapping[str, str]) -> list[Block]:
    """The blocks, candidates with their variants and validation images, and blocks that take a choice with theirs.

    Whatever was chosen by test accuracy has a variant that begins with `ORACLE`. given: config pairs of the command
    line. Raises InputError.
    """
    selects = {block.name: block for block in blocks if block.select}
    found = []
    for block in blocks:
        if block.select:
            found.append(_candidates(block, block.select, given))
        elif block.selected:
            found.append(_takes(block, selects, given))
        elif block.published:
            _check_key(block, block.published, given)
            found.append(block)  # `expand` names its variants, which depend on the method
        else:
            found.append(block)
    return found


def _candidates(block: Block, select: Select, given: Mapping[str, str]) -> Block:
    if block.protocol.startswith("adversarial"):
        raise InputError(f"{block.place}, select: choose on clean images, in a block of few_shot or test_time.")
    _check_key(block, (select.key, SPLIT), given)
    variant = f"select/{block.variant or block.name}"
    if select.by == TEST:
        return replace(block, variant=f"{ORACLE}/{variant}")
    trained = [block.source] if block.source else block.datasets
    if wrong := [name for name in trained if name in VAL_IS_TEST]:
        raise InputError(
            f"{block.place}, select: the validation images of {wrong[0]} are its test images; take another dataset."
        )
    return replace(block, variant=variant, overrides={**block.overrides, SPLIT: "val"})


def _takes(block: Block, selects: Mapping[str, Block], given: Mapping[str, str]) -> Block:
    if not selects:
        raise InputError(
            f"{block.place}, selected: no block of the suite has `select`, so there is no choice {block.selected!r} to "
            "take; add one (docs/selection.md), or leave `selected` out."
        )
    if block.selected not in selects:
        raise InputError(f"{block.place}, selected: {unknown('block with select', block.selected, selects)}")
    source = selects[block.selected]
    assert source.select is not None
    names = [label or method for label, method, _ in source.methods]
    for label, method, _ in block.methods:
        if (label or method) not in names:
            text = f"{label or method} is not in {block.selected!r}; add it there, or leave it out here."
            raise InputError(f"{block.place}, selected: {text}")
    _check_key(block, (source.select.key,), given)
    variant = block.variant or "selected"
    return replace(block, variant=variant if source.select.by == VALIDATION else f"{ORACLE}/{variant}")


def _check_key(block: Block, keys: Sequence[str], given: Mapping[str, str]) -> None:
    """Raises InputError for a key that is set elsewhere too."""
    fixed = {key for _, _, pairs in block.methods for key in pairs[::2]}
    for key in keys:
        if key in given or key in block.overrides or key in fixed:
            where = "the command line" if key in given else "overrides" if key in block.overrides else "a method's name"
            raise InputError(f"{block.place}: {key} of {where} is what the block chooses; leave one out.")
