"""Errors that the user can correct: a command prints their text, without a traceback."""

from __future__ import annotations


class InputError(ValueError):
    """Wrong input of the user. The text says what is wrong, where, and what to do."""

    one_sentence = True  # a command line shows the text alone (dassl/utils/ends.py)


class MissingFileError(InputError, FileNotFoundError):
    """A file or folder is not there (code written for upstream expects FileNotFoundError)."""


class NotAvailableError(InputError):
    """A name that is not registered."""


class CheckError(InputError, AssertionError):
    """A check that is an assertion in upstream."""


class DivergedError(InputError, FloatingPointError):
    """Numbers that are infinite or NaN where there must be none (upstream raises FloatingPointError)."""


class UnsupportedError(InputError, NotImplementedError):
    """A setting that upstream knows and this engine does not."""


def input_error_sentence(exc: BaseException) -> str:
    """The plain sentence of an InputError, also of one that comes out of a loader's worker process.

    torch re-raises a worker's error with the worker's traceback as its text; the sentence follows the last mention
    of the error's type in it.
    """
    text = str(exc)
    if not text.startswith("Caught "):
        return text
    kind = type(exc)
    mark = f"\n{kind.__module__}.{kind.__qualname__}: "
    return text.rpartition(mark)[2].strip() if mark in text else text


def unreadable(error: BaseException) -> str:
    """Why the system does not let a file be read, such as "Permission denied"; "" if it does, so that what is wrong is
    the content (pyarrow says that by an OSError without a number)."""
    if not isinstance(error, OSError) or (error.errno is None and not isinstance(error, PermissionError)):
        return ""
    return error.strerror or str(error) or type(error).__name__
