"""Base-to-new for several methods, datasets and seeds in one command, and the table at the end.

python -m bench.base2new --methods ZeroshotCLIP CoOp --datasets digits shapes --seeds 1 2 3 --jobs 2

Each run goes through train.py and lands where scripts/METHOD/base2new_*.sh would put it; a finished one is not run
again. `--jobs` processes run side by side, each with its share of the cores.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from runs.protocols import UNTRAINED, Settings, base2new_test, base2new_train

from .table import print_tables


def jobs(methods: list[str], datasets: list[str], seeds: list[int]) -> list[tuple[str, str, int]]:
    """(method, dataset, seed); a method without training has one seed, since its runs do not differ."""
    return [(m, d, s) for d in datasets for m in methods for s in (seeds[:1] if m in UNTRAINED else seeds)]


def run_job(job: tuple[str, str, int], settings: Settings, threads: int) -> tuple[str, float]:
    """Training on base, then the test on new classes. Returns ("" or what went wrong, seconds)."""
    import torch

    torch.set_num_threads(threads)
    from train import run

    started = time.time()
    for protocol in (base2new_train, base2new_test):
        screen, errors = io.StringIO(), io.StringIO()  # the run's own log.txt keeps what it prints
        with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(errors):
            try:
                code = run(protocol(*job, settings))
            except Exception as error:  # reported beside the other runs, which go on
                return f"{type(error).__name__}: {error}", time.time() - started
        if code:
            return errors.getvalue().strip().splitlines()[-1], time.time() - started
    return "", time.time() - started


def run_all(todo: list[tuple[str, str, int]], settings: Settings, workers: int) -> list[str]:
    """Runs all jobs, `workers` at a time, with a bar. Returns the failures, one line each."""
    threads = max(1, (os.cpu_count() or 1) // workers)
    failures = []
    context = multiprocessing.get_context("spawn")  # one start-up a worker, not one a run
    with ProcessPoolExecutor(workers, mp_context=context) as pool, tqdm(total=len(todo), unit="run") as bar:
        futures = {pool.submit(run_job, job, settings, threads): job for job in todo}
        for future in as_completed(futures):
            method, dataset, seed = futures[future]
            error, seconds = future.result()
            if error:
                failures.append(f"{method} {dataset} seed {seed}: {error}")
            bar.set_postfix_str(f"{method} {dataset} seed {seed}: {'failed' if error else f'{seconds:.0f} s'}")
            bar.update()
    return failures


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", required=True)
    parser.add_argument("--datasets", nargs="+", required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="runs side by side")
    parser.add_argument("--root", default=os.environ.get("DATA", "data"))
    parser.add_argument("--output", default=os.environ.get("OUTPUT", "output"))
    parser.add_argument("opts", nargs="*", default=[], help="config pairs for every run: KEY VALUE ...")
    args = parser.parse_intermixed_args(argv)
    settings = replace(Settings.from_environment(os.environ, args.opts), data=args.root, output=args.output)
    started = time.time()
    failures = run_all(jobs(args.methods, args.datasets, args.seeds), settings, args.jobs)
    print_tables(Path(args.output))
    print(f"\nLogs and results: {args.output}/base2new   ({time.time() - started:.0f} s)")  # noqa: T201
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)  # noqa: T201
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
