"""Finds images that are in two lists, also under two paths: links to files and folders lead to the same file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence


def file_id(path: str) -> tuple[int, int] | str:
    """The identity of a file: (device, inode), the same for symbolic and hard links to it. The normalised path where
    there is no file, or no inode. Copies are other files. Costs one `stat`."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return os.path.normpath(path)
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.normpath(path)


def shared_files(a: Sequence[str], b: Iterable[str]) -> list[tuple[str, str]]:
    """[(path in a, path in b)] of the files that are in both lists, in the order of `a`."""
    there: dict[object, str] = {}
    for path in b:
        there.setdefault(file_id(path), path)
    found = ((path, there.get(file_id(path))) for path in a)
    return [(path, other) for path, other in found if other is not None]


def also(path: str, other: str) -> str:
    """`path` for a message, followed by `other` if that is another path to the same file."""
    return path if os.path.normpath(path) == os.path.normpath(other) else f"{path} (the same file as {other})"


def copies(a: Sequence[str], b: Sequence[str], most_bytes: int = 2**26) -> list[tuple[str, str]]:
    """[(path in a, path in b)] of the files in `a` that have the same bytes as one in `b`.

    Only files of equal size are read. If these have more than `most_bytes` together, none is, and the result is empty.
    """
    sizes_a, sizes_b = ({path: _size(path) for path in paths} for paths in (a, b))
    both = {*sizes_a.values()} & {*sizes_b.values()} - {None}
    read = {path: size for path, size in (sizes_a | sizes_b).items() if size is not None and size in both}
    if sum(read.values()) > most_bytes:
        return []
    content = {path: _digest(path) for path in read}
    there = {content[path]: path for path in reversed(b) if content.get(path)}
    return [(path, there[content[path]]) for path in a if content.get(path) in there]


def _size(path: str) -> int | None:
    try:
        return os.path.getsize(path)
    except (OSError, ValueError):
        return None


def _digest(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).digest()
    except OSError:
        return b""
