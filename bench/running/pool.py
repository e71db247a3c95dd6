"""Worker processes that take one task after another. One that dies costs the task that it had, and nothing else."""

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
PATIENCE = 30.0  # seconds that an interrupted worker has to let go
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)  # Ctrl-C, and what cluster schedulers send


@dataclass(frozen=True)
class Event:
    """`kind`: started, ended (`value` is what the work returned), or died (`value` says why)."""

    kind: str
    task: object
    worker: int
    value: object = None


def interrupt_on_signals(ctrl_c: bool = True) -> None:
    """SIGTERM and SIGUSR1 become KeyboardInterrupt, once, so that leaving is not disturbed. In training they wait for
    an epoch that is about to end, and save it (dassl/engine/preemption.py).

    ctrl_c: Ctrl-C does the same, and a second one stops at once. Without, it is left to the process that started this.
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
    """Called in each worker: when the parent is gone, however it ended, so is the worker."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()
        os._exit(130)

    threading.Thread(target=watch, daemon=True).start()


def serve(connection: Connection, work: Callable, gpu: str | None) -> None:
    """A worker's life. The GPU is named before anything imports torch."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")  # clip says so, in the middle of a table
    end_with_parent()
    try:
        interrupt_on_signals(ctrl_c=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # one that came while it was starting is felt now
        while (task := connection.recv()) is not None:
            connection.send(work(task))
    except (KeyboardInterrupt, EOFError, BrokenPipeError):
        sys.exit(130)


class Worker:
    """One process, the task that it has, and the way to it."""

    def __init__(self, number: int, work: Callable, gpu: str | None) -> None:
        context = multiprocessing.get_context("spawn")  # CUDA does not live through a fork
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
        with suppress(BrokenPipeError):  # it is dead already, which is seen next
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
    """`work(task)` in `workers` processes, each with one of `gpus` (entries of CUDA_VISIBLE_DEVICES) if there are any.

    A context manager: leaving it ends the workers, busy ones by a signal that lets them go in good order.
    """

    def __init__(self, work: Callable, workers: int, gpus: Sequence[str] = ()) -> None:
        self.work, self.count, self.gpus = work, workers, gpus
        self.workers: list[Worker] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(self, tasks: Sequence) -> Iterator[Event]:
        """Hands the tasks out in order and tells what happens."""
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
        """Idle workers end, busy ones are interrupted; who has not let go in time, or by a second Ctrl-C, is killed."""
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
