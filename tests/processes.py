"""Work in a process of its own that starts at once: a fork, which has torch and our packages already."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace

import torch


class Fork:
    """A running fork; what is used of `subprocess.Popen`, and its output.

    action: gives the exit code; what it raises is printed and ends with 70.
    keep: stdout and stderr are kept for `text()`; else they stay this process's own.
    """

    def __init__(self, action: Callable[[], int | None], keep: bool = False) -> None:
        self.returncode: int | None = None
        self._said = b""
        ours, theirs = self._pipe = os.pipe() if keep else (-1, -1)
        sys.stdout.flush(), sys.stderr.flush()
        self.pid = os.fork()
        if self.pid:
            if keep:
                os.close(theirs)
                os.set_blocking(ours, False)
            return
        code = 70
        try:
            os.setsid()
            torch.set_num_threads(1)  # a pool of threads does not come along; what waits for it never ends
            logging.root.handlers.clear()  # pytest's, which print nothing
            if keep:
                os.dup2(theirs, 1), os.dup2(theirs, 2)
                sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1, closefd=False) for n in (1, 2))
            code = action() or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)

    def poll(self) -> int | None:
        """The exit code, or None while it runs; for one that a signal ended, the signal's number, negative."""
        self._read()
        if self.returncode is None and (found := os.waitpid(self.pid, os.WNOHANG))[0]:
            self.returncode = os.waitstatus_to_exitcode(found[1])
        return self.returncode

    def wait(self, timeout: float = 600.0) -> int:
        end = time.monotonic() + timeout
        while self.poll() is None:
            assert time.monotonic() < end, "it never ended"
            time.sleep(0.005)
        return self.returncode

    def text(self) -> str:
        """All that it printed, when it is over."""
        self.wait()
        self._read()
        return self._said.decode()

    def _read(self) -> None:
        """A pipe that nobody reads fills up, and its writer waits."""
        with suppress(BlockingIOError):
            while self._pipe[0] >= 0 and (more := os.read(self._pipe[0], 65536)):
                self._said += more

    def close(self) -> None:
        """Ends it with all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()
        if self._pipe[0] >= 0:
            os.close(self._pipe[0])


def forked(action: Callable[[], int | None]) -> int:
    """Exit code of `action()` in a fork, as `subprocess` gives it."""
    return Fork(action).wait()


def fork_workers(module) -> None:
    """Within a fork: what `module` would start as fresh Python processes, it forks as well."""
    module.multiprocessing = SimpleNamespace(
        get_context=lambda kind: multiprocessing.get_context("fork"), parent_process=multiprocessing.parent_process
    )
