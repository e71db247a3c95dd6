"""Times the planning of a suite with many runs, the survey of its state, and the collection of its results.

python -m speed.many_runs --runs 10000

The results are made up, each as large as that of a run with 100 classes, in a temporary folder (200 MB for 10,000).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml
from tabulate import tabulate

from bench.reading.collect import collect
from bench.running.state import survey
from bench.suites.suite import Run, Suite, read_suite
from dassl.utils.ends import one_sentence
from dassl.utils.screen import Screen
from runs.config_names import METHODS


def write_suite(folder: Path, runs: int) -> Path:
    """Write a few-shot suite of all methods on five datasets, with enough seeds for `runs` runs; returns its file."""
    methods = [name for name in METHODS if name != "ZeroshotCLIP"]
    seeds = list(range(1, -(-runs // (5 * len(methods))) + 1))
    block = {"protocol": "few_shot", "methods": methods, "datasets": "embedded", "seeds": seeds}
    file = folder / "many.yaml"
    file.write_text(yaml.safe_dump({"output": str(folder / "out"), "blocks": [block]}))
    return file


def finish(run: Run) -> None:
    """Write a results.json as of a finished run, with the values that bench reads."""
    classes = {f"class {i}": {"accuracy": 50.0, "correct": 50, "total": 100} for i in range(100)}
    record = {
        "trainer": run.method, "dataset": run.dataset, "seed": run.seed, "model_dir": None, "wall_seconds": 30.0,
        "results": {"accuracy": 50.0, "per_class": classes}, "config": json.loads(run.resolved[0].text),
        "settings_hash": run.resolved[0].hash(run.seed),
    }  # fmt: skip
    run.folders[0].mkdir(parents=True)
    (run.folders[0] / "results.json").write_text(json.dumps(record, indent=4))


def timed(work: Callable) -> tuple[float, object]:
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


@one_sentence()
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Screen)
    parser.add_argument("--runs", type=int, default=10_000, help="smallest number of runs (default: 10000)")
    args = parser.parse_args(argv)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        file = write_suite(Path(name), args.runs)
        read_suite(file)  # the first call is slower, since it fills the cache of the methods' settings
        seconds, suite = timed(lambda: read_suite(file))
        assert isinstance(suite, Suite)
        rows += [("read the suite", seconds), ("where its runs stand, none done", timed(lambda: survey(suite.runs))[0])]
        for run in suite.runs:
            finish(run)
        rows += [("where its runs stand, all done", timed(lambda: survey(suite.runs))[0])]
        rows += [("collect", timed(lambda: collect(suite.output))[0])]
        print(tabulate(rows, [f"{len(suite.runs)} runs", "s"], floatfmt=".2f"))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
