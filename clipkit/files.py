"""Atomic writing of files, and lock files, which are optional: some file systems have none."""

import contextlib
import hashlib
import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import filelock

from .errors import InputError

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it to `path` if the block succeeds, removes it if not."""
    # Not mkstemp: its files are readable by their owner alone, and a cache may be shared.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def check_writable(path: Path, what: str) -> None:
    """Raises InputError, beginning with `what`, unless a file could be written to `path`. Leaves nothing behind."""
    reason = ""
    if os.path.isdir(path):
        reason = "it is a folder"
    elif os.path.exists(path) and not os.path.isfile(path):
        reason = "it is a device or a pipe"
    made = []
    try:
        for folder in reversed([p for p in path.parents if not p.exists()]):
            folder.mkdir()
            made.append(folder)
        with contextlib.suppress(_Written), atomic_path(path) as temporary:
            temporary.write_bytes(b"")
            raise _Written
    except OSError as error:
        reason = reason or error.strerror or str(error)
    finally:
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                folder.rmdir()
    if reason:
        raise InputError(f"{what} {path} cannot be written ({reason}): give another place")


class _Written(Exception):
    """Ends the trial of `check_writable`, so that its temporary file is removed."""


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` against other processes. Without a lock where none can be made (read-only folder)."""
    lock = filelock.FileLock(str(path))
    held = False
    try:
        try:
            lock.acquire(timeout=1)
        except filelock.Timeout:
            logger.info("Waiting for another process that holds %s", path)
            lock.acquire()
        held = True
    except (OSError, NotImplementedError) as error:  # filelock.Timeout is an OSError too, caught above
        logger.debug("No lock at %s (%s); going on without", path, error)
    try:
        yield
    finally:
        if held:
            lock.release()
