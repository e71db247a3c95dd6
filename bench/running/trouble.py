"""Errors that are not caused by a run, such as a full disk or a read-only folder; no run is marked as failed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import combinations
from pathlib import Path

from dassl.utils import InputError, atomic_path
from runs.words import check_folder

WHY = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the file would be larger than the limit (ulimit -f)",
    errno.EROFS: "the file system is read-only",
}


PICTURES = (".png", ".pdf", ".svg")


class CannotWrite(Exception):
    """Nothing can be written; the text is one sentence. folder: the place, if the error does not name one."""

    def __init__(self, error: BaseException, folder: Path | None = None) -> None:
        self.error = error
        where = getattr(error, "filename", None) or folder
        reason = WHY.get(getattr(error, "errno", None), "the disk may be full")
        super().__init__(
            f"Cannot write{f' {where}' if where else ''}: {reason}; make room, then the same command goes on."
        )


def cannot_write(error: BaseException) -> bool:
    """Whether the error is a full disk or the like. Errors of torch.save have no number and are known by their text."""
    if isinstance(error, OSError):
        return error.errno in WHY
    text = str(error)
    written = "PytorchStreamWriter" in text or "inline_container.cc" in text and "Reader" not in text
    return isinstance(error, RuntimeError) and written


def check_output(path: Path | None, name: str, folder: bool = False, picture: bool = False) -> None:
    """Raises InputError if no file, or no folder if `folder`, can be written at this path. Leaves nothing behind.

    picture: the file must end in one of `PICTURES`.
    """
    if path is None:
        return
    check_folder(str(path if folder else path.parent), name)
    if not folder and path.is_dir():
        raise InputError(f"{name} {path} is a folder; give the name of a file.")
    if picture and path.suffix.lower() not in PICTURES:
        raise InputError(f"{name} {path} must end in one of {', '.join(PICTURES)}.")
    if reason := _refused(path / "trial" if folder else path):
        raise InputError(f"{name} {path} cannot be written ({reason}); give another place.")


def check_outputs(files: Mapping[str, Path | None]) -> dict[str, Path]:
    """The files of {option: file or None} that were given. Raises InputError as `check_output` does, and where two are
    one, so that all are written or none."""
    given = {name: file for name, file in files.items() if file is not None}
    for name, file in given.items():
        check_output(file, name)
    for one, other in combinations(given, 2):
        if os.path.realpath(given[one]) == os.path.realpath(given[other]):
            raise InputError(f"{one} and {other} are both {given[one]}; give two files.")
    return given


def _refused(path: Path) -> str:
    """Why no file can be written there, "" if one can. What is made to find out is removed again."""
    if path.exists() and not path.is_file():
        return "it is a device or a pipe"
    made: list[Path] = []
    try:
        for above in reversed([each for each in path.parents if not each.exists()]):
            above.mkdir()
            made.append(above)
        with atomic_path(path.with_name(f".{path.name}.trial")) as temporary:
            Path(temporary).touch()
            raise _Tried
    except _Tried:
        return ""
    except OSError as error:
        return WHY.get(error.errno or 0, error.strerror or str(error))
    finally:
        for above in reversed(made):
            with suppress(OSError):
                above.rmdir()


class _Tried(Exception):
    """Ends a trial, so that its file is removed."""


@contextmanager
def writing(path: Path, name: str) -> Iterator[None]:
    """Around the writing of a file or of a folder's files: raises InputError if it fails. A full disk stays the error
    that it is. name: the option that gives the path."""
    try:
        yield
    except OSError as error:
        if error.errno in WHY:
            raise
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{path} cannot be written ({reason}); mend that, or give another {name}.") from error


def check_writable(folder: Path) -> None:
    """Make the folder and try to write in it. Raises InputError with the reason if that fails."""
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        reason = WHY.get(error.errno, (error.strerror or str(error)).lower())
        raise InputError(
            f"Nothing can be written in {folder}: {reason}; mend that, or give another --output."
        ) from error
