"""Work in a process of its own that starts at once: a fork, which has torch and our packages already."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable


def start(action: Callable[[], int | None]) -> int:
    """The process id of a fork that ends with `action()`'s exit code; 70 and a traceback for what it raises."""
    sys.stdout.flush(), sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        code = action() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


def finish(pid: int) -> int:
    """Its exit code; for one that a signal ended, the signal's number, negative."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def forked(action: Callable[[], int | None]) -> int:
    """Exit code of `action()` in a fork, as `subprocess` gives it."""
    return finish(start(action))
