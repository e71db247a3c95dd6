"""Files and folders: atomic writing, JSON, listing, download."""

from __future__ import annotations

import errno
import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(path: str | Path) -> Iterator[str]:
    """A temporary name beside `path`; what is written there takes the place of `path` when the block ends well.

    A reader never sees half a file, and a failed writer leaves nothing behind. A link stays one: what it points to is
    replaced. Raises OSError for a device or a pipe, in whose place a file would be put.
    """
    path = os.fspath(path)
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise OSError(errno.EINVAL, "it is a device or a pipe", path)
    path = os.path.realpath(path) if os.path.islink(path) else path
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def mkdir_if_missing(dirname: str | Path) -> None:
    """Make the folder and its parents; no error if it exists, or if another process makes it at the same time."""
    os.makedirs(dirname, exist_ok=True)


def read_json(fpath: str | Path) -> Any:
    """Parse a JSON file (UTF-8). ValueError if it is not JSON, or nested too deeply."""
    with open(fpath, encoding="utf-8-sig") as f:  # a byte order mark is no part of the text
        try:
            return json.load(f)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error


def write_json(obj: object, fpath: str | Path) -> None:
    """Write `obj` as JSON, indented by 4; makes the parent folder."""
    mkdir_if_missing(os.path.dirname(fpath) or ".")
    with atomic_path(fpath) as temporary, open(temporary, "w", encoding="utf-8") as f:
        json.dump(obj, f, indent=4, separators=(",", ": "))


def listdir_nohidden(path: str | Path, sort: bool = False) -> list[str]:
    """Names in a folder that do not start with a dot; in file-system order unless `sort`."""
    names = [name for name in os.listdir(path) if not name.startswith(".")]
    return sorted(names) if sort else names


def download_url(url: str, dst: str | Path, from_gdrive: bool = False) -> None:
    """Fetch `url` to the file `dst`. Google Drive addresses need the `gdown` package."""
    mkdir_if_missing(os.path.dirname(dst) or ".")
    with atomic_path(dst) as temporary:
        if from_gdrive:
            import gdown

            gdown.download(url, temporary, quiet=False)
        else:
            urllib.request.urlretrieve(url, temporary)
