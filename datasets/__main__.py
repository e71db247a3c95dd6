"""python -m datasets doctor | prepare | items | noise | attack | corrupt: the data under --root (docs/datasets.md)."""

from __future__ import annotations

import argparse
import sys

from dassl.utils import attach_logger
from dassl.utils.console import tolerant_console
from dassl.utils.ends import one_sentence, parse_words

from .commands import attack, corrupt, doctor, items, noise, prepare


@one_sentence()
def main(argv: list[str] | None = None) -> int:
    """Exit codes: 0 fine, 1 the doctor found problems, 2 bad usage or bad input, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m datasets", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for module in (doctor, prepare, items, noise, attack, corrupt):
        module.add_command(commands).set_defaults(run=module.run)
    args = parse_words(parser, argv)
    attach_logger("datasets")
    return args.run(args)


if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
