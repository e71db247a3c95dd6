"""A plan and a status of ten thousand runs, unfinished and finished, each in under five seconds."""

from __future__ import annotations

import functools
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from bench.suite import read_suite
from runs.config_names import METHODS as ALL

ROOT = Path(__file__).resolve().parent.parent.parent
METHODS = [name for name in ALL if name != "ZeroshotCLIP"]
LIMIT = 5.0


@pytest.fixture(scope="module")
def many():
    """In memory where that is possible: ten thousand folders take a disk long to remove."""
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 2**30
    folder = Path(tempfile.mkdtemp(dir=shared if roomy else None))
    block = {
        "protocol": "few_shot", "methods": METHODS, "datasets": "embedded", "seeds": list(range(1, 9)),
        "sweep": {"OPTIM.LR": [round(0.001 * i, 3) for i in range(1, 22)]},
    }  # fmt: skip
    file = folder / "many.yaml"
    file.write_text(yaml.safe_dump({"output": str(folder / "out"), "blocks": [block]}))
    yield file, read_suite(file).runs  # also asks the methods for their settings, once for all
    shutil.rmtree(folder)


@functools.cache
def record(resolved) -> str:
    """A results.json as large as real ones, 20 kB; the hash is open."""
    classes = {f"class {i}": {"accuracy": 50.0, "correct": 50, "total": 100} for i in range(100)}
    found = {
        "results": {"accuracy": 50.0, "per_class": classes},
        "config": json.loads(resolved.text),
        "model_dir": None,
    }
    return json.dumps(found | {"settings_hash": "HASH", "wall_seconds": 30.0}, indent=4)


def finish(run) -> None:
    run.folders[0].mkdir(parents=True)
    text = record(run.resolved[0]).replace("HASH", run.resolved[0].hash(run.seed))
    (run.folders[0] / "results.json").write_text(text)


def timed(command: str, file: Path) -> tuple[float, str]:
    """(seconds of a core, what it printed). By the clock it is the same where no other work is done."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = subprocess.run(
        [sys.executable, "-m", "bench", command, str(file)], cwd=ROOT, capture_output=True, text=True, env=os.environ
    )
    assert found.returncode == 0, found.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, found.stdout


def test_ten_thousand_runs(many):
    file, runs = many
    assert len(runs) == 10_080 and len({run.id for run in runs}) == 10_080
    for command, says in (("plan", "unknown"), ("status", "10080 pending")):
        seconds, text = timed(command, file)
        assert says in text and seconds < LIMIT, (command, seconds)
    for run in runs[:10_000]:
        finish(run)
    for command, says in (("plan", "10000"), ("status", "10000 done")):
        seconds, text = timed(command, file)
        assert says in text and seconds < LIMIT, (command, seconds)
    assert "40:00" in timed("plan", file)[1]  # 80 left, 30 s each
