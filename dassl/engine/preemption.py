"""A run that is asked to go ends where it can go on exactly: after an epoch, with a checkpoint of it.

SIGTERM is what a scheduler sends before SIGKILL; SIGUSR1 is what ours asks for a minute before the time is up. A
checkpoint within an epoch could not be gone on from exactly: the order of the batches, the averages and the random
draws are those of whole epochs. So an epoch that is about to end is waited for, and saved; a longer one is given up,
and the run goes on from the last checkpoint (with epochs of over TRAIN.ROLLING_SECONDS: that of the epoch before).
Either way the log says which, and KeyboardInterrupt ends the run as Ctrl-C does.
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
# before the end. Where it turns out to have been too long, SIGKILL costs that epoch, and no more.
PATIENCE = {name: seconds for name, seconds in (("SIGUSR1", 45.0), ("SIGTERM", 20.0)) if hasattr(signal, name)}
SIGNALS = tuple(getattr(signal, name) for name in PATIENCE)
NOTICE = 1.0  # seconds within which a signal to all processes of a run has reached this one, too


class _Watch:
    """What a signal's handler needs to know of the training."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.trainer: Trainer | None = None  # while an epoch is under way
        self.asked = ""  # the signal that came
        self.how = "came too late to stop anything"  # what it led to, for the log
        self.started = self.last = 0.0  # when the epoch began; seconds of the one before, 0 for none

    def seconds_left(self) -> float:
        """Of the epoch, by the one before, or by its own batches."""
        elapsed = time.monotonic() - self.started
        if self.last:
            return max(0.0, self.last - elapsed)
        done, count = getattr(self.trainer, "batch_idx", 0), getattr(self.trainer, "num_batches", 0)
        return elapsed / done * (count - done) if done and count else float("inf")

    def answer(self, number: int, frame: FrameType | None) -> None:
        """The handler. It logs nothing: the signal may have come in the middle of writing the log."""
        if os.getpid() != self.process:
            return  # a worker of a data loader, which its parent tells to end
        if self.asked:
            return  # they come more than once: passed on by the batch script, and from slurmd
        self.asked = signal.Signals(number).name
        if self.trainer is None:
            self.leave("stopped between epochs, or in a test; the same command goes on from the last checkpoint")
        elif self.seconds_left() > PATIENCE[self.asked]:
            number = self.trainer.epoch + 1
            self.leave(f"epoch {number} is too long to be finished; the same command goes on from the last checkpoint")

    def leave(self, how: str) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)  # from here on it is only about leaving in good order
        self.how = how
        raise KeyboardInterrupt(self.asked)

    def wait(self) -> None:
        """Until the signal is here; meanwhile workers of other loaders may be found dead as well."""
        end = time.monotonic() + NOTICE
        while not self.asked and time.monotonic() < end:
            with suppress(KeyboardInterrupt, RuntimeError):
                time.sleep(0.05)


_watch: _Watch | None = None  # handlers are the process's, and so is this


@contextmanager
def stopping_in_good_order() -> Iterator[None]:
    """Inside, SIGTERM and SIGUSR1 end the run as told above; outside they do what they did before.

    Only in the main thread, the one that Python lets handle signals; elsewhere nothing changes.
    """
    global _watch
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    outer, _watch = _watch, _Watch()
    watch, handler = _watch, _watch.answer
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" in str(error):
            watch.wait()  # a signal to all processes of the run may end a worker before it is felt here
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
def epoch(trainer: Trainer) -> Iterator[None]:
    """Around an epoch of `trainer` with all its hooks. If a signal came, `trainer.save_to_stop()` is called at the end
    and KeyboardInterrupt raised."""
    watch = _watch
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
