"""Trouble that is not the run's own: a full disk, a read-only folder. No run is to blame, and none is marked failed."""

from __future__ import annotations

import errno
from pathlib import Path

from dassl.utils import InputError
from runs.words import check_folder

WHY = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the file would be larger than the limit (ulimit -f)",
    errno.EROFS: "the file system is read-only",
}


PICTURES = (".png", ".pdf", ".svg")


class CannotWrite(Exception):
    """The text is one sentence. folder: where it was tried, if the error itself does not say it."""

    def __init__(self, error: BaseException, folder: Path | None = None) -> None:
        self.error = error
        where = getattr(error, "filename", None) or folder
        reason = WHY.get(getattr(error, "errno", None), "the disk may be full")
        super().__init__(
            f"Cannot write{f' {where}' if where else ''}: {reason}; make room, then the same command goes on."
        )


def cannot_write(error: BaseException) -> bool:
    """Is this about the place that is written to? For a checkpoint torch has no error number, but two texts."""
    if isinstance(error, OSError):
        return error.errno in WHY
    text = str(error)
    written = "PytorchStreamWriter" in text or "inline_container.cc" in text and "Reader" not in text
    return isinstance(error, RuntimeError) and written


def check_output(path: Path | None, name: str, folder: bool = False, picture: bool = False) -> None:
    """Raises InputError where no file (a picture, of a kind that can be drawn), or no folder, can be written at this
    path. Nothing is made."""
    if path is None:
        return
    check_folder(str(path if folder else path.parent), name)
    if not folder and path.is_dir():
        raise InputError(f"{name} {path} is a folder; give the name of a file.")
    if picture and path.suffix.lower() not in PICTURES:
        raise InputError(f"{name} {path} must end in one of {', '.join(PICTURES)}.")


def check_writable(folder: Path) -> None:
    """Makes the folder and tries to write there. Raises InputError that says why it cannot be."""
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
