"""Small suites on the tiny dataset, as files, for the tests of `python -m bench`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
import torch
import yaml
from processes import Fork, fork_workers

from bench.__main__ import main
from bench.running import local, pool
from bench.running.state import survey
from bench.suites.suite import read_suite

PATIENCE = 600  # seconds
B2N = {"protocol": "base2new", "methods": ["ZeroshotCLIP", "CoOp"], "datasets": ["digits"], "shots": 4}


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


class Here:
    """A suite on the tiny dataset, and `python -m bench` on it as a process of its own, which is a fork of this one."""

    started: ClassVar[list[Fork]] = []

    def __init__(self, folder: Path, tiny, blocks: list[dict], **more) -> None:
        self.tiny, self.out = tiny, folder / "out"
        self.file = write_suite(folder / "s.yaml", tiny, blocks, **more)

    @property
    def suite(self):
        return read_suite(self.file, root=str(self.tiny.root))

    def arguments(self, name: str, *options: str) -> list[str]:
        return [name, str(self.file), "--root", str(self.tiny.root), *options]

    def start(self, *options: str, name: str = "run", before: Callable = lambda: None) -> Fork:
        """before(): called in the new process, ahead of the command."""

        def command() -> int:
            before()
            fork_workers(pool)
            local.threads_each = lambda workers: 1  # more of them on a busy machine wait for each other
            torch.set_num_threads(1)
            return main(self.arguments(name, *options))

        self.started.append(Fork(command, keep=True))
        return self.started[-1]

    def finish(self, *options: str, name: str = "run", before: Callable = lambda: None) -> tuple[int, str]:
        process = self.start(*options, name=name, before=before)
        text = process.text()
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


def wait_for(condition, process: Fork, over: bool = False) -> None:
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
        process.close()
    Here.started.clear()
