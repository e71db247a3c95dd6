"""Makes a table of what a suite still has to do: runs, results, states, time left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from tabulate import tabulate

from dassl.utils.counted import counted

from ..suites.suite import Suite
from .estimate import seconds_of, time_left
from .state import Found

HEADERS = ["block", "runs", "results", "done", "failed", "left", "time left, one worker"]


def plan_table(suite: Suite, found: Mapping[str, Found]) -> str:
    """A table with a line for each block, and one for all. found: the states of the runs, from `state.survey`."""
    seconds = seconds_of(suite.runs, found)
    rows = []
    for block in [*dict.fromkeys(each.block for each in suite.runs), ""]:
        runs = [each for each in suite.runs if block in (each.block, "")]
        states = Counter(found[each.id].state for each in runs)
        left = [each for each in runs if found[each.id].state != "done"]
        counts = [len(runs), sum(len(each.job) for each in runs), states["done"], states["failed"], len(left)]
        rows.append([block or "all", *counts, time_left(left, seconds)])
    if len(rows) == 2:
        rows.pop()
    return f"{suite.name}: {counted(len(suite.runs), 'run')} into {suite.output}\n\n{tabulate(rows, HEADERS)}"
