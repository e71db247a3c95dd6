"""Runs a command in this process and judges what it left and said."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import multiprocessing.process
import re
import signal
import subprocess
import sys
import traceback
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

STEPS = 60  # training steps, and tested batches, of one case: more is a run that goes on as it should
# What a command may leave even where it fails: whole, and of use to the next one.
CACHES = ("split_fewshot", "split_folder.json", "data/adv", "/noise")
GUARD = 120  # seconds after which a case is taken for one that hangs


class Enough(BaseException):
    """The command works, and goes on for longer than a case may."""


class Hangs(BaseException):
    pass


@dataclass
class Outcome:
    code: int | None = None  # None: it would have gone on
    out: str = ""
    err: str = ""
    trace: str = ""
    faults: list[str] = field(default_factory=list)
    records: list[Path] = field(default_factory=list)  # results.json of the runs that it made


def snapshot(folder: Path) -> dict[str, str]:
    """{path: hash of what is there}; of large files, links and folders the size."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not name.startswith("configs/"):
            facts = path.lstat()
            small = path.is_file() and facts.st_size < 1e6
            found[name] = hashlib.md5(path.read_bytes()).hexdigest() if small else f"{facts.st_size}"
    return found


def run(call: Callable[[list[str]], int], argv: list[str], folder: Path) -> Outcome:
    """One command, and what is wrong with how it ended."""
    found, before = Outcome(), snapshot(folder)
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _bounds():
            found.code = call(argv)
    except SystemExit as error:
        found.code = error.code if isinstance(error.code, int) else 2
    except Enough:
        pass
    except Hangs:
        found.faults.append(f"it hangs (more than {GUARD} s)")
    except BaseException:
        found.trace = traceback.format_exc()
        found.faults.append(f"traceback: {found.trace.strip().splitlines()[-1]}")
    found.out, found.err = out.getvalue(), err.getvalue()
    if not found.trace:
        found.faults += _said(found)
        after = snapshot(folder)
        found.records = [folder / name for name in after if name.endswith("results.json") and name not in before]
        if found.code == 2:
            found.faults += _left(before, after)
    return found


def _said(found: Outcome) -> list[str]:
    """What stderr must be: nothing but warnings, or one sentence."""
    faults = []
    if "Traceback (most recent call last)" in found.out + found.err:
        faults.append("a traceback is printed")
    lines = [line for line in found.err.splitlines() if line.strip() and not re.search(r"warn|^usage|^\s", line, re.I)]
    errors = [line for line in lines if "error:" in line]
    if found.code == 2 and len(errors) != 1:
        faults.append(f"exit code 2 with {len(errors)} sentences: {found.err[-400:]!r}")
    if found.code not in (None, 0, 1, 2):
        faults.append(f"exit code {found.code!r}")
    if found.code == 1 and not (lines or found.out.strip()):
        faults.append("exit code 1 and not a word")
    if found.code == 0 and errors:
        faults.append(f"exit code 0 with an error: {errors[0][:300]!r}")
    return faults


def _left(before: dict[str, str], after: dict[str, str]) -> list[str]:
    before, after = ({k: v for k, v in part.items() if not any(c in k for c in CACHES)} for part in (before, after))
    new = [name for name in after if name not in before]
    changed = [name for name in before if name in after and after[name] != before[name]]
    gone = [name for name in before if name not in after]
    parts = {"left behind": new, "changed": changed, "taken away": gone}
    return [f"{what}: {', '.join(names[:5])}" for what, names in parts.items() if names]


def judge_run(found: Outcome) -> list[str]:
    """Of a command that trains or tests and ended well: its record is whole, and agrees with its log."""
    if (
        found.code != 0
        or found.out.startswith("usage: ")
        or "Finished already" in found.out
        or "nothing is trained or tested" in found.out
    ):
        return []
    if not found.records:
        return [] if re.search("NO_TEST|no_train: True", found.out) else ["exit code 0 without results.json"]
    (file,) = found.records
    record = json.loads(file.read_text(), parse_constant=lambda name: math.nan)
    accuracy = (record.get("results") or {}).get("accuracy")
    if record.get("figures"):
        return []
    if not isinstance(accuracy, (int, float)) or not 0 <= accuracy <= 100:
        return [f"results.json has the accuracy {accuracy!r}"]
    said = re.findall(r"\* accuracy: (\S+)%", (file.parent / "log.txt").read_text())
    return [] if said and said[-1] == f"{accuracy:.1f}" else [f"the log says {said[-1:]}, results.json {accuracy}"]


@contextlib.contextmanager
def _bounds() -> Iterator[None]:
    """No network, no other process, no long run."""
    steps = {"n": 0}

    def counted(method: Callable) -> Callable:
        def call(*args, **kwargs):
            steps["n"] += 1
            if steps["n"] > STEPS:
                raise Enough
            return method(*args, **kwargs)

        return call

    def offline(*args, **kwargs):
        raise urllib.error.URLError("no network here")

    def no_process(command, *args, **kwargs):
        if isinstance(command, (list, tuple)) and command[:1] == ["git"]:
            return started(command, *args, **kwargs)
        raise Enough

    def too_long(*args):
        raise Hangs

    import dassl.evaluation.evaluator as evaluator
    import dassl.utils.meters as meters

    started, alarm = subprocess.Popen, signal.signal(signal.SIGALRM, too_long)
    signal.alarm(GUARD)
    console = sys.stdout
    try:
        with (
            warnings.catch_warnings(),
            mock.patch.object(subprocess, "Popen", no_process),
            mock.patch.object(multiprocessing.process.BaseProcess, "start", no_process),
            mock.patch.object(urllib.request, "urlopen", offline),
            mock.patch.object(urllib.request, "urlretrieve", offline),
            mock.patch.object(meters.MetricMeter, "update", counted(meters.MetricMeter.update)),
            mock.patch.object(evaluator.Classification, "process", counted(evaluator.Classification.process)),
        ):
            yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, alarm)
        sys.stdout = console
