"""Small suites on the tiny dataset, as files, for the tests of `python -m bench`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from bench.state import survey
from bench.suite import read_suite

PATIENCE = 600  # seconds
B2N = {"protocol": "base2new", "methods": ["ZeroshotCLIP", "CoOp"], "datasets": ["digits"], "shots": 4}

# The command of a subprocess. `helpers` registers the tiny dataset where runs are worked on: in the workers, which
# import this file under another name, and in `work`.
DRIVER = """
import sys
sys.path[:0] = [{root!r}, {tests!r}]
if __name__ != "__main__" or sys.argv[1] == "work":
    import helpers
if __name__ == "__main__":
    from bench.__main__ import main
    sys.exit(main())
"""


def overrides(tiny, epochs: int = 1) -> dict:
    """What makes a run on `digits` one on the tiny dataset with the tiny CLIP."""
    pairs = tiny.arguments(Path("unused"))
    pairs = pairs[pairs.index("DATASET.NAME") :]
    found = dict(zip(pairs[::2], pairs[1::2], strict=True))
    for key in ("DATASET.NUM_SHOTS", "DATASET.SUBSAMPLE_CLASSES"):
        del found[key]
    return found | {"OPTIM.MAX_EPOCH": epochs, "MODEL.BACKBONE.NAME": "", "DATASET.NAME": "Tiny"}


def write_suite(file: Path, tiny, blocks: list[dict], epochs: int = 1, **top) -> Path:
    tree = {"output": str(file.parent / "out"), "seeds": [1], "overrides": overrides(tiny, epochs), "blocks": blocks}
    file.write_text(yaml.safe_dump(tree | top, sort_keys=False))
    return file


def write_driver(file: Path) -> Path:
    root = Path(__file__).resolve().parent.parent.parent
    file.write_text(DRIVER.format(root=str(root), tests=str(root / "tests")))
    return file


class Here:
    """A suite on the tiny dataset, and `python -m bench` on it as a process of its own."""

    started: ClassVar[list[subprocess.Popen]] = []

    def __init__(self, folder: Path, tiny, blocks: list[dict], **more) -> None:
        self.tiny, self.out = tiny, folder / "out"
        self.file = write_suite(folder / "s.yaml", tiny, blocks, **more)
        self.driver = write_driver(folder / "driver.py")

    @property
    def suite(self):
        return read_suite(self.file, root=str(self.tiny.root))

    def command(self, name: str, *options: str) -> list[str]:
        return [sys.executable, str(self.driver), name, str(self.file), "--root", str(self.tiny.root), *options]

    def start(self, *options: str, name: str = "run", **more) -> subprocess.Popen:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
        process = subprocess.Popen(self.command(name, *options), **(pipes | more))
        self.started.append(process)
        return process

    def finish(self, *options: str, name: str = "run", **more) -> tuple[int, str]:
        process = self.start(*options, name=name, **more)
        text = said(process)
        return process.returncode, text

    def states(self) -> dict[str, str]:
        return {
            run.id: found.state for run, found in zip(self.suite.runs, survey(self.suite.runs).values(), strict=True)
        }

    def at_work_or_done(self) -> bool:
        return "running" in (states := self.states().values()) or set(states) == {"done"}

    def results(self) -> dict[str, dict]:
        """{folder: what was found}, of every results.json; the numbers, not the times."""
        files = sorted(self.out.rglob("results.json"))
        records = {str(file.parent.relative_to(self.out)): json.loads(file.read_text()) for file in files}
        return {folder: {key: record[key] for key in ("results", "items")} for folder, record in records.items()}


def said(process: subprocess.Popen) -> str:
    """What it printed, when it is over. On a busy machine that may be long."""
    return process.communicate(timeout=PATIENCE)[0]


def wait_for(condition, process: subprocess.Popen, over: bool = False) -> None:
    """over: the process may have ended by then."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert (over or process.poll() is None) and time.monotonic() < end, "it never came to that"
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def nothing_stays():
    """Whatever a test started and did not wait for ends with it. To be imported by test files that start processes."""
    yield
    for process in Here.started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    Here.started.clear()
