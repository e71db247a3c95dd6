"""Training curves for the page: the loss, and memorisation curves of runs that recorded them; means over seeds."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pandas import DataFrame

from bench.drawing.training_curves import LINES, Curves, over_seeds, read_curves
from bench.reading.layout import ROBUST
from dassl.utils import InputError

from .naming import title as title_of

FEWEST_POINTS, MOST_POINTS, ALL_POINTS = 12, 40, 30_000  # fewest and most points of a curve, most of the page
TESTS = {"new", "target"}  # parts that are tested and not trained on
UNTRAINED = {"test_time", "online", *ROBUST}  # protocols that train nothing
LINE = re.compile(r"^epoch \[(\d+)/\d+\] batch \[\d+/\d+\].*? loss \S+ \((\S+?)\)", re.MULTILINE)


def curves(frame: DataFrame, folder: Path, methods: dict[str, int], broken: list[str]) -> list[dict]:
    """The curves of each setting: [{title, dataset, protocol, methods: [method, {epochs, loss, lines: {name: ...}}]}].

    loss and each of the lines (those of bench.drawing.training_curves): [means, standard deviations or None]. A
    sentence for each damaged file is appended to `broken`.
    """
    found: dict[tuple[str, ...], dict[str, list[Curves]]] = defaultdict(lambda: defaultdict(list))
    for row in frame.to_dict("records"):
        if row["part"] in TESTS or row["protocol"] in UNTRAINED:
            continue
        if own := read(folder / row["folder"], broken):
            found[row["protocol"], row["dataset"], row["setting"]][row["label"]].append(own)
    count = sum(1 + len(runs[0].accuracy) for by_label in found.values() for runs in by_label.values())
    points = max(FEWEST_POINTS, min(MOST_POINTS, ALL_POINTS // max(1, count)))
    made = []
    for (protocol, dataset, setting), by_label in found.items():
        lines = [[methods[label], line] for label, runs in by_label.items() if (line := _line(runs, points))]
        title = ", ".join(filter(None, (dataset, title_of(protocol).lower(), setting)))
        if lines:
            made.append(
                {"title": title, "dataset": dataset, "protocol": protocol, "methods": sorted(lines, key=_first)}
            )
    return made


def read(folder: Path, broken: list[str]) -> Curves | None:
    """A run's curves from curves.json, or the loss alone from its log; None if neither has at least two epochs.

    A sentence is appended to `broken` if curves.json is damaged or a log cannot be read.
    """
    if (folder / "curves.json").is_file():
        try:
            found = read_curves(folder, 0)
            if len(found.epochs) > 1:  # one epoch means that only the last was recorded
                return found
        except InputError as error:  # the log still has the loss
            broken.append(f"{error}; the loss alone is taken from its log.")
    loss: dict[int, float] = {}
    for log in sorted(
        folder.glob("log.txt*"), key=lambda file: (file.name == "log.txt", file.name)
    ):  # in order of time: log.txt is the newest
        try:
            text = log.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            broken.append(f"{log} cannot be read ({error.strerror}); its losses are left out.")
            continue
        for epoch, mean in LINE.findall(text):
            with suppress(ValueError):  # a damaged line
                loss[int(epoch)] = float(mean)  # the last line of an epoch has the mean over all its steps
    epochs = sorted(e for e in loss if math.isfinite(loss[e]))
    return Curves(epochs, [loss[e] for e in epochs], {}) if len(epochs) > 1 else None


def _line(runs: Sequence[Curves], points: int) -> dict | None:
    epochs, mean, std = over_seeds(runs)
    if not epochs:
        return None
    keep = sorted({round(i * (len(epochs) - 1) / (points - 1)) for i in range(points)})
    thin = {"epochs": [epochs[i] for i in keep], "loss": _thin(mean, std, keep, 4)}
    lines = {}
    for key, *_ in LINES:
        if all(key in run.accuracy for run in runs):
            _, mean, std = over_seeds(runs, key)
            if any(math.isfinite(v) for v in mean):
                lines[key] = _thin(mean, std, keep, 1)
    return thin | ({"lines": lines} if lines else {})


def _thin(mean, std, keep: list[int], digits: int) -> list[list | None]:
    """[mean, std] at the kept points; std is None if it is 0 or unknown at all of them."""
    means, spreads = ([_plain(values[i], digits) for i in keep] for values in (mean, std))
    return [means, spreads if any(spreads) else None]


def _plain(value: float, digits: int) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


def _first(line: list) -> int:
    return line[0]
