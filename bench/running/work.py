"""Runs one run of a suite in this process: locks it, repairs damaged results, and runs its steps."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runs.config_names import UNTRAINED

from ..suites.suite import Run
from .launch import limit_threads, run_step
from .state import claim, look, read_result, record_done, record_failure
from .trouble import CannotWrite, cannot_write

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a run ended. how: done, failed, skipped (done or failed before), elsewhere (another process works on it), or
    halted (nothing can be written, so that further runs would fail too; `text` says why)."""

    how: str
    seconds: float = 0.0
    text: str = ""
    notes: Sequence[str] = ()


def work(run: Run, threads: int = 0) -> Outcome:
    """Run what is not done of the run. threads: torch's number of threads; 0 does not change it.

    Raises KeyboardInterrupt if it was interrupted; the next call continues from the last checkpoint.
    """
    try:
        run.home.mkdir(parents=True, exist_ok=True)
        with claim(run) as mine:
            if not mine:
                return Outcome("elsewhere")
            found = look(run, mine=True)  # another process may have finished it before the lock was free
            if found.state in ("done", "failed"):
                return Outcome("skipped", notes=found.notes)
            if threads:
                limit_threads(threads)
            return _steps(run)
    except (CannotWrite, OSError) as trouble:
        error = getattr(trouble, "error", trouble)
        if not cannot_write(error):
            raise
        return Outcome("halted", text=str(CannotWrite(error, run.folders[0])))


def _steps(run: Run) -> Outcome:
    started, notes, failure = time.time(), mend(run), None
    for number, step in enumerate(run.job):
        error = run_step(step)
        if not error and read_result(run.folders[number], []) is None:
            error = f"{step} ended without {run.folders[number] / 'results.json'}."
        if error and failure is None:
            failure = (number, error)
        if error and number == 0:
            break  # the other steps test the model that this one trains
    seconds = time.time() - started
    if failure:
        record_failure(run, *failure)
        return Outcome("failed", seconds, f"{run.job[failure[0]]}: {failure[1].splitlines()[-1]}", notes)
    record_done(run, seconds)
    return Outcome("done", seconds, notes=notes)


def _leads_somewhere(pointer: Path) -> bool:
    """Whether a file `checkpoint` names an existing file."""
    try:
        return os.path.isfile(pointer.parent / pointer.read_text().strip())
    except (OSError, ValueError):
        return False


def mend(run: Run) -> list[str]:
    """Remove damaged results, so that the steps are run again. Returns a sentence for each.

    An incomplete results.json is removed. If a checkpoint that is named is missing, the model, its results and
    its tests are removed, and the training begins again.
    """
    notes: list[str] = []
    whole = [read_result(folder, notes) is not None for folder in run.folders]
    for folder, fine in zip(run.folders, whole, strict=True):
        if not fine:
            (folder / "results.json").unlink(missing_ok=True)
    trained = run.folders[0]
    if run.method in UNTRAINED or not (trained / "config.yaml").is_file():
        return notes
    pointers = sorted(trained.glob("*/checkpoint"))
    lost = [file for file in pointers if not _leads_somewhere(file)]
    if lost or (whole[0] and not pointers):
        for file in lost:
            shutil.rmtree(file.parent)
        (trained / "results.json").unlink(missing_ok=True)
        for folder in run.folders[1:]:  # tests of the lost weights
            shutil.rmtree(folder, ignore_errors=True)
        notes.append(f"{trained} has lost its checkpoint: it is trained again.")
    return notes
