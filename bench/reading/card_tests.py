"""Which tests a seed must have for a figure of the robustness card: those that any other method has on the dataset."""

from __future__ import annotations

from pandas import DataFrame

from dassl.utils.counted import counted
from runs.config_names import UNTRAINED

# What tells the tests of one protocol apart.
TESTS = {
    "few_shot": ["shots"], "noise": ["noise_type", "noise_rate"], "robust": ["mode", "attack"],
    "text_noise": ["condition"],
}  # fmt: skip
MODES = {"white_box": "white-box", "adaptive": "adaptive"}  # a method has one of these two axes
EVERY_SHOT = ("slope", "clean_collapsed")  # the other few-shot axes are of the most shots alone


class AxisTests:
    """The tests that the methods of one axis have. Those of a dataset are listed once, not again for each method."""

    def __init__(self, axis: str, protocol: str, rows: DataFrame) -> None:
        """axis: its name. rows: of `collect`, of all methods on the axis."""
        self.axis, self.protocol, self.keys = axis, protocol, TESTS.get(protocol, [])
        self.mode = MODES.get(axis, "")
        self.rows = rows[rows["mode"] == self.mode] if self.mode else rows
        self.wanted: dict[str, set[str]] = {}

    def absent(self, own: DataFrame, dataset: str) -> set[str]:
        """Names of the tests that another method has there, and this one, in one seed, lacks. own: its rows."""
        if not self.keys or (self.protocol in ("noise", "few_shot") and own["method"].iloc[0] in UNTRAINED):
            return set()
        own = own[own["mode"] == self.mode] if self.mode else own
        if self.mode and own.empty:
            return set()
        if dataset not in self.wanted:
            self.wanted[dataset] = self._on(dataset)
        return self.wanted[dataset] - self._names(own)

    def _on(self, dataset: str) -> set[str]:
        rows = self.rows[self.rows["dataset"] == dataset]
        if self.protocol == "few_shot":
            shots = {int(number) for number in rows["shots"] if number}
            return {counted(n, "shot") for n in (shots if self.axis in EVERY_SHOT else {max(shots, default=0)})}
        return self._names(rows[~rows["condition"].str.startswith("template-")])

    def _names(self, rows: DataFrame) -> set[str]:
        if self.protocol == "few_shot":
            return {counted(int(number), "shot") for number in rows["shots"]}
        return {" ".join(map(str, each)) for each in rows[self.keys].itertuples(index=False)}
