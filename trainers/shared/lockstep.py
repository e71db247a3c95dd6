"""Runs several pieces of work in one process, which wait for each other at meeting points.

Each piece has a thread, and one thread runs at a time: from one meeting point to the next. So the pieces are written
as if each were alone. The global state of the process (random generators, stdout and stderr) is saved when a piece
stops at a meeting point, and restored when it goes on.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import torch

from dassl.engine.preemption import finishes_epoch


class Lockstep:
    """Runs `pieces`, functions without arguments, as described above."""

    def __init__(self, pieces: Sequence[Callable[[], Any]]) -> None:
        self.strands = [_Strand(self, piece) for piece in pieces]
        self.before = _Globals()
        self._over = threading.Event()
        self._stopping = False

    def run(self) -> list[Any]:
        """What each piece returns, or the exception that it raised, in order.

        On KeyboardInterrupt each piece gets one at its meeting point, unless it is in an epoch that is about to end:
        that is finished and saved. Then the interrupt is raised here.
        """
        threading.Thread(target=self._schedule, daemon=True).start()  # signal handlers interrupt the main thread only
        try:
            self._over.wait()
        except KeyboardInterrupt:
            self._stopping = True
            self._over.wait()
            raise
        finally:
            self.before.restore()
        return [strand.end for strand in self.strands]

    def _schedule(self) -> None:
        try:
            for strand in self.strands:
                if self._stopping:
                    strand.end = KeyboardInterrupt()
                else:
                    strand.go_on()
            while groups := _groups(self.strands):
                if self._stopping:
                    self._stop()
                    continue
                for group in groups:
                    group[0].leads = group
                    for strand in group:
                        strand.go_on()
        finally:
            self._over.set()

    def _stop(self) -> None:
        self._stopping = False
        for strand in self.strands:
            if strand.ask is not None and not finishes_epoch(strand.thread):
                strand.interrupted = True
                strand.go_on()

    def meet(self, order: int, key: Hashable, part: Any, together: Callable[[list[Any]], list[Any]]) -> Any:
        """Called within a piece: stops until all pieces stand at a meeting point or have ended.

        Pieces with the lowest `order` go on first. Of those with the same `key` the first one calls `together`, once,
        with the `part` of each; each gets its element of the returned list, or the exception that was raised.
        """
        strand = _here.strand
        strand.ask, strand.answer = (order, key, part), None
        strand.stop_here()
        if strand.leads:
            group, strand.leads = strand.leads, []
            try:
                answers = together([each.ask[2] for each in group])
            except Exception as error:  # raised in each piece of the group
                answers = [error] * len(group)
            for each, answer in zip(group, answers, strict=True):
                each.answer = answer
        answer, strand.ask, strand.answer = strand.answer, None, None
        if isinstance(answer, Exception):
            raise answer
        return answer


def current() -> Lockstep | None:
    """The lockstep in which the calling code is a piece; None elsewhere."""
    strand = getattr(_here, "strand", None)
    return None if strand is None else strand.lockstep


class _Strand:
    """A piece with its thread. ask: (order, key, part) where it waits. leads: the strands for which it computes."""

    def __init__(self, lockstep: Lockstep, piece: Callable[[], Any]) -> None:
        self.lockstep, self.piece = lockstep, piece
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.go, self.stopped = threading.Event(), threading.Event()
        self.ask: tuple[int, Hashable, Any] | None = None
        self.leads: list[_Strand] = []
        self.answer: Any = None
        self.end: Any = None
        self.interrupted = False

    def _run(self) -> None:
        _here.strand = self
        self.lockstep.before.restore()
        try:
            self.end = self.piece()
        except BaseException as error:  # the other pieces go on
            self.end = error
        finally:
            self.ask = None
            self.stopped.set()

    def go_on(self) -> None:
        """Lets the piece run up to its next meeting point, or its end."""
        self.stopped.clear()
        if self.thread.ident is None:
            self.thread.start()
        else:
            self.go.set()
        self.stopped.wait()

    def stop_here(self) -> None:
        mine = _Globals()
        self.stopped.set()
        self.go.wait()
        self.go.clear()
        mine.restore()
        if self.interrupted:
            raise KeyboardInterrupt


class _Globals:
    """The global state of the process (random generators, stdout, stderr) at the time of construction."""

    def __init__(self) -> None:
        self.random = random.getstate()
        self.numpy = np.random.get_state()  # noqa: NPY002 (methods of others draw from the global generator)
        self.torch = torch.get_rng_state()
        self.cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
        self.streams = sys.stdout, sys.stderr

    def restore(self) -> None:
        random.setstate(self.random)
        np.random.set_state(self.numpy)  # noqa: NPY002
        torch.set_rng_state(self.torch)
        if self.cuda is not None:
            torch.cuda.set_rng_state_all(self.cuda)
        sys.stdout, sys.stderr = self.streams


_here = threading.local()


def _groups(strands: Sequence[_Strand]) -> list[list[_Strand]]:
    """The strands that wait at a meeting point of the lowest order, grouped by key."""
    asks = [(strand, strand.ask) for strand in strands if strand.ask is not None]
    lowest = min((ask[0] for _, ask in asks), default=0)
    groups: dict[Hashable, list[_Strand]] = {}
    for strand, (order, key, _) in asks:
        if order == lowest:
            groups.setdefault(key, []).append(strand)
    return list(groups.values())
