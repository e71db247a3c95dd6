"""The robustness card: python -m bench card OUTPUT --html card.html --markdown card.md (docs/card.md)"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from ..running.given import GivenPath

FILES = ("html", "markdown", "latex", "json")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds `card` to the commands of `python -m bench`."""
    made = subparsers.add_parser(
        "card", help="every method on every axis of robustness",
        description="One table of all methods and one page a method, from all results under the folders: clean, unseen "
        "classes, shifts, label noise, attacks, corruptions, text noise, calibration, cost. Missing cells are named.",
    )  # fmt: skip
    made.add_argument("output", action=GivenPath, nargs="+", metavar="OUTPUT", help="folders of the runs")
    for name in FILES:
        made.add_argument(f"--{name}", action=GivenPath, metavar="FILE", help=f"write it as {name.upper()}")
    made.add_argument("--backbone", default="", metavar="NAME", help="whose runs, where there are several")
    made.add_argument("--methods", nargs="+", default=[], metavar="M", help="only these (default: all)")
    made.add_argument("--interval", action="store_true", help="± is half the mean's 95 %% interval (Student's t)")
    made.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table and write the files. Returns the exit code: 0, or 1 if broken results were left out.

    Raises InputError for bad input, before anything is written.
    """
    from dassl.utils import InputError

    from ..drawing.card import as_json, text
    from ..drawing.card_page import html
    from ..reading.card import card
    from ..reading.collect import collect_all
    from ..reading.files import no_results, write_all
    from ..running.trouble import check_outputs

    files = check_outputs({f"--{name}": getattr(args, name) for name in FILES})
    broken: list[str] = []
    frame = collect_all(args.output, broken)
    if frame.empty:
        raise no_results(args.output[0], *broken)
    if unknown := [name for name in args.methods if name not in set(frame["method"])]:
        known = ", ".join(sorted(set(frame["method"])))
        raise InputError(f"--methods {unknown[0]}: there are no runs of it; there are of {known}.")
    found = card(frame, args.backbone, interval=args.interval, methods=args.methods)
    made = {
        "--html": lambda: html(found, args.interval),
        "--markdown": lambda: text(found, "markdown", args.interval),
        "--latex": lambda: text(found, "latex", args.interval),
        "--json": lambda: as_json(found),
    }
    write_all({file: partial(_save, made[name]()) for name, file in files.items()})
    print(text(found, "terminal", args.interval), end="")  # noqa: T201
    for sentence in broken:
        print(sentence, file=sys.stderr)  # noqa: T201
    return 1 if broken else 0


def _save(text: str, file: str) -> None:
    Path(file).write_text(text, encoding="utf-8")
