"""Runs a suite on this machine, several runs at a time, each worker with a GPU of its own if there are any."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial

from dassl.utils import InputError
from dassl.utils.counted import counted

from ..suites.suite import Run, Suite
from .estimate import kind_of, seconds_of
from .launch import threads_each
from .live import Board, display
from .pool import SIGNALS, Pool, interrupt_on_signals
from .sharing import in_turn
from .stacking import stacked, work_at_once
from .state import record_failure, survey
from .time_left import TimeLeft
from .trouble import CannotWrite, check_writable
from .work import Outcome

logger = logging.getLogger(__name__)
Together = tuple[Run, ...]  # the runs that a worker has at once


def default_jobs(gpus: Sequence[str]) -> int:
    """The number of workers: one for each GPU; without a GPU two, or one on a single core."""
    real = [gpu for gpu in gpus if gpu]
    return len(real) or min(2, os.cpu_count() or 1)


def run_suite(suite: Suite, workers: int, gpus: Sequence[str], stack: int = 1) -> int:
    """Run all pending runs. Returns the exit code: 0 if all is done, 1 if not, 130 if interrupted.

    stack: how many runs a worker trains at once, where that is possible. Raises InputError if nothing can be written.
    """
    if workers < 1:
        raise InputError(f"--jobs is {workers}, but must be at least 1.")
    check_writable(suite.home)
    found = survey(suite.runs)
    counts = {state: [r for r in suite.runs if found[r.id].state == state] for state in ("done", "failed", "running")}
    todo = in_turn([run for run in suite.runs if found[run.id].state == "pending"])
    logger.info(
        "%s: %s, %d done, %d failed before, %d at work elsewhere, %d to do",
        suite.name, counted(len(suite.runs), "run"), *map(len, counts.values()), len(todo),
    )  # fmt: skip
    left = TimeLeft(todo, workers, kind_of, seconds_of(suite.runs, found))
    ends: dict[str, Outcome] = {}
    interrupted = _run(stacked(todo, stack), workers, gpus, display(len(todo), left), ends)
    return _report(suite, ends, interrupted, len(found) - len(todo) - len(counts["done"]))


def _run(todo: list[Together], workers: int, gpus: Sequence[str], board: Board, ends: dict[str, Outcome]) -> bool:
    """Run `todo` and fill `ends`, {id: outcome}; True if it was interrupted."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    interrupt_on_signals()
    try:
        with board, Pool(partial(work_at_once, threads=threads_each(workers)), workers, gpus) as pool:
            while todo:
                todo = _pass(pool, todo, board, ends)
    except KeyboardInterrupt:
        return True
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return False


def _pass(pool: Pool, todo: list[Together], board: Board, ends: dict[str, Outcome]) -> list[Together]:
    """Runs `todo`. Returns what is to be run again, one by one: the runs that a worker had at once when it died."""
    again: list[Together] = []
    for event in pool.run(todo):
        runs: Together = event.task
        name = str(runs[0]) + (f" and {len(runs) - 1} more" if runs[1:] else "")
        if event.kind == "started":
            board.started(event.worker, name)
            continue
        if event.kind == "died" and runs[1:] and event.value != "interrupted":
            logger.info("%s: %s; each is run alone", name, event.value)
            again += [(run,) for run in runs]
            continue
        outcomes = event.value if event.kind == "ended" else [_died(run, event.value) for run in runs]
        for run, outcome in zip(runs, outcomes, strict=True):
            ends[run.id] = outcome
            board.ended(event.worker, run, str(run), outcome.how, outcome.seconds / len(runs))
            for note in outcome.notes:
                logger.info("%s", note)
        if any(outcome.how == "halted" for outcome in outcomes):
            return []
    return again


def _died(run: Run, why: str) -> Outcome:
    """The outcome of a run whose worker died: failed, unless the worker was interrupted."""
    if why == "interrupted":
        return Outcome("interrupted")
    try:
        record_failure(run, 0, why)
    except OSError as error:
        return Outcome("halted", text=str(CannotWrite(error)))
    return Outcome("failed", text=why)


def _report(suite: Suite, ends: dict[str, Outcome], interrupted: bool, not_tried: int) -> int:
    for run in suite.runs:
        outcome = ends.get(run.id)
        if outcome and outcome.how in ("failed", "halted"):
            print(f"{outcome.how}: {run.id} {run}: {outcome.text}", file=sys.stderr)  # noqa: T201
    if interrupted:
        print("interrupted: the same command goes on where it stopped", file=sys.stderr)  # noqa: T201
        return 130
    bad = [outcome.how for outcome in ends.values() if outcome.how not in ("done", "skipped")]
    if not bad and not not_tried:
        return 0
    if set(bad) <= {"elsewhere"} and {state.state for state in survey(suite.runs).values()} == {"done"}:
        return 0  # what another process had at work when this one came to it has ended since
    logger.info("Not all is done: python -m bench status %s", suite.file)
    return 1
