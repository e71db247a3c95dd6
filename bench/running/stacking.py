"""Which runs are trained at once: those whose steps ask the text tower for the same names in contexts of one shape."""

from __future__ import annotations

import json
import traceback
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from ..suites.suite import Run
from .state import record_failure
from .work import Outcome, work

FREE = "DATASET.NOISE."  # with the seed and numbers that are no counts (a learning rate), what may differ


def alike(run: Run) -> str:
    """The same for runs that may be trained at once."""
    if not run.stacks:
        return run.id
    settings = json.loads(run.resolved[0].text).items()
    fixed = {key: value for key, value in settings if not key.startswith(FREE) and not isinstance(value, float)}
    return json.dumps([run.method, run.dataset, fixed], sort_keys=True)


def stacked(runs: Sequence[Run], size: int) -> list[tuple[Run, ...]]:
    """The runs in groups of at most `size` that may be trained at once; both keep their order."""
    groups: dict[str, list[list[Run]]] = defaultdict(list)
    found: list[list[Run]] = []
    for run in runs:
        mine = groups[alike(run)]
        if not mine or len(mine[-1]) == size:
            mine.append([])
            found.append(mine[-1])
        mine[-1].append(run)
    return [tuple(group) for group in found]


def work_at_once(runs: Sequence[Run], threads: int = 0) -> list[Outcome]:
    """`work` on all of these runs side by side in this process; their outcomes, in order. One that fails, or is done
    already, leaves the others alone.

    Raises KeyboardInterrupt if they were interrupted; the next call continues each from its last checkpoint.
    """
    if len(runs) == 1:
        return [work(runs[0], threads)]
    from trainers.shared.lockstep import Lockstep  # imported here, since it imports torch

    ends = Lockstep([partial(_work, run, threads) for run in runs]).run()
    for end in ends:
        if isinstance(end, BaseException):
            raise end
    return ends


def _work(run: Run, threads: int) -> Outcome:
    try:
        return work(run, threads)
    except Exception as error:  # a bug: alone it would end the worker, and with it the other runs
        text = traceback.format_exc().strip()
        record_failure(run, 0, text)
        return Outcome("failed", text=f"{type(error).__name__}: {error}")
