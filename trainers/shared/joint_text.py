"""One text tower for several trainings at once: each step makes one forward pass over the prompts of all of them.

The trainings are pieces of a `Lockstep`. Each asks for its text features as if it were alone. When all have asked, the
prompts go through the tower as sets of one batch, and each training gets its own features, as leaves of its graph. When
all have gradients at these leaves, one backward pass through the tower serves all. The tower does not mix rows, so a
NaN stays within its own training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from clipkit import InputError, SplitText, TextEncoder
from clipkit.deep_prompts import Prompts
from clipkit.split_text import TextGroup
from dassl.utils.counted import counted

from .compiled_text import CompiledTextEncoder, check_compiler
from .crop_features import says_so
from .lockstep import Lockstep, current

if TYPE_CHECKING:
    from .method import Method

FORWARD, BACKWARD = 0, 1  # order: trainings that wait for features go first, so that all stay in the same step
# The attributes of a method that compute gradients. A class that defines one of them states by `stacks` whether it
# leaves the gradients of text features to `PromptTrainer.backward`.
COMPUTES = ("loss", "forward_backward", "backward")


def stacks(method: type) -> bool:
    """Whether a method trains only its text side, so that its text passes can be combined with those of other runs."""
    return says_so(method) and says_so(method, "stacks", COMPUTES)


def text_encoder(trainer: Method) -> TextEncoder:
    """The text encoder of a trainer: compiled with TRAIN.COMPILE; one for several trainings where it is a piece of a
    lockstep; else its own."""
    lockstep, fits = current(), stacks(type(trainer))
    if trainer.cfg.TRAIN.get("COMPILE", False):
        check_compiler(trainer.cfg.TRAINER.NAME, fits, trainer.device)
        return CompiledTextEncoder(trainer.clip)
    if lockstep is None or not fits:
        return TextEncoder(trainer.clip)
    return JointTextEncoder(trainer, lockstep)


def finish_backward(encoder: TextEncoder) -> None:
    """To be called after `backward` of a step's loss, which stops at the text features of a joint pass: continues the
    backward pass through the text tower."""
    if isinstance(encoder, JointTextEncoder):
        encoder.finish_backward()


class JointTextEncoder(TextEncoder):
    """A text encoder whose passes in training steps are combined with those of other runs.

    counts: an entry of the run's record. runs: number of runs that started together. text_passes: passes that this
    run's steps needed. of_them_made: passes that this run executed, for itself and others; their sum over all runs of
    a stack is the number of passes of the tower.
    """

    def __init__(self, trainer: Method, lockstep: Lockstep) -> None:
        super().__init__(trainer.clip)
        self.trainer, self.lockstep = trainer, lockstep
        self.counts = {"runs": len(lockstep.strands), "text_passes": 0, "of_them_made": 0}
        self._open: list[tuple[_Pass, int, Tensor, SplitText]] = []  # passes whose gradients are not computed yet
        self._shapes = WeakIdKeyDictionary()  # {rows of a group: part of `_key`}, read from the device once

    def encode(
        self,
        text: SplitText,
        replace: Prompts = None,
        insert: Prompts = None,
        start_block: int = 1,
        replace_weight: float = 1.0,
        replace_at: int | None = None,
    ) -> Tensor:
        """As `TextEncoder.encode`. In training steps, prompts without deep prompts are encoded together with other
        runs."""
        learned = torch.is_grad_enabled() and any(x.requires_grad for x in _inputs(text))
        training = learned and self.trainer.model.training
        if not training or replace or insert or start_block != 1:
            return super().encode(text, replace, insert, start_block, replace_weight, replace_at)
        whole = _as_sets(text)
        made, number = self.lockstep.meet(FORWARD, self._key(whole), whole, self._together)
        leaf = made.leaf(number)
        self.counts["text_passes"] += 1
        self.trainer.record["stack"] = self.counts
        self._open.append((made, number, leaf, whole))
        return leaf if text.prefix.dim() == 3 else leaf[0]

    def _together(self, texts: list[SplitText]) -> list[tuple[_Pass, int]]:
        self.counts["of_them_made"] += 1
        try:
            made = _Pass(super().encode, texts)
        except torch.OutOfMemoryError as error:
            at_once = counted(len(texts), "run")
            raise InputError(f"A GPU cannot hold the texts of {at_once}: give a smaller --stack.") from error
        return [(made, number) for number in range(len(texts))]

    def finish_backward(self) -> None:
        """Called after `backward` of the loss: propagates the gradients at the leaves through the tower."""
        passes, self._open = self._open, []
        for made, number, leaf, text in passes:
            found = self.lockstep.meet(BACKWARD, made, (number, leaf.grad), made.backward)
            pairs = [(x, g) for x, g in zip(_inputs(text), found, strict=True) if x.requires_grad and g is not None]
            if pairs:
                torch.autograd.backward([x for x, _ in pairs], [g for _, g in pairs])

    def _key(self, text: SplitText) -> tuple:
        """The properties that texts of one pass must share: tower, precision, shapes and classes."""
        kind = text.prefix.device.type
        cast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        return id(self.clip_model), cast, text.prefix.shape[1:], *(self._ends(text, group) for group in text.groups)

    def _ends(self, text: SplitText, group: TextGroup) -> tuple:
        known = self._shapes.setdefault(group.rows, {})
        place = text.prefix.shape[1]  # the length of the beginning, on which the positions of EOT depend
        if place not in known:
            known[place] = tuple(group.rows.tolist()), tuple(group.eot.tolist())
        return group.tokens.shape[1:], *known[place]


class _Pass:
    """A pass over the texts of several runs, each [G, P, width] beginnings with ends of their own."""

    def __init__(self, encode: Callable[[SplitText], Tensor], texts: list[SplitText]) -> None:
        parts = list(zip(*map(_inputs, texts), strict=True))
        self.lengths = [[len(x) for x in part] for part in parts]
        self.inputs = [torch.cat([x.detach() for x in part]) for part in parts]
        for x, part in zip(self.inputs, parts, strict=True):
            x.requires_grad_(any(each.requires_grad for each in part))
        prefix, *ends = self.inputs
        groups = [TextGroup(group.rows, x, group.eot) for group, x in zip(texts[0].groups, ends, strict=True)]
        self.features = encode(SplitText(prefix, groups))
        self.own = self.features.detach().split(self.lengths[0])

    def leaf(self, number: int) -> Tensor:
        """The features [G, C, d] of one run as a leaf tensor, whose gradient is passed to `backward`."""
        return self.own[number].clone().requires_grad_()

    def backward(self, parts: list[tuple[int, Tensor | None]]) -> list[list[Tensor | None]]:
        """The gradients of the inputs of each run in `parts`, from (its number, that of its features)."""
        gradient = torch.zeros_like(self.features)  # stays zero for runs that have ended
        for (_, own), place in zip(parts, self._places(self.lengths[0], parts), strict=True):
            if own is not None:
                gradient[place] = own
        self.features.backward(gradient)
        found = [[] for _ in parts]
        for x, lengths in zip(self.inputs, self.lengths, strict=True):
            for each, place in zip(found, self._places(lengths, parts), strict=True):
                each.append(None if x.grad is None else x.grad[place])
        return found

    @staticmethod
    def _places(lengths: list[int], parts: list[tuple[int, Tensor | None]]) -> list[slice]:
        return [slice(sum(lengths[:number]), sum(lengths[: number + 1])) for number, _ in parts]


def _inputs(text: SplitText) -> list[Tensor]:
    return [text.prefix, *(group.tokens for group in text.groups)]


def _as_sets(text: SplitText) -> SplitText:
    """The same with a leading axis of sets, and ends of its own for each set."""
    if text.prefix.dim() == 2:
        return SplitText(text.prefix[None], text.groups)
    sets = len(text.prefix)
    groups = [
        group if len(group.tokens) == sets * len(group.rows)
        else TextGroup(group.rows, group.tokens.repeat(sets, 1, 1), group.eot)
        for group in text.groups
    ]  # fmt: skip
    return SplitText(text.prefix, groups)
