"""Learners with rows for their training classes, which can be tested on other classes, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from dassl.utils.errors import InputError


def plain_name(name: str) -> str:
    """The name with spaces for underscores, by which classes are compared."""
    return name.replace("_", " ")


class KnownClasses(nn.Module):
    """The learner of a method that uses a row for each training class, and predicts other classes in another way.

    `class_tensors`: names of the tensors whose first axis is the training run's classes, or their images
    (`rows_are_classes` False); in a test their size is the checkpoint's. `known`: the names of these classes, in the
    order of the rows.
    """

    class_tensors: tuple[str, ...] = ()
    rows_are_classes = True

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.known = [plain_name(name) for name in names]

    def take_shapes(self, state: Mapping[str, Tensor], names: Sequence[str] | None, path: str) -> None:
        """Takes over the sizes and class names of a checkpoint, before its state is loaded. names: None where the file
        has none; they are then assumed to be this run's. Raises InputError if their numbers differ, or those of the
        tensors' rows among each other."""
        rows = {key: len(state[key]) for key in self.class_tensors if key in state and state[key].ndim}
        if len(set(rows.values())) > 1 or (names and self.rows_are_classes and {*rows.values()} - {len(names)}):
            told = ", ".join(f"{count} rows of {key}" for key, count in rows.items())
            classes = f" for {len(names)} classes" if names and self.rows_are_classes else ""
            raise InputError(f"{path} holds {told}{classes}, which do not belong together; give another checkpoint.")
        own = dict(self.named_parameters()) | dict(self.named_buffers())
        for key in self.class_tensors:
            saved, mine = state.get(key), own[key]
            if saved is None or saved.shape == mine.shape or saved.shape[1:] != mine.shape[1:]:
                continue
            if not names:
                raise InputError(
                    f"{path} does not name its classes, and {key} has {len(saved)} rows for {len(mine)} of this run: "
                    "test it on the classes that it was trained on."
                )
            mine.data = torch.empty(saved.shape, dtype=mine.dtype, device=mine.device)
        if names:
            self.known = [plain_name(name) for name in names]

    def rows(self, names: Sequence[str]) -> list[int]:
        """For each name the number of its class among the known ones, -1 for a new one."""
        place = {name: i for i, name in reversed(list(enumerate(self.known)))}
        return [place.get(plain_name(name), -1) for name in names]
