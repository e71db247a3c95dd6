"""Stops a training on SIGTERM or SIGUSR1 so that the same command resumes it exactly.

Slurm sends SIGTERM before SIGKILL; the batch scripts of `bench` ask for SIGUSR1 a minute before the time limit. A run
can be resumed exactly only after a whole epoch: the order of the batches, the averages and the random draws are those
of whole epochs. So an epoch that is about to end is finished and saved. A longer one is abandoned, and the run resumes
from the last checkpoint (with epochs of over TRAIN.ROLLING_SECONDS: that of the epoch before). The log says which of
the two was done, and KeyboardInterrupt ends the run as Ctrl-C does.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from dassl.protocols import Trainer

logger = logging.getLogger(__name__)

# Seconds that an epoch may still take. Slurm's KillWait, between SIGTERM and SIGKILL, is 30 s; SIGUSR1 is sent 60 s
# before the end. If the epoch takes longer after all, SIGKILL costs this epoch only.
PATIENCE = {name: seconds for name, seconds in (("SIGUSR1", 45.0), ("SIGTERM", 20.0)) if hasattr(signal, name)}
SIGNALS = tuple(getattr(signal, name) for name in PATIENCE)
NOTICE = 1.0  # seconds within which a signal to all processes of a run has reached this one, too


class _Watch:
    """The signal handler (`answer`) with the state of the training."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.trainer: Trainer | None = None  # while an epoch is under way
        self.asked = ""  # name of the signal that came
        self.how = "came too late to stop anything"  # its effect, for the log
        self.started = self.last = 0.0  # when the epoch began; seconds of the one before, 0 for none

    def seconds_left(self) -> float:
        """Estimated time until the epoch ends: from the time of the epoch before, or of the batches so far."""
        elapsed = time.monotonic() - self.started
        if self.last:
            return max(0.0, self.last - elapsed)
        done, count = getattr(self.trainer, "batch_idx", 0), getattr(self.trainer, "num_batches", 0)
        return elapsed / done * (count - done) if done and count else float("inf")

    def answer(self, number: int, frame: FrameType | None) -> None:
        """The handler. It logs nothing: the signal may have come in the middle of writing the log."""
        if os.getpid() != self.process:
            return  # a worker of a data loader, which the main process ends
        if self.asked:
            return  # a signal may come twice: from the batch script and from slurmd
        self.asked = signal.Signals(number).name
        if self.trainer is None:
            self.leave("stopped between epochs, or in a test; the same command goes on from the last checkpoint")
        elif self.seconds_left() > PATIENCE[self.asked]:
            number = self.trainer.epoch + 1
            self.leave(f"epoch {number} is too long to be finished; the same command goes on from the last checkpoint")

    def leave(self, how: str) -> None:
        for each in SIGNALS if threading.current_thread() is threading.main_thread() else ():
            signal.signal(each, signal.SIG_IGN)  # a further signal must not interrupt the end of the run
        self.how = how
        raise KeyboardInterrupt(self.asked)

    def wait(self) -> None:
        """Wait for the signal, NOTICE seconds at most. Errors of other dead workers are ignored meanwhile."""
        end = time.monotonic() + NOTICE
        while not self.asked and time.monotonic() < end:
            with suppress(KeyboardInterrupt, RuntimeError):
                time.sleep(0.05)


_watch: _Watch | None = None  # one for the process, as signal handlers are
_in_threads: dict[threading.Thread, _Watch] = {}  # of runs in other threads, which their starter asks to stop


@contextmanager
def stopping_in_good_order() -> Iterator[None]:
    """Inside, SIGTERM and SIGUSR1 end the run as described above; afterwards the former handlers are back.

    Python handles signals in the main thread alone: a run in another one is asked by `finishes_epoch`.
    """
    global _watch
    if threading.current_thread() is not threading.main_thread():
        with _watched_thread():
            yield
        return
    outer, _watch = _watch, _Watch()
    watch, handler = _watch, _watch.answer
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" in str(error):
            with suppress(KeyboardInterrupt):  # the signal, which may come before `wait` looks for it
                watch.wait()  # a signal to all processes of the run may end a worker before it reaches this one
        if not watch.asked:
            raise
        watch.how = "it ended a data loader's worker, too; the same command goes on from the last checkpoint"
        raise KeyboardInterrupt(watch.asked) from error
    finally:
        if watch.asked:
            logger.info("%s: %s", watch.asked, watch.how)
        _watch = outer
        for number, previous in before.items():
            if signal.getsignal(number) == handler:  # else it is ignored since the run is leaving
                signal.signal(number, previous)


@contextmanager
def _watched_thread() -> Iterator[None]:
    thread, watch = threading.current_thread(), _Watch()
    _in_threads[thread] = watch
    try:
        yield
    finally:
        del _in_threads[thread]
        if watch.asked:
            logger.info("%s: %s", watch.asked, watch.how)


def finishes_epoch(thread: threading.Thread) -> bool:
    """Asks the run in a thread to stop, as SIGTERM asks one in the main thread. True if its epoch is about to end: it
    raises KeyboardInterrupt there. Else the caller has to end it."""
    watch = _in_threads.get(thread)
    if watch is None or watch.asked:
        return False
    watch.asked = signal.Signals(signal.SIGTERM).name
    if watch.trainer is not None and watch.seconds_left() <= PATIENCE[watch.asked]:
        return True
    watch.how = "stopped in an epoch that is too long to be finished; the same command goes on from the last checkpoint"
    return False


@contextmanager
def epoch(trainer: Trainer) -> Iterator[None]:
    """Around an epoch of `trainer` with all its hooks. If a signal came, `trainer.save_to_stop()` is called at the end
    and KeyboardInterrupt raised."""
    watch = _in_threads.get(threading.current_thread(), _watch)
    if watch is None:
        yield
        return
    watch.started, watch.trainer = time.monotonic(), trainer
    try:
        yield
        if watch.asked:
            trainer.save_to_stop()
            watch.leave(f"stopped after epoch {trainer.epoch + 1}, which is saved; the same command goes on from it")
    finally:
        watch.last, watch.trainer = time.monotonic() - watch.started, None
