"""Errors under corruption: python -m bench corruptions OUTPUT --markdown table.md (docs/corruptions.md)"""

from __future__ import annotations

import argparse
import sys

from ..running.given import GivenPath


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds `corruptions` to the commands of `python -m bench`."""
    made = subparsers.add_parser(
        "corruptions", help="mCE of tests on corrupted images, against zero-shot CLIP",
        description="Mean accuracy on the 15 corruptions of ImageNet-C, mCE and relative mCE of every method under "
        "OUTPUT, and the error of each corruption. Tests: scripts/METHOD/corruption_test.sh, or a suite.",
    )  # fmt: skip
    made.add_argument("output", action=GivenPath, metavar="OUTPUT", help="folder of the runs")
    made.add_argument("--format", default="terminal", choices=("terminal", "markdown", "latex"))
    made.add_argument(
        "--output", dest="file", action=GivenPath, metavar="FILE", help="write to this file, not to the screen"
    )
    made.add_argument("--interval", action="store_true", help="± is half the mean's 95 %% interval (Student's t)")
    made.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print or write the tables. Returns the exit code: 0, or 1 if broken results were left out.

    Raises InputError if there are no tests on corrupted images.
    """
    from dassl.utils import InputError

    from ..drawing.corruption import tables
    from ..drawing.formats import render
    from ..reading.collect import collect
    from ..reading.files import no_results, write_text

    broken: list[str] = []
    frame = collect(args.output, broken)
    found = tables(frame, args.interval)
    if not found:
        raise no_results(args.output, *broken, what="tests on corrupted images")
    text = render(found, args.format)
    if args.file:
        try:
            write_text(args.file, text)
        except OSError as error:
            raise InputError(f"{args.file} cannot be written ({error.strerror}); name another file.") from error
    else:
        print(text, end="")  # noqa: T201
    for sentence in broken:
        print(sentence, file=sys.stderr)  # noqa: T201
    return 1 if broken else 0
