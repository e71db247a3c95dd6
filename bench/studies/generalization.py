"""All methods in all protocols, and one table: base-to-new, cross-dataset, domain generalisation, few-shot.

python -m bench.generalization --methods all --datasets embedded --source shapes --seeds 1 2 3 --jobs 2 \\
    --output output/generalization --markdown table.md --plots plots

Each run goes through train.py and lands where scripts/METHOD/*.sh would put it; a finished one is not run again, an
interrupted one goes on. A method is trained on the source once a seed, then tested on every target and variant.
--tables-only reads what is there.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dassl.utils import InputError
from runs.config_names import UNTRAINED
from runs.protocols import Settings
from runs.targets import EMBEDDED_SETS, SHIFTS, TARGETS, dataset_config, expand

from ..drawing.plots import plot_all
from ..drawing.report import render, sections
from ..drawing.summary import Scope, summarize
from ..reading.files import write_text
from ..reading.results import read
from ..running.launch import run_all
from ..suites.methods import check_methods
from ..suites.step import Job, Step
from . import base2new, go_ahead

PROTOCOLS = ("base2new", "cross_dataset", "domain_generalization", "few_shot")


def jobs(
    protocols: Sequence[str], methods: Sequence[str], seeds: Sequence[int], scope: Scope, settings: Settings
) -> list[Job]:
    """The jobs of all protocols, seed by seed, so that a table of the first seed is there early.

    A method without training has one seed, and one count of shots.
    """
    found: list[Job] = []
    for seed in seeds:
        some = [m for m in methods if m not in UNTRAINED or seed == seeds[0]]
        if "base2new" in protocols:
            found += [base2new.steps(m, d, seed, settings) for d in scope.datasets for m in some]
        away = [("xd_test", t) for t in scope.targets if "cross_dataset" in protocols]
        away += [("dg_test", t) for t in scope.shifts if "domain_generalization" in protocols]
        if away:
            here = replace(settings, source=scope.source)
            train = [Step("xd_train", m, scope.source, seed, here) for m in some]
            found += [(first, *(Step(p, first.method, t, seed, here) for p, t in away)) for first in train]
        if "few_shot" in protocols:
            counts = {m: scope.shots[:1] if m in UNTRAINED else scope.shots for m in some}
            found += [
                (Step("few_shot", m, d, seed, replace(settings, shots=k)),)
                for d in scope.few_shot_datasets
                for m in some
                for k in counts[m]
            ]
    return found


def build_scope(args: argparse.Namespace) -> Scope:
    """The datasets of each protocol; with --tables-only, lists that are not named stay open: whatever is found."""
    default = () if args.tables_only else EMBEDDED_SETS
    datasets = expand("base2new_train", ",".join(args.datasets)) if args.datasets else list(default)
    few = expand("few_shot", ",".join(args.few_shot_datasets)) if args.few_shot_datasets else datasets
    dataset_config(args.source)
    wanted = [
        ("cross_dataset", args.targets or TARGETS.get(args.source, ()), "--targets"),
        ("domain_generalization", args.shifts or SHIFTS.get(args.source, ()), "--shifts"),
    ]
    for protocol, names, option in wanted:
        if protocol in args.protocols and not names and not args.tables_only:
            raise InputError(f"No datasets are known for the source {args.source}; name them with {option}.")
        for name in names:
            dataset_config(name)
    targets, shifts = (list(dict.fromkeys(names)) for _, names, _ in wanted)
    return Scope(args.source, datasets, few, targets, shifts, sorted(set(args.shots)))


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["all"], help="registered names, or all")
    parser.add_argument("--protocols", nargs="+", default=list(PROTOCOLS), choices=PROTOCOLS)
    parser.add_argument("--datasets", nargs="+", help="base-to-new; names, all or embedded (default: embedded)")
    parser.add_argument("--few-shot-datasets", nargs="+", help="default: those of --datasets")
    parser.add_argument("--source", default="shapes", help="training set of the other two protocols")
    parser.add_argument("--targets", nargs="+", help="cross-dataset (default: the source's known ones)")
    parser.add_argument("--shifts", nargs="+", help="domain generalisation (default: the source's known variants)")
    parser.add_argument("--shots", nargs="+", type=int, default=[1, 2, 4, 8, 16], help="of few-shot")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="runs side by side")
    parser.add_argument("--root", default=os.environ.get("DATA", "data"))
    parser.add_argument("--output", default="output/generalization")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the tables here")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="also draw base_new.png and few_shot.png here")
    parser.add_argument("--tables-only", action="store_true", help="run nothing")
    parser.add_argument("opts", nargs="*", default=[], help="config pairs for every run: KEY VALUE ...")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = go_ahead.parse(build_parser(), argv)
    started, failures = time.time(), []
    try:
        scope, methods = build_scope(args), check_methods(args.methods)
        if min(args.shots) < 1:
            raise InputError("--shots must be at least 1.")
        settings = go_ahead.settings_of(args)
        if not args.tables_only:
            todo = jobs(args.protocols, methods, args.seeds, scope, settings)
            if not go_ahead.may_begin(args, todo):
                return 2
            failures = run_all(todo, args.jobs)
        results = [r for r in read(Path(args.output)) if r.method.partition(" (")[0] in methods]
        tables = sections(results, scope)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    print("\n" + (render(tables, "simple") if tables else f"No finished runs under {args.output}."))  # noqa: T201
    if tables and args.markdown:
        write_text(args.markdown, render(tables, "github") + "\n")
    if tables and args.plots:
        plot_all(summarize(results, scope), args.plots)
    print(f"\nLogs and results: {args.output}   ({time.time() - started:.0f} s)")  # noqa: T201
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)  # noqa: T201
    return 1 if failures or not tables else 0
