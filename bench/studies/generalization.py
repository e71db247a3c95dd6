"""Runs all methods in four protocols: base-to-new, cross-dataset, domain generalisation, few-shot.

python -m bench.generalization --methods all --datasets embedded --source shapes --seeds 1 2 3 --jobs 2 \\
    --output output/generalization --markdown table.md --plots plots

Options that are not given are as in configs/suites/generalization.yaml. Runs have the same folders as those of
scripts/METHOD/*.sh; finished ones are not repeated. A method is trained on the source once for each seed, then tested
on every target and variant. With --tables-only alone the tables are those of the suite in the folder of --output; with
options but without --datasets, or without such a suite, averages are over all datasets with results.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pandas import DataFrame

from dassl.utils import InputError
from dassl.utils.ends import one_sentence
from runs.targets import SHIFTS, TARGETS, dataset_config

from ..drawing.plots import plot_all
from ..drawing.report import sections
from ..drawing.results import results
from ..drawing.summary import Scope, summarize
from ..suites.methods import check_methods
from ..suites.suite import Suite
from . import door
from .published_order import published_order
from .rows import all_rows

PROTOCOLS = ("base2new", "cross_dataset", "domain_generalization", "few_shot")


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--methods", nargs="+", help="registered names, or all (default: all)")
    parser.add_argument(
        "--protocols", nargs="+", choices=PROTOCOLS, metavar="NAME", help=f"of {', '.join(PROTOCOLS)} (default: all)"
    )
    parser.add_argument("--datasets", nargs="+", help="base-to-new; names, all or embedded (default: embedded)")
    parser.add_argument("--few-shot-datasets", nargs="+", help="default: those of --datasets; without that, digits")
    parser.add_argument("--source", help="training set of the other two protocols (default: shapes)")
    parser.add_argument("--targets", nargs="+", help="cross-dataset (default: the source's known ones)")
    parser.add_argument("--shifts", nargs="+", help="domain generalisation (default: the source's known variants)")
    parser.add_argument("--shots", nargs="+", type=int, help="shots of the few-shot protocol (default: 1 2 4 8 16)")
    parser.add_argument(
        "--published-order", action="store_true", help="also compare the order by HM with that of published tables"
    )
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="folder for base_new.png and few_shot.png")


def fill(tree: dict, args: argparse.Namespace) -> None:
    """Put the options into the suite's tree. Raises InputError for a source without known targets."""
    if min(args.shots or (1,)) < 1:
        raise InputError("--shots must be at least 1.")
    blocks = {block["protocol"]: block for block in tree["blocks"]}
    source = args.source or blocks["cross_dataset"]["source"]
    dataset_config(source)
    few_shot = args.few_shot_datasets or args.datasets
    given = {
        "base2new": {"datasets": args.datasets},
        "cross_dataset": {"source": source, "datasets": _away(args, "cross_dataset", source)},
        "domain_generalization": {"source": source, "datasets": _away(args, "domain_generalization", source)},
        "few_shot": {"datasets": few_shot, "shots": sorted(set(args.shots or ()))},
    }
    tree["blocks"] = [
        blocks[name]
        | {"methods": check_methods(args.methods or ["all"])}
        | {key: once(own) for key, own in given[name].items() if own}
        for name in PROTOCOLS
        if name in (args.protocols or PROTOCOLS)
    ]


def once(values: str | list) -> str | list:
    return list(dict.fromkeys(values)) if isinstance(values, list) else values


def _away(args: argparse.Namespace, protocol: str, source: str) -> list[str]:
    """The datasets on which the source's models are tested. Raises InputError if none are known."""
    named, known, option = {
        "cross_dataset": (args.targets, TARGETS, "--targets"),
        "domain_generalization": (args.shifts, SHIFTS, "--shifts"),
    }[protocol]
    found = list(named or known.get(source, ()))
    if not found and protocol in (args.protocols or PROTOCOLS):
        raise InputError(f"No datasets are known for the source {source}; name them with {option}.")
    return found


def page(frame: DataFrame, suite: Suite, args: argparse.Namespace) -> door.Page:
    """The tables of all results of the methods in the output folder."""
    found = results(frame[frame["method"].isin([run.method for run in suite.runs])])
    scope = scope_of(suite, args)
    shown = sections(found, scope)
    if args.published_order:
        for shots in sorted({r.shots for r in found if r.kind == "base" and r.shots}):
            shown += published_order(summarize([r for r in found if r.shots in (0, shots)], scope), shots)
    return door.Page(shown, draw=lambda folder: plot_all(summarize(found, scope), folder))


def scope_of(suite: Suite, args: argparse.Namespace) -> Scope:
    """The datasets of the averages: the suite's, or with --tables-only those named for base-to-new and few-shot."""
    steps = [step for run in suite.runs for step in run.job]
    found = {
        name: [s for s in steps if s.protocol == name] for name in ("base2new_train", "few_shot", "xd_test", "dg_test")
    }
    datasets = {name: list(dict.fromkeys(step.dataset for step in own)) for name, own in found.items()}
    fixed = args.recorded or not args.tables_only
    return Scope(
        next((step.settings.source for step in steps if step.settings.source), args.source or "shapes"),
        datasets["base2new_train"] if fixed or args.datasets else (),
        datasets["few_shot"] if fixed or args.datasets or args.few_shot_datasets else (),
        datasets["xd_test"],
        datasets["dg_test"],
        sorted({step.settings.shots for step in found["few_shot"]}),
    )


STUDY = door.Study("generalization", __doc__, "generalization", options, fill, page, rows=all_rows)


@one_sentence("interrupted: the same command goes on where it stopped")
def main(argv: list[str] | None = None) -> int:
    return door.main(STUDY, argv)
