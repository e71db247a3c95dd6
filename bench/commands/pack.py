"""Results alone, to publish or to keep: python -m bench pack OUTPUT results.tar.xz (docs/compare.md)"""

from __future__ import annotations

import argparse
import sys

from ..running.given import GivenPath


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds `pack` to the commands of `python -m bench`."""
    made = subparsers.add_parser(
        "pack", help="results of runs in one small file, without models and outputs",
        description="Writes the results.json of every run under OUTPUT, the settings that it ran with and what the "
        "suite keeps beside them to one archive, a few hundred bytes a run. Unpacked (tar -xJf FILE), every table is "
        "printed from it as from the runs, and a suite takes these runs for done.",
    )  # fmt: skip
    made.add_argument(
        "output", action=GivenPath, metavar="OUTPUT", help="folder of the runs; relative, to publish them"
    )
    made.add_argument("file", action=GivenPath, metavar="FILE", help="the archive, ending in .tar.xz")
    made.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the archive. Returns the exit code: 0, or 1 if broken results were left out.

    Raises InputError if there are no results, or if the file cannot be written.
    """
    from dassl.utils import InputError
    from dassl.utils.counted import counted

    from ..reading.packing import pack

    if not args.file.name.endswith(".tar.xz"):
        raise InputError(f"{args.file} does not end in .tar.xz; name the archive so.")
    broken: list[str] = []
    packed, elsewhere = pack(args.output, args.file, broken)
    print(f"{args.file}: {counted(packed, 'result')}, {args.file.stat().st_size:,} bytes")  # noqa: T201
    if elsewhere:
        broken.append(
            f"{counted(elsewhere, 'result')} of these name absolute folders of this machine in their settings; to "
            "publish results, run the suite with a relative --output."
        )
    for sentence in broken:
        print(sentence, file=sys.stderr)  # noqa: T201
    return 1 if len(broken) > bool(elsewhere) else 0
