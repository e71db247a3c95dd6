"""A hash over the contents of a list of images, for cache keys."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .errors import InputError
from .feature_bank import FeatureBank
from .files import atomic_path

logger = logging.getLogger(__name__)

RACY_SECONDS = 2  # a file changed so recently may change again within one tick of the file system's clock
THREADS = 8  # hashing releases the interpreter's lock, and a network drive answers several requests at a time


def image_list_key(paths: Iterable[str | os.PathLike[str]], root: str | Path | None = None) -> str:
    """SHA-256 (hex) over the contents of the files, in their order. Their paths do not matter.

    Every file is read once. Then the key is kept in `root` (default: the feature bank's folder) under device, inode,
    size and times of all files, and asking again costs one `stat` a file. One of the times is ctime, the inode's last
    change, which programs cannot set: files that were moved, exchanged or restored with old time stamps are read anew.

    Raises InputError naming the first file that cannot be read.
    """
    files = [os.fspath(path) for path in paths]
    asked = time.time_ns()
    stamps = [_stamp(file) for file in files]
    known = FeatureBank(root).root / f"{hashlib.sha256(json.dumps(stamps).encode()).hexdigest()}.images"
    key = _read(known)
    if key:
        return key
    key = _contents(files)
    if max((max(stamp[-2:]) for stamp in stamps), default=0) < asked - RACY_SECONDS * 10**9:
        _write(known, key)
    return key


def _stamp(path: str) -> tuple[int, ...]:
    try:
        s = os.stat(path)
    except (OSError, ValueError) as error:
        raise _cannot_read(path, error) from error
    return s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns


def _contents(paths: Sequence[str]) -> str:
    with ThreadPoolExecutor(THREADS) as pool:
        return hashlib.sha256(b"".join(pool.map(_digest, paths))).hexdigest()


def _digest(path: str) -> bytes:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    except OSError as error:
        raise _cannot_read(path, error) from error
    return digest.digest()


def _cannot_read(path: str, error: Exception) -> InputError:
    return InputError(f"Image {path} cannot be read: {getattr(error, 'strerror', None) or error}")


def _read(known: Path) -> str:
    """The stored key, or "" where there is none or the file is incomplete."""
    try:
        text = known.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
    return text if len(text) == 64 else ""


def _write(known: Path, key: str) -> None:
    try:
        known.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(known) as temporary:
            temporary.write_text(key, encoding="ascii")
    except OSError as error:
        logger.info(
            "The hash of the images cannot be stored in %s (%s): they are read again next time", known.parent, error
        )
