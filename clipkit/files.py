"""Files that are never seen half written, and locks that do without when the file system has none."""

import contextlib
import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import filelock

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds, remove it if not."""
    # Not mkstemp: its files are readable by their owner alone, and a cache may be shared.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` against other processes. A folder that takes no locks (read-only) is used without."""
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
