"""Exit codes of commands: 2 and one sentence for bad input, a full disk or a full GPU, 130 for Ctrl-C."""

from __future__ import annotations

import argparse
import errno
import functools
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import ParamSpec

from .errors import input_error_sentence

P = ParamSpec("P")
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def one_sentence(
    interrupted: str = "interrupted: the same command goes on",
) -> Callable[[Callable[P, int | None]], Callable[P, int]]:
    """Decorator for the function behind a command line: it returns an exit code (None is 0), and raises only for bugs.

    interrupted: the text printed on Ctrl-C. A closed output pipe (`| head`) is no error.
    """

    def around(command: Callable[P, int | None]) -> Callable[P, int]:
        @functools.wraps(command)
        def told(*args: P.args, **kwargs: P.kwargs) -> int:
            console = sys.stdout  # a run's log replaces it
            try:
                return command(*args, **kwargs) or 0
            except BrokenPipeError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), console.fileno())
                return 0
            except KeyboardInterrupt:
                sys.stdout = console
                print(interrupted, file=sys.stderr)  # noqa: T201
                return 130
            except Exception as error:
                sys.stdout = console
                if not (sentence := error_sentence(error)):
                    raise
                print(f"error: {sentence}", file=sys.stderr)  # noqa: T201
                return 2
            finally:
                sys.stdout = console

        return told

    return around


def parse_words(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the arguments of a command that has subcommands. Without arguments it prints the help, which lists them,
    to stderr and raises SystemExit (code 2), as for wrong arguments."""
    words = sys.argv[1:] if argv is None else argv
    if not words:
        parser.print_help(sys.stderr)
        raise SystemExit(2)
    return parser.parse_args(words)


def error_sentence(error: Exception) -> str:
    """The sentence for the user: what is wrong and what to do; "" for a bug.

    Errors for the user have `one_sentence = True`. Packages that do not import each other can each have such a class.
    """
    if getattr(error, "one_sentence", False) is True:
        return input_error_sentence(error)
    torch = sys.modules.get("torch")  # if it is not imported, the error is not torch's
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return f"the GPU's memory is full; lower DATALOADER.TRAIN_X.BATCH_SIZE or TEST.BATCH_SIZE ({error})."
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return f"{error.filename or 'a file'} cannot be written ({error.strerror}); make room, or write elsewhere."
    return ""


def no_room(text: str) -> OSError | None:
    """The OSError behind the last line of `text`, if that is the sentence of `error_sentence` for it; else None."""
    if not (found := re.search(r"error: (.+) cannot be written \((.+)\); make room", text.strip().split("\n")[-1])):
        return None
    file, reason = found.groups()
    return next((OSError(code, reason, file) for code in NO_ROOM if os.strerror(code) == reason), None)
