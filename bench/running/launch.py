"""Runs one step of a run in this process, and returns its error as text."""

from __future__ import annotations

import contextlib
import io
import os
import traceback

from ..suites.step import Step
from .trouble import CannotWrite, cannot_write

LAST_LINES = 12  # lines of an error that are kept


def run_step(step: Step) -> str:
    """Run a step. Returns "", or the last lines of its error. The output of the run is in its own log.txt.

    Raises KeyboardInterrupt if the step was interrupted, and CannotWrite if nothing can be written (a full disk).
    """
    screen, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(errors):
        try:
            code = step.run()
        except Exception as error:  # it is reported, and the other runs continue
            if cannot_write(error):
                raise CannotWrite(error) from error
            return _last_lines(traceback.format_exc())
    if code == 130:
        raise KeyboardInterrupt
    if code:
        from dassl.utils.ends import no_room  # imported here, since it imports torch

        if error := no_room(errors.getvalue()):
            raise CannotWrite(error)
    return (_last_lines(errors.getvalue()) or f"exit code {code}") if code else ""


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-LAST_LINES:])


def limit_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def threads_each(workers: int) -> int:
    """The number of CPU cores for each of so many workers."""
    return max(1, (os.cpu_count() or 1) // workers)
