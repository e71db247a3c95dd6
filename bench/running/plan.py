"""Makes a table of what a suite still has to do: runs, results, states, time left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tabulate import tabulate

from dassl.utils.counted import counted

from ..suites.suite import Run, Suite
from .benchmark import Key, key_of, read_guesses, told
from .estimate import kind_of, seconds_of, time_left
from .sharing import tower_epochs
from .state import Found

HEADERS = ["block", "runs", "results", "done", "failed", "left", "time left, one worker"]


def plan_table(suite: Suite, found: Mapping[str, Found]) -> str:
    """A table with a line for each block, and one for all. found: the states of the runs, from `state.survey`."""
    seconds, guesses = seconds_of(suite.runs, found), read_guesses(suite)

    def guess(run: Run) -> float | None:
        own = guesses.get(key_of(run))
        return own.of(run) if own else None

    rows = []
    for block in [*dict.fromkeys(each.block for each in suite.runs), ""]:
        runs = [each for each in suite.runs if block in (each.block, "")]
        states = Counter(found[each.id].state for each in runs)
        left = [each for each in runs if found[each.id].state != "done"]
        counts = [len(runs), sum(len(each.job) for each in runs), states["done"], states["failed"], len(left)]
        rows.append([block or "all", *counts, time_left(left, seconds, guess)])
    if len(rows) == 2:
        rows.pop()
    left = [each for each in suite.runs if found[each.id].state != "done"]
    table = tabulate(rows, HEADERS)
    guessed = {key_of(run) for run in left if kind_of(run) not in seconds}
    used = {key: each for key, each in guesses.items() if key in guessed}
    basis = f"\n\n{told(used)}" if used else ""
    return f"{suite.title}: {counted(len(suite.runs), 'run')} into {suite.output}\n\n{table}{_passes(left)}{basis}"


def unmeasured(suite: Suite, found: Mapping[str, Found]) -> list[Key]:
    """Block and method of the runs that are left and of whose kind none has ended."""
    ended = seconds_of(suite.runs, found)
    left = [run for run in suite.runs if found[run.id].state != "done" and kind_of(run) not in ended]
    return list(dict.fromkeys(map(key_of, left)))


def _passes(runs: Sequence[Run]) -> str:
    """A line on what the image tower has to do in training, "" where nothing is trained."""
    without, with_bank = tower_epochs(runs)
    if not without:
        return ""
    return (
        f"\n\nImage tower: {without:,} passes over a run's training images (one an epoch) are left; with the bank of "
        f"features {with_bank:,}, or fewer where some are on disk (docs/caching.md)"
    )
