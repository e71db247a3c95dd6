"""Guesses the time of runs of which none has ended: from two short trainings of one of them, on this machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from dassl.utils import write_json
from runs.config_names import UNTRAINED

from ..reading.files import read_record
from ..suites.suite import Run, Suite

Key = tuple[str, str]

FILE = "benchmark.json"
SHORT = (2, 4)  # epochs of the two trainings
LIMIT = 300  # seconds that one of them may take
WITHOUT = ("TRAIN.FEATURE_BANK", "False", "TEST.FEATURE_BANK", "False")  # what one has encoded the next would only read


@dataclass(frozen=True)
class Guess:
    """Seconds of an epoch, and of the rest of a run, which is taken for the time of each further test too."""

    epoch: float
    rest: float
    machine: str

    def of(self, run: Run) -> float:
        return self.epoch * run.epochs + self.rest * len(run.job)


def key_of(run: Run) -> Key:
    """Block and method: a guess holds for any number of results."""
    return run.block, run.method


def machine() -> str:
    """What the times were measured on."""
    import torch  # imported here: a plan needs it for nothing else

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, no GPU"


def measure(suite: Suite, keys: Iterable[Key], say: Callable[[str], None]) -> dict[Key, Guess]:
    """Measure each (block, method), and keep the guesses beside the suite's runs. say: takes a line for each.

    Methods without training, and trainings that fail or take too long, are left out and told.
    """
    found, where = read_guesses(suite), machine()
    for key in keys:
        run = next(run for run in suite.runs if key_of(run) == key)
        if run.method in UNTRAINED:
            say(f"{run.block} {run.method}: not guessed, since a run of it is one test")
            continue
        seconds = [_short(run, epochs) for epochs in SHORT]
        if None in seconds:
            say(f"{run.block} {run.method}: no guess; {SHORT[-1]} epochs failed, or took more than {LIMIT} s")
            continue
        first, second = (float(each or 0) for each in seconds)
        epoch = max(0.0, (second - first) / (SHORT[1] - SHORT[0]))
        found[key] = Guess(round(epoch, 4), round(max(0.0, first - SHORT[0] * epoch), 4), where)
        say(f"{run.block} {run.method}: {epoch:.2f} s an epoch, {found[key].rest:.1f} s beside, measured on {run}")
    rows = [{"block": block, "method": method, **asdict(guess)} for (block, method), guess in found.items()]
    write_json(rows, suite.home / FILE)
    return found


def read_guesses(suite: Suite) -> dict[Key, Guess]:
    """The guesses that were kept; none where the file is missing or damaged."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        rows = json.loads((suite.home / FILE).read_text(encoding="utf-8"))
        return {
            (str(row["block"]), str(row["method"])): Guess(float(row["epoch"]), float(row["rest"]), str(row["machine"]))
            for row in rows
        }
    return {}


def told(guesses: Mapping[Key, Guess]) -> str:
    """A line on what the guesses rest on."""
    where = "; ".join(dict.fromkeys(guess.machine for guess in guesses.values()))
    return (
        f"~: guessed from trainings of {' and '.join(map(str, SHORT))} epochs of one run each, on {where}. Without the "
        "feature bank, so rather too long; other datasets of the block may take longer or shorter."
    )


def _short(run: Run, epochs: int) -> float | None:
    """Seconds that a run's first step takes with so few epochs; None if it fails."""
    step = run.job[0]
    with tempfile.TemporaryDirectory() as folder:
        arguments = list(step.arguments())
        arguments[arguments.index("--output-dir") + 1] = folder
        if not call([*step.program.split()[1:], *arguments, "OPTIM.MAX_EPOCH", str(epochs), *WITHOUT]):
            return None
        seconds = read_record(Path(folder) / "results.json").get("wall_seconds")
        return float(seconds) if isinstance(seconds, (int, float)) else None


def call(words: Sequence[str]) -> bool:
    """Run Python with these words, in silence; whether it ended well within the limit."""
    try:
        done = subprocess.run([sys.executable, *words], capture_output=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
