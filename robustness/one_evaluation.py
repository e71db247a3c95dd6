"""Runs one evaluation under attack, described by the arguments of train.py."""

from __future__ import annotations

from dassl.utils.ends import one_sentence
from dassl.utils.memory import keep_freed_memory
from runs.options import parse

from .run import Options, main


@one_sentence("interrupted: the same command begins this evaluation again")
def evaluate(argv: list[str], options: Options) -> None:
    """Run one evaluation from train.py's arguments. The decorator makes it return the exit code."""
    keep_freed_memory()
    main(parse(argv), options)
