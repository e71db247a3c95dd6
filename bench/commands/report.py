"""Writes the results under a folder as one HTML page: tables, curves, confusion matrices, origin of each number.

python -m bench report output --output report.html
"""

from __future__ import annotations

import argparse
import os
import sys

from dassl.utils import InputError
from dassl.utils.counted import counted

from ..running.given import GivenPath


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds `report` to the commands of `python -m bench`."""
    parser = subparsers.add_parser(
        "report", help="results as one HTML page", description="Everything finished under OUTPUT as one HTML page."
    )
    parser.add_argument("folder", metavar="OUTPUT", action=GivenPath, help="folder of the runs")
    parser.add_argument(
        "--output", metavar="FILE", action=GivenPath, help="file to write (default: OUTPUT/report.html)"
    )
    parser.add_argument("--title", help="title of the page (default: the folder's name)")
    parser.add_argument("--interval", action="store_true", help="± is half the mean's 95 %% interval (Student's t)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the page. Returns the exit code: 0, or 1 if broken results were left out (the page names them).

    Raises InputError if there are no results, or the page cannot be written.
    """
    from ..drawing.html.page import page
    from ..reading.collect import collect  # imported here, since pandas is slow to import
    from ..reading.files import no_results, write_text

    if args.title is not None and not args.title.strip():
        raise InputError("--title is empty; give a title, or leave it out.")
    file = args.output or args.folder / "report.html"
    if os.path.isdir(file):
        raise InputError(f"--output {file} is a folder; give the name of a file in it, such as {file / 'report.html'}.")
    broken: list[str] = []
    frame = collect(args.folder, broken)
    if frame.empty:
        raise no_results(args.folder, *broken)
    left_out = len(broken)
    text = page(frame, args.folder, file, args.title or args.folder.absolute().name, broken, args.interval)
    try:
        write_text(file, text)
    except OSError as error:
        raise InputError(f"{file} cannot be written ({error.strerror or error}); give another --output.") from error
    print(f"{file}: {counted(len(frame), 'result')}, {len(text.encode()) / 2**20:.2f} MiB")  # noqa: T201
    for number, sentence in enumerate(broken):  # sentences after `left_out` are about curves and matrices
        print(f"left out: {sentence}" if number < left_out else sentence, file=sys.stderr)  # noqa: T201
    return 1 if left_out else 0
