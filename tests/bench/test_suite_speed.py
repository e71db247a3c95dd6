"""The work of a plan and a status grows with the number of runs alone: counted from 480 to 4,800.

Seconds are measured by `python -m speed.many_runs`.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from bench.running.estimate import seconds_of
from bench.running.state import survey
from bench.suites import resolved
from bench.suites.suite import read_suite
from runs.config_names import METHODS as ALL

METHODS = [name for name in ALL if name != "ZeroshotCLIP"][:12]  # 480 runs with one rate


def write(folder: Path, runs: int) -> Path:
    block = {
        "protocol": "few_shot", "methods": METHODS, "datasets": "embedded", "seeds": list(range(1, 9)),
        "sweep": {"OPTIM.LR": [round(0.001 * i, 3) for i in range(1, runs // 480 + 1)]},
    }  # fmt: skip
    file = folder / f"many_{runs}.yaml"
    file.write_text(yaml.safe_dump({"output": str(folder / "out"), "blocks": [block]}))
    return file


def calls(work) -> tuple[int, object]:
    """(how many functions it called, what it returned)."""
    count = 0

    def event(frame, kind, argument):
        nonlocal count
        count += kind in ("call", "c_call")

    sys.setprofile(event)
    try:
        found = work()
    finally:
        sys.setprofile(None)
    return count, found


@pytest.fixture(scope="module")
def suites(tmp_path_factory):
    """{runs: (calls that reading it took, the suite)}."""
    folder = tmp_path_factory.mktemp("many")
    read_suite(write(folder, 480))  # asks the methods for their settings, once for all
    found = {}
    for number in (480, 4800):
        count, suite = calls(lambda n=number: read_suite(write(folder, n)))
        assert len(suite.runs) == len({run.id for run in suite.runs}) == number
        found[number] = count, suite
    return found


def test_reading_a_suite(suites, monkeypatch):
    (few, _), (many, suite) = suites.values()
    assert many < 10.5 * few
    files = Counter()
    read = resolved.read_leaves
    monkeypatch.setattr(resolved, "read_leaves", lambda file: files.update([file]) or read(file))
    read_suite(suite.file)
    assert len(files) < 40 and set(files.values()) == {1}  # a config is read once, however many runs take it


def test_where_thousands_of_runs_stand(suites, monkeypatch):
    reads = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda file: reads.append(file) or read_bytes(file))
    pending, done = {}, {}
    for number, (_, suite) in suites.items():
        pending[number], found = calls(lambda runs=suite.runs: survey(runs))
        assert {each.state for each in found.values()} == {"pending"}
    for number, (_, suite) in suites.items():
        for run in suite.runs:
            file = run.folders[0] / "results.json"
            if not file.exists():
                file.parent.mkdir(parents=True)
                record = {"settings_hash": run.resolved[0].hash(run.seed), "wall_seconds": 30.0, "model_dir": None}
                file.write_text(json.dumps(record | {"results": {"accuracy": 50.0}}))
        reads.clear()
        done[number], found = calls(lambda runs=suite.runs: survey(runs))
        assert {each.state for each in found.values()} == {"done"} and len(reads) == len(set(reads)) == number
        assert sum(map(len, seconds_of(suite.runs, found).values())) == number
    for work in (pending, done):
        assert work[4800] < 10.5 * work[480], work
