"""A linear head over the classes of the training, beside a learner that can name any classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

HEAD = "linear_probe_proj"


class Film(nn.Module):
    """A scale and a bias for each channel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x + self.bias


def rows_of(saved: Sequence[str], own: Sequence[str]) -> list[int] | None:
    """The rows of a head over `saved` that stand for the classes `own`, which come in the same order (as those of
    ImageNet-A and -R among ImageNet's do); None where one is missing."""
    clean = [name.replace("_", " ") for name in saved]
    rows: list[int] = []
    for name in own:
        try:
            rows.append(clean.index(name.replace("_", " "), rows[-1] + 1 if rows else 0))
        except ValueError:
            return None
    return rows


class HeadLearner(nn.Module):
    """The base of learners with a head. known: whether the head has rows for the classes of this run; unseen: whether
    they are known to be others than those of the training."""

    known, unseen = True, False

    def fit_classes(self, state: dict[str, Tensor], saved: object, own: Sequence[str]) -> dict[str, Tensor]:
        """A checkpoint's tensors, with the head's rows for the classes `own`. If one of them has no row, the head is
        not used, and its tensors are this learner's own. saved: the class names in the file, or None."""
        wanted = {key: x for key, x in self.state_dict().items() if key.startswith(HEAD)}
        if not wanted or any(key not in state for key in wanted) and not self.unseen:
            return state  # loading raises an error that names what is missing
        rows: list[int] | None = None
        if isinstance(saved, (list, tuple)) and saved:
            rows = rows_of(saved, own)
        elif not self.unseen and len(state[HEAD + ".weight"]) == len(own):
            rows = list(range(len(own)))
        self.known = rows is not None
        return state | ({key: state[key][rows] for key in wanted} if rows is not None else wanted)


class Wrapped(HeadLearner):
    """A context learner under the key that whole models give it."""

    def __init__(self, prompt_learner: nn.Module) -> None:
        super().__init__()
        self.prompt_learner = prompt_learner


def with_head(learner: nn.Module) -> HeadLearner:
    """The learner with the methods of `HeadLearner`; a bare context learner is wrapped into one."""
    if not hasattr(learner, "prompt_learner"):
        return Wrapped(learner)
    kind = type(learner)
    learner.__class__ = type(kind.__name__, (kind, HeadLearner), {"__module__": kind.__module__})
    return learner  # type: ignore[return-value]
