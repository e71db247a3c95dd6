"""Base-to-new for several methods, datasets and seeds in one command, and the table at the end.

python -m bench.base2new --methods ZeroshotCLIP CoOp --datasets digits shapes --seeds 1 2 3 --jobs 2

Each run goes through train.py and lands where scripts/METHOD/base2new_*.sh would put it; a finished one is not run
again. `--jobs` processes run side by side, each with its share of the cores.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from dassl.utils import InputError
from runs.config_names import method_name
from runs.protocols import UNTRAINED, Settings
from runs.targets import dataset_config
from runs.words import check_method

from ..drawing.table import print_tables
from ..running import launch
from ..suites.step import Job, Step
from . import go_ahead


def jobs(methods: list[str], datasets: list[str], seeds: list[int]) -> list[tuple[str, str, int]]:
    """(method, dataset, seed); a method without training has one seed, since its runs do not differ."""
    return [(m, d, s) for d in datasets for m in methods for s in (seeds[:1] if m in UNTRAINED else seeds)]


def steps(method: str, dataset: str, seed: int, settings: Settings) -> Job:
    """Training on base, then the test on new classes."""
    parts = ("base2new_train", "base2new_test")
    return tuple(Step(part, method, dataset, seed, settings) for part in parts)


def run_all(todo: list[tuple[str, str, int]], settings: Settings, workers: int) -> list[str]:
    """Runs all jobs, `workers` at a time, with a bar. Returns the failures, one line each."""
    return launch.run_all([steps(*job, settings) for job in todo], workers)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", required=True)
    parser.add_argument("--datasets", nargs="+", required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="runs side by side")
    parser.add_argument("--root", default=os.environ.get("DATA", "data"))
    parser.add_argument("--output", default=os.environ.get("OUTPUT", "output"))
    parser.add_argument("opts", nargs="*", default=[], help="config pairs for every run: KEY VALUE ...")
    args = go_ahead.parse(parser, argv)
    started = time.time()
    try:
        settings = go_ahead.settings_of(args)
        methods, datasets = ([*dict.fromkeys(names)] for names in (map(method_name, args.methods), args.datasets))
        for method in methods:
            check_method(method, settings.plugins)
        for dataset in datasets:
            dataset_config(dataset, settings.plugins)
        todo = jobs(methods, datasets, args.seeds)
        if not go_ahead.may_begin(args, [steps(*job, settings) for job in todo]):
            return 2
        failures = run_all(todo, settings, args.jobs)
        print_tables(Path(args.output))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    print(f"\nLogs and results: {args.output}/base2new   ({time.time() - started:.0f} s)")  # noqa: T201
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)  # noqa: T201
    return 1 if failures else 0
