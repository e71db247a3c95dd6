"""Lists the runs that are queued or running in Slurm. This is for display and for not submitting a run twice."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dassl.utils import write_json

from ..reading.files import DAMAGE, read_json
from ..suites.suite import Run, Suite

FOLDER = "slurm"  # in the suite's folder .bench; submitit writes its files there too
PATIENCE = 10  # seconds to wait for squeue


@dataclass(frozen=True)
class Queued:
    """A task of Slurm. task: its name in squeue, such as 12_3. state: PENDING, RUNNING, ..., or "" if it has ended."""

    task: str
    state: str
    log: Path


def note(suite: Suite, jobs: Sequence[str], tasks: Sequence[Sequence[Run]]) -> None:
    """Write down which runs each job of an array was given."""
    ids = {job: [run.id for run in task] for job, task in zip(jobs, tasks, strict=True)}
    write_json({"name": suite.name, "tasks": ids}, suite.home / FOLDER / f"runs-{jobs[0].partition('_')[0]}.json")


def queue(suite: Suite) -> dict[str, Queued] | None:
    """{id of a run: the last task that it was given to}; {} if none was submitted. None if squeue does not answer."""
    folder = suite.home / FOLDER
    files = sorted(folder.glob("runs-*.json"), key=lambda file: int(file.stem.partition("-")[2]))
    if not files:
        return {}
    states = _squeue(suite.name)
    if states is None:
        return None
    found: dict[str, Queued] = {}
    for file in files:
        with suppress(*DAMAGE):
            for task, ids in read_json(file)["tasks"].items():
                own = Queued(task, states.get(task, ""), folder / f"{task}_0_log.out")
                for name in ids:
                    if own.state or name not in found or not found[name].state:
                        found[name] = own
    return found


def _squeue(name: str) -> dict[str, str] | None:
    """{task: state} of this user's jobs with this name; None if squeue does not answer."""
    if not shutil.which("squeue"):
        return None
    command = ["squeue", "--noheader", "--array", "--user", getpass.getuser(), "--format=%i %T %j"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    return {line[0]: line[1] for line in lines if len(line) == 3 and line[2] == name}
