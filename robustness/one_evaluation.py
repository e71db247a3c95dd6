"""One evaluation under attack, from train.py's arguments to an exit code."""

from __future__ import annotations

from dassl.utils.ends import one_sentence
from runs.options import build_parser

from .run import Options, main


@one_sentence("interrupted: the same command begins this evaluation again")
def evaluate(argv: list[str], options: Options) -> None:
    """One evaluation from train.py's arguments; returns the exit code."""
    main(build_parser().parse_args(argv), options)
