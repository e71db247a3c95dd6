"""All results as one table: python -m bench collect OUTPUT --csv results.csv --parquet results.parquet"""

from __future__ import annotations

import argparse
import sys

from dassl.utils import InputError

from ..running.given import GivenPath


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds `collect` to the commands of `python -m bench`."""
    made = subparsers.add_parser(
        "collect", help="all results as one table", description="Reads every results.json under OUTPUT into one table."
    )
    made.add_argument("output", action=GivenPath, metavar="OUTPUT", help="folder of the runs")
    made.add_argument("--csv", action=GivenPath, metavar="FILE", help="a row for each result, with all digits")
    made.add_argument("--parquet", action=GivenPath, metavar="FILE", help="the same as Parquet")
    made.add_argument(
        "--means", action=GivenPath, metavar="FILE", help="mean, deviation, 95 %% interval over seeds, as CSV"
    )
    made.add_argument("--strict", action="store_true", help="write nothing if a results.json is broken")
    made.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Collect the results and write the files. Returns the exit code: 0, or 1 if broken results were left out.

    Raises InputError for bad input, and for broken results with --strict.
    """
    from ..reading.collect import collect
    from ..reading.files import no_results
    from ..running.trouble import check_outputs

    check_outputs({"--csv": args.csv, "--parquet": args.parquet, "--means": args.means})
    broken: list[str] = []
    frame = collect(args.output, broken)
    if args.strict and broken:
        raise InputError(" ".join(broken))
    if frame.empty:
        raise no_results(args.output, *broken)
    _write(frame, args)
    print(_summary(frame))  # noqa: T201
    for sentence in broken:
        print(f"left out: {sentence}", file=sys.stderr)  # noqa: T201
    return 1 if broken else 0


def _write(frame, args: argparse.Namespace) -> None:
    """Write the files that the options name. Raises InputError if one cannot be written; then none is."""
    from ..reading.aggregate import aggregate
    from ..reading.files import write_all

    writers = [
        (args.csv, lambda file: frame.to_csv(file, index=False, lineterminator="\n")),
        (args.parquet, lambda file: frame.to_parquet(file, index=False)),
        (args.means, lambda file: _means(frame, aggregate).to_csv(file, index=False, lineterminator="\n")),
    ]
    write_all({file: write for file, write in writers if file is not None})


def _means(frame, aggregate):
    """Statistics of clean accuracy and of accuracy under attack in one table; the column `metric` says which."""
    import pandas as pd

    parts = []
    for metric in ("accuracy", "adv_accuracy"):
        table = aggregate(frame, metric)
        table.insert(table.columns.get_loc("mean"), "metric", metric)
        parts.append(table)
    return pd.concat([part for part in parts if len(part)])


def _summary(frame) -> str:
    """A table with a line for each protocol: numbers of results, methods, datasets and seeds."""
    from tabulate import tabulate

    rows = [
        [protocol, len(here), here["method"].nunique(), here["dataset"].nunique(), here["seed"].nunique()]
        for protocol, here in frame.groupby("protocol")
    ]
    rows.append(["all", len(frame), frame["method"].nunique(), frame["dataset"].nunique(), frame["seed"].nunique()])
    return tabulate(rows, ["protocol", "results", "methods", "datasets", "seeds"])
