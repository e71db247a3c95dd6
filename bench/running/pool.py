"""Worker processes that take one task after another. If one dies, only its current task fails."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

logger = logging.getLogger(__name__)
PATIENCE = 30.0  # seconds after which an interrupted worker is killed
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)  # Ctrl-C, and what cluster schedulers send


@dataclass(frozen=True)
class Event:
    """A change of a task. kind: started, ended (`value` is the result of the work), or died (`value` says why)."""

    kind: str
    task: object
    worker: int
    value: object = None


def interrupt_on_signals(ctrl_c: bool = True) -> None:
    """Raise KeyboardInterrupt at the first SIGTERM or SIGUSR1, and ignore later ones, so that clean-up can finish.

    During training, an epoch that is about to end is finished and saved first (dassl/engine/preemption.py). ctrl_c:
    Ctrl-C does the same, and a second one stops at once; if False, this process ignores it, and its parent handles it.
    """

    def stop(number, frame) -> None:
        for each in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    def first(number, frame) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.raise_signal(signal.SIGTERM)

    for each in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(each, stop)
    signal.signal(signal.SIGINT, first if ctrl_c else signal.SIG_IGN)


def end_with_parent() -> None:
    """End this worker process when its parent process ends, for whatever reason."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()
        os._exit(130)

    threading.Thread(target=watch, daemon=True).start()


def serve(connection: Connection, work: Callable, gpu: str | None) -> None:
    """Receive tasks from `connection` and send back their results, in a worker process. Sets the GPU before torch is
    imported."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")  # clip's; it would break the live table
    end_with_parent()
    try:
        interrupt_on_signals(ctrl_c=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # signals that came during the start are delivered now
        while (task := connection.recv()) is not None:
            connection.send(work(task))
    except (KeyboardInterrupt, EOFError, BrokenPipeError):
        sys.exit(130)


class Worker:
    """A worker process, its current task, and the connection to it."""

    def __init__(self, number: int, work: Callable, gpu: str | None) -> None:
        context = multiprocessing.get_context("spawn")  # CUDA cannot be used after a fork
        self.number, self.task = number, None
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, work, gpu))
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # the worker inherits this until it is ready
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def give(self, task: object) -> None:
        self.task = task
        with suppress(BrokenPipeError):  # the worker is dead, which `run` notices next
            self.connection.send(task)

    def why_dead(self) -> str:
        self.process.join(PATIENCE)
        code = self.process.exitcode
        if code == 130:
            return "interrupted"
        if code is not None and code < 0:
            more = " (not enough memory?)" if -code == signal.SIGKILL else ""
            return f"the worker process was killed by {signal.Signals(-code).name}{more}"
        return f"the worker process ended with exit code {code}"


class Pool:
    """Runs `work(task)` in `workers` processes, each on one of `gpus` (entries of CUDA_VISIBLE_DEVICES) if given.

    As a context manager it ends the workers at exit; busy ones are interrupted by a signal and can clean up.
    """

    def __init__(self, work: Callable, workers: int, gpus: Sequence[str] = ()) -> None:
        self.work, self.count, self.gpus = work, workers, gpus
        self.workers: list[Worker] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(self, tasks: Sequence) -> Iterator[Event]:
        """Give the tasks to workers in order, and yield an event for each start and end."""
        left = deque(tasks)
        while left or any(w.task is not None for w in self.workers):
            while left and len(self.workers) < min(self.count, len(tasks)):
                used = {w.number for w in self.workers}
                number = next(n for n in range(self.count) if n not in used)
                gpu = self.gpus[number % len(self.gpus)] if self.gpus else None
                self.workers.append(Worker(number, self.work, gpu))
            for worker in self.workers:
                if left and worker.task is None:
                    worker.give(left.popleft())
                    yield Event("started", worker.task, worker.number)
            ready = wait([w.connection for w in self.workers if w.task is not None])
            for worker in [w for w in self.workers if w.connection in ready]:
                yield self._listen(worker)

    def _listen(self, worker: Worker) -> Event:
        task = worker.task
        try:
            value = worker.connection.recv()
        except (EOFError, OSError):
            self.workers.remove(worker)
            return Event("died", task, worker.number, worker.why_dead())
        worker.task = None
        return Event("ended", task, worker.number, value)

    def stop(self) -> None:
        """End idle workers and interrupt busy ones; kill those that are still running after `PATIENCE` seconds, or at a
        second Ctrl-C."""
        busy = [worker for worker in self.workers if worker.task is not None]
        for worker in self.workers:
            if worker in busy:
                worker.process.terminate()
            else:
                with suppress(BrokenPipeError):
                    worker.connection.send(None)
        if busy:
            logger.info("Stopping: an epoch that is about to end is waited for; Ctrl-C stops at once.")
        end = time.monotonic() + PATIENCE
        try:
            for worker in self.workers:
                worker.process.join(max(0.1, end - time.monotonic()))
        finally:
            for worker in self.workers:
                worker.process.kill()
                worker.process.join()
            self.workers = []
