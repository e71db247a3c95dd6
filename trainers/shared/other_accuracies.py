"""Accuracies of the logits that a method has beside its answer, counted while Dassl's test loop runs."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


class OtherAccuracies:
    """Of one test. The loop parses a batch, which sets `label` [B], and asks for its logits, which `add` takes."""

    def __init__(self) -> None:
        self.label: Tensor | None = None
        self.right: dict[str, int] = {}
        self.total = 0

    def add(self, logits: Mapping[str, Tensor]) -> None:
        """{name: logits [B, C]} of the batch parsed last; a single one is the answer, which the evaluator counts."""
        if len(logits) < 2 or self.label is None:
            return
        self.total += len(self.label)
        for name, each in logits.items():
            self.right[name] = self.right.get(name, 0) + int((each.argmax(1) == self.label).sum())

    def percent(self) -> dict[str, float]:
        """{name: accuracy in %}."""
        return {name: 100.0 * right / self.total for name, right in self.right.items()}
