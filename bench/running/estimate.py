"""Estimates the time of runs as the mean of the last ones of the same block and method with as many results."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from tqdm import tqdm

from dassl.utils.counted import counted

from ..suites.suite import Run
from .state import Found
from .time_left import LAST

Kind = tuple[str, str, int]


def kind_of(run: Run) -> Kind:
    """Block, method, results: a run that is tested on 75 corruptions takes many times as long as one with one test."""
    return run.block, run.method, len(run.job)


def seconds_of(runs: Sequence[Run], found: Mapping[str, Found]) -> dict[Kind, list[float]]:
    """{kind: seconds of each run that is done, the one that ended first before the others}."""
    seconds: dict[Kind, list[float]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: found[run.id].ended):
        if found[run.id].state == "done" and found[run.id].seconds is not None:
            seconds[kind_of(run)].append(found[run.id].seconds)
    return dict(seconds)


def time_left(
    left: Iterable[Run], seconds: Mapping[Kind, Sequence[float]], guess: Callable[[Run], float | None] = lambda _: None
) -> str:
    """The time that one worker needs for the runs of `left`, as text; runs without an estimate are counted.

    guess: seconds of a run of whose kind none has ended, or None; a text with guesses begins with ~.
    """
    means = {kind: statistics.fmean(values[-LAST:]) for kind, values in seconds.items()}
    total, known, unknown, guessed = 0.0, 0, 0, False
    for run in left:
        kind = kind_of(run)
        if (each := means[kind] if kind in means else guess(run)) is None:
            unknown += 1
        else:
            total, known, guessed = total + each, known + 1, guessed or kind not in means
    if not known and unknown:
        return "unknown"
    told = f"{'~' if guessed else ''}{tqdm.format_interval(total)}"
    return told + (f" + {counted(unknown, 'run')} unknown" if unknown else "")
