"""Accuracies of further logits of a method, beside those that are its answer."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


class OtherAccuracies:
    """Counts one test, batch by batch."""

    def __init__(self) -> None:
        self.right: dict[str, int] = {}
        self.total = 0

    def add(self, logits: Mapping[str, Tensor], label: Tensor) -> None:
        """A batch: {name: logits [B, C]} and labels [B]. A single name is the answer, which the evaluator counts."""
        if len(logits) < 2:
            return
        self.total += len(label)
        for name, each in logits.items():
            self.right[name] = self.right.get(name, 0) + int((each.argmax(1) == label).sum())

    def percent(self) -> dict[str, float]:
        """{name: accuracy in %}."""
        return {name: 100.0 * right / self.total for name, right in self.right.items()}
