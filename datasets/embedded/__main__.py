"""`python -m datasets.embedded make --root data`: write the embedded sets now instead of on first use.

`python -m datasets.embedded sheet sets.png` draws training images of all of them side by side.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from dassl.utils.console import tolerant_console
from dassl.utils.counted import counted
from dassl.utils.ends import one_sentence, parse_words
from dassl.utils.logger import attach_logger

from .make import ensure
from .sheet import draw_sheet
from .suite import SPECS


@one_sentence()
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m datasets.embedded", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="write the sets in CoOp's layout; existing sets are kept")
    make.add_argument("--root", type=Path, default=Path("data"), help="folder that gets one folder per set")
    make.add_argument("--sets", nargs="*", choices=sorted(SPECS), default=list(SPECS), metavar="SET")
    picture = commands.add_parser("sheet", help="one picture: a row of images, each of another class, for every set")
    picture.add_argument("file", type=Path)
    args = parse_words(parser, argv)
    attach_logger("datasets")
    if args.command == "sheet":
        draw_sheet(args.file)
        sys.stdout.write(f"{args.file}\n")
        return
    started = time.monotonic()
    for stem in args.sets:
        ensure(stem, args.root.resolve() / stem)
    sys.stdout.write(f"{counted(len(args.sets), 'set')} in {args.root} ({time.monotonic() - started:.0f} s)\n")


if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
