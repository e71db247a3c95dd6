"""Many runs: plan them, run them here or on a cluster, see where they stand, collect, compare and report.

python -m bench COMMAND SUITE.yaml ...    (python -m bench COMMAND --help)
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys

from dassl.utils.console import tolerant_console
from dassl.utils.ends import one_sentence, parse_words
from dassl.utils.screen import Screen

# Each is a module bench/commands/NAME.py with add_parser(subparsers). Only the module of the given command is imported.
COMMANDS = {
    "plan": "what a suite asks for, what is done, how long the rest takes",
    "run": "run what is not done, here or as Slurm jobs",
    "work": "run these runs here, one after another (what a Slurm task does)",
    "status": "where every run stands; failed ones with their error",
    "select": "choose settings among a suite's candidate runs",
    "retry": "forget failures, so that `run` takes these runs again",
    "clean": "remove folders of runs",
    "collect": "every result as one table",
    "compare": "results beside published numbers",
    "score": "figures of tests from their outputs alone, or of other predictions",
    "card": "every method on every axis of robustness",
    "corruptions": "mCE of tests on corrupted images, against zero-shot CLIP",
    "pack": "results of runs in one small file, without models and outputs",
    "report": "results as one HTML page",
    "claims": "the papers' claims, tried on runs of their own",
}
STUDIES = ("claims",)  # of the commands: those with a suite of their own, each a module bench/studies/NAME.py


def build_parser(command: str) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser | None]:
    """(main parser, parser of the command or None). The other commands have a name and a line of help only."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, formatter_class=Screen)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, line in COMMANDS.items():
        if name == command:
            importlib.import_module(f".commands.{name}", __package__).add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=line)
    return parser, subparsers.choices[command] if command in COMMANDS else None


@one_sentence("interrupted: the same command goes on where it stopped")
def main(argv: list[str] | None = None) -> int:
    """Run a command. Returns the exit code: 0 without failures, 1 with failures, 2 bad input, 130 interrupted."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in STUDIES:
        return importlib.import_module(f".studies.{argv[0]}", __package__).main(argv[1:])
    parser, own = build_parser(argv[0] if argv else "")
    if own is None:
        parse_words(parser, argv)  # --help, no or an unknown command
        return 2
    args = own.parse_intermixed_args(argv[1:])
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return args.run(args)


if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
