"""`python -m datasets doctor`: reports which datasets are complete, and what is missing or wrong. Changes nothing."""

from __future__ import annotations

import argparse
from pathlib import Path

from tabulate import tabulate

from dassl.utils import InputError

from ..reading.catalog import Entry, entries, find
from .checkup import Finding, examine
from .console import say

SHOWN = 5  # problems of one dataset that are printed before the rest is counted


def add_command(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    text = "check datasets: files, counts, class names, images"
    parser = commands.add_parser("doctor", help=text, description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="datasets to check, which must be there (default: all)"
    )
    parser.add_argument("--root", default="data", help="folder that holds the datasets (default: data)")
    parser.add_argument("--quick", action="store_true", help="do not open the images")
    parser.add_argument("--workers", type=int, help="images read at a time (default: one per core)")
    return parser


def run(args: argparse.Namespace) -> int:
    """Exit code 0 without problems, 1 with problems. A missing dataset is a problem only if it was named."""
    if args.workers is not None and args.workers < 1:
        raise InputError(f"--workers is {args.workers}, but must be 1 or more.")
    chosen = [find(name) for name in args.names] or _all()
    findings = [examine(entry, args.root, args.quick, args.workers) for entry in chosen]
    say(table(findings))
    named = bool(args.names)
    for finding in findings:
        if named or finding.state != "absent":
            _tell(finding, args.root)
    if not named and all(finding.state == "absent" for finding in findings):
        say(f"\nNo dataset is in {Path(args.root).absolute()}; is that the folder that holds them?")
        return 1
    return int(any(f.problems and (named or f.state != "absent") for f in findings))


def _all() -> list[Entry]:
    """All datasets with a YAML file, without the plain Folder, which has no folder of its own."""
    return [e for e in entries() if e.stem != e.name and (e.loader.dataset_dir or e.own_folder)]


def table(findings: list[Finding]) -> str:
    """One row per dataset. A count that differs from the published one is followed by that one in brackets."""
    head = ("dataset", "state", "classes", "train", "val", "test", "unreadable", "folder")
    rows = [(f.stem, f.state, *_counts(f), "-" if f.unreadable is None else f.unreadable, f.folder) for f in findings]
    return tabulate(rows, headers=head, colalign=("left", "left", *["right"] * 5, "left"), disable_numparse=True)


def _counts(finding: Finding) -> list[str]:
    if finding.counts is None:
        return ["-"] * 4
    published = finding.published or finding.counts
    pairs = zip(finding.counts, published, strict=True)
    return [f"{n}" if n == wanted else f"{n} ({wanted})" for n, wanted in pairs]


def _tell(finding: Finding, root: str) -> None:
    lines = [f"problem: {line}" for line in _shortened(finding.problems)]
    lines += [f"note: {line}" for line in _shortened(finding.notes)]
    if finding.lacks:
        lines.append(f"to fetch it, or to see how: python -m datasets prepare {finding.stem} --root {root}")
    if lines:
        say("\n" + "\n".join([f"{finding.stem}:", *(f"  {line}" for line in lines)]))


def _shortened(lines: list[str]) -> list[str]:
    return lines if len(lines) <= SHOWN else [*lines[:SHOWN], f"... and {len(lines) - SHOWN} more"]
