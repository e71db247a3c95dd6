"""Counts floating-point operations of a call, whatever gradients it takes."""

from __future__ import annotations

from collections.abc import Callable

from torch.utils.flop_counter import FlopCounterMode


class _NoModules:
    """Stands in for the counter's record of the module at work, of which only the total is wanted here."""

    parents = frozenset({"Global"})

    def __enter__(self) -> _NoModules:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def operations(task: Callable[[], object], kernels: dict | None = None) -> int:
    """Floating-point operations of one call (matrix products, convolutions, attention), counted by torch.

    Not divided by modules: for that torch hooks into the backward pass, which fails where `torch.autograd.grad` is
    asked for the gradient of a tensor that a module was given (second-order methods, tuning at test time).
    kernels: {operator: function of its shapes} for those that torch does not know.
    """
    counter = FlopCounterMode(display=False, custom_mapping=kernels or {})
    counter.mod_tracker = _NoModules()  # type: ignore[assignment]
    with counter:
        task()
    return counter.get_total_flops()
