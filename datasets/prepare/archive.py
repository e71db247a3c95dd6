"""Unpacks downloaded archives safely: nothing is written outside the folder."""

from __future__ import annotations

import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from dassl.utils import InputError

from .meter import Meter

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
DAMAGED = (tarfile.ReadError, tarfile.StreamError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError)


def is_archive(name: str) -> bool:
    """Whether a file of this name is an archive that `unpack` reads."""
    return name.endswith(SUFFIXES)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar file into `folder`, which is made.

    InputError for members with absolute paths, with "..", links that lead outside, devices, and for damaged archives,
    which are removed. OSError (a full disk) is passed on.
    """
    folder.mkdir(parents=True)
    try:
        _unzip(archive, folder) if archive.suffix == ".zip" else _untar(archive, folder)
    except (*DAMAGED, EOFError) as error:
        archive.unlink()
        raise InputError(
            f"{archive.name} is damaged ({error}) and was removed; run the same command again to fetch it anew."
        ) from error


def _unzip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as members:
        infos = members.infolist()
        with Meter(f"unpacking {archive.name}", sum(info.file_size for info in infos)) as meter:
            done = 0
            for info in infos:
                _check_name(info.orig_filename, archive)
                if stat.S_ISLNK(info.external_attr >> 16):
                    raise _refusal(archive, info.filename, "is a link")
                members.extract(info, folder)
                done += info.file_size
                meter.at(done)


def _untar(archive: Path, folder: Path) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise InputError("This Python cannot unpack tar files safely; update it (3.10.12, 3.11.4, 3.12 or newer).")
    real = os.path.realpath(folder)
    meter = Meter(f"unpacking {archive.name}", archive.stat().st_size)
    with meter, archive.open("rb") as raw, tarfile.open(fileobj=raw) as members:
        for member in members:
            _check_name(member.name, archive)
            parent = os.path.join(real, os.path.dirname(os.path.normpath(member.name))).rstrip(os.sep)
            if os.path.realpath(parent) != parent:
                raise _refusal(archive, member.name, "lies behind a link")
            try:
                members.extract(member, folder, filter="data")
            except tarfile.FilterError as error:
                raise _refusal(archive, member.name, f"is not allowed: {error}") from error
            meter.at(raw.tell())


def _check_name(name: str, archive: Path) -> None:
    """Raises InputError for a path that is absolute (here or on Windows) or has ".." in it."""
    windows = PureWindowsPath(name)
    absolute = PurePosixPath(name).is_absolute() or windows.drive or windows.root
    if absolute or ".." in windows.parts or ".." in PurePosixPath(name).parts:
        raise _refusal(archive, name, "points outside")


def _refusal(archive: Path, name: str, reason: str) -> InputError:
    return InputError(f"{archive.name} is refused: its member {name!r} {reason}; nothing was put in place.")
