"""Finds the state of each run of a suite: done, failed, running or pending.

A run is done if every step's results.json exists, is complete, and has the run's settings. Further files are in
<output>/.bench: <id>.lock, which the working process holds and the system frees when the process ends for any reason;
<id>.failed.json; <id>.done.json.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from dassl.utils import write_json
from dassl.utils.errors import unreadable

from ..reading.files import DAMAGE, check_record, damaged, number, percent, read_json
from ..suites.suite import Run

STATES = ("done", "failed", "running", "pending")
WAIT = 0.5  # seconds to wait for a lock; `status` holds it for less


@dataclass(frozen=True)
class Found:
    """The state of a run. seconds: its time, if it is done and the time is known. notes: sentences on damaged files and
    folders of other runs. failure: the content of <id>.failed.json. collapsed: folders of steps whose class features
    collapsed; the run is done all the same. ended: when, as its last step recorded it; texts in the order of time."""

    state: str
    seconds: float | None = None
    notes: tuple[str, ...] = ()
    failure: dict | None = None
    collapsed: tuple[Path, ...] = ()
    ended: str = ""


def state(run: Run) -> str:
    """The state of a run, one of `STATES`."""
    return look(run).state


def survey(runs: Sequence[Run]) -> dict[str, Found]:
    """{id of a run: its state and details}."""
    kept = _names(runs[0].home) if runs else frozenset()
    return {run.id: look(run, kept) for run in runs}


def look(run: Run, kept: frozenset[str] | None = None, mine: bool = False) -> Found:
    """The state of one run.

    kept: names of the files in the suite's folder .bench, if they are listed already. mine: this process holds the
    run's lock, so the lock does not mean that another process is working on the run.
    """
    kept = _names(run.home) if kept is None else kept
    notes: list[str] = []
    records = [read_result(folder, notes) for folder in run.folders]
    if all(records):
        others = _others(run, records)
        recorded = _read(run.home / f"{run.id}.done.json") if f"{run.id}.done.json" in kept else {}
        if not others or recorded.get("settings_hash") == [record["settings_hash"] for record in records]:
            fell = [f for f, record in zip(run.folders, records, strict=True) if record and record.get("collapsed")]
            ended = max(str(record.get("finished") or "") for record in records)
            return Found("done", _seconds(records, recorded), tuple(notes), None, tuple(fell), ended)
        notes += [
            f"{run.folders[i]} holds a run with other settings; remove it, or give another --output." for i in others
        ]
    if not mine and f"{run.id}.lock" in kept and held(run):
        return Found("running", None, tuple(notes))
    if f"{run.id}.failed.json" in kept:
        return Found("failed", None, tuple(notes), _read(run.home / f"{run.id}.failed.json"))
    return Found("pending", None, tuple(notes))


def strangers(run: Run) -> list[int]:
    """The steps whose folder holds a result with other settings."""
    return _others(run, [read_result(folder, []) for folder in run.folders])


def _others(run: Run, records: Sequence[dict | None]) -> list[int]:
    return [i for i, own in enumerate(records) if own and own["settings_hash"] != expected_hash(run, i, own)]


def read_result(folder: Path, notes: list[str]) -> dict | None:
    """The results.json of a step; None if there is none, or if it is damaged, which is noted in `notes`. Raises
    InputError for one that may not be read: it may be whole."""
    file = folder / "results.json"
    try:
        record = check_record(read_json(file))
        percent(record.get("results") or {}, "accuracy", needed=False)
        if "settings_hash" in record:
            return record
    except FileNotFoundError:
        return None
    except DAMAGE as error:
        if unreadable(error):
            raise damaged(file, error) from error
    notes.append(f"{file} is damaged (cut off?): the step is run again from its last checkpoint.")
    return None


def expected_hash(run: Run, step: int, record: dict) -> str:
    """The `settings_hash` that the step's record should have. A test's model is taken to be the recorded one."""
    model = f"{record.get('model_dir')}@{run.job[step].settings.load_epoch or run.epochs}"
    return run.resolved[step].hash(run.seed, model)


def held(run: Run) -> bool:
    """Whether a process, on any machine, is working on the run."""
    lock = _lock(run)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False  # the folder cannot be written, so no process works there
    lock.release()
    return False


@contextmanager
def claim(run: Run) -> Iterator[bool]:
    """Hold the run's lock within the block; gives False if another process holds it."""
    lock = _lock(run)
    try:
        lock.acquire(timeout=WAIT)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def record_failure(run: Run, step: int, error: str) -> None:
    failure = {
        "run": str(run), "step": str(run.job[step]), "command": run.command(step), "error": error.splitlines(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }  # fmt: skip
    write_json(failure, run.home / f"{run.id}.failed.json")


def record_done(run: Run, seconds: float) -> None:
    hashes = [(read_result(folder, []) or {}).get("settings_hash") for folder in run.folders]
    write_json({"seconds": round(seconds, 3), "settings_hash": hashes}, run.home / f"{run.id}.done.json")
    forget_failure(run)


def forget_failure(run: Run) -> None:
    with suppress(FileNotFoundError):
        (run.home / f"{run.id}.failed.json").unlink()


def _lock(run: Run) -> FileLock:
    return FileLock(run.home / f"{run.id}.lock")


def _names(home: Path) -> frozenset[str]:
    with suppress(OSError):
        return frozenset(path.name for path in home.iterdir())
    return frozenset()


def _read(file: Path) -> dict:
    """The content of a JSON file; empty if it is missing or damaged, since it is not essential."""
    with suppress(OSError, ValueError):
        found = read_json(file)
        if isinstance(found, dict):
            return found
    return {}


def _seconds(records: list[dict], recorded: dict) -> float | None:
    """The time of a run in seconds, as recorded by its steps, else by the suite; None if neither is known. Of runs that
    were trained at once each has its share."""
    parts = [(record.get("wall_seconds"), (record.get("stack") or {}).get("runs", 1)) for record in records]
    for values in (parts, [(recorded.get("seconds"), 1)]):
        with suppress(*DAMAGE):
            return sum(
                number({"seconds": value}, "seconds", needed=True, least=0) / at_once for value, at_once in values
            )
    return None
