"""Checks a saved state of an optimizer or schedule before it is loaded: torch would load it and fail a step later."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Number

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


def misfit(part: Optimizer | LRScheduler, saved: object) -> str:
    """The first value in `saved` whose type or shape does not fit the state of `part`, in words; "" if all fit."""
    if not isinstance(saved, Mapping):
        return f"it is of type {type(saved).__name__}, not a dict"
    return _kinds(part.state_dict(), saved, "") or _moments(part, saved.get("state"))


def _kinds(own: object, saved: object, where: str) -> str:
    """The first place where `own` has numbers and `saved` does not; keys that only one of them has are not compared."""
    if isinstance(own, Mapping) and isinstance(saved, Mapping):
        pairs = [(f"{where}.{key}".strip("."), own[key], saved[key]) for key in own if key in saved]
    elif isinstance(own, (list, tuple)) and isinstance(saved, (list, tuple)):
        pairs = [(f"{where}.{i}", *pair) for i, pair in enumerate(zip(own, saved, strict=False))]
    elif _is_number(own) and not _is_number(saved):
        return f"{where} is {str(saved)[:40]!r}, not a number"
    elif isinstance(own, (list, tuple)) and own and all(map(_is_number, own)):
        return f"{where} is {str(saved)[:40]!r}, not a list of numbers"
    else:
        return ""
    return next(filter(None, (_kinds(mine, theirs, place) for place, mine, theirs in pairs)), "")


def _is_number(value: object) -> bool:
    one = isinstance(value, Tensor) and value.numel() == 1
    return one or (isinstance(value, Number) and not isinstance(value, bool))


def _moments(part: Optimizer | LRScheduler, states: object) -> str:
    """The first of an optimizer's running averages that is not a number, None, or a tensor of its parameter's shape."""
    if not isinstance(states, Mapping) or not hasattr(part, "param_groups"):
        return ""
    params = [p for group in part.param_groups for p in group["params"]]
    for index, state in states.items():
        for name, value in state.items() if isinstance(state, Mapping) else [("", state)]:
            where = f"state.{index}.{name}".rstrip(".")
            if value is not None and not isinstance(value, (Tensor, Number)):
                return f"{where} is {str(value)[:40]!r}, not a tensor"
            known = isinstance(index, int) and index < len(params)
            if known and isinstance(value, Tensor) and value.dim() and value.shape != params[index].shape:
                return f"{where} has the shape {list(value.shape)}, not {list(params[index].shape)}"
    return ""
