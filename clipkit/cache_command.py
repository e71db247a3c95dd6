"""`python -m clipkit cache`: shows, checks or removes the cached features."""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from pathlib import Path

import safetensors
from tabulate import tabulate

from .appended_file import MAGIC, load, whole_records
from .cache_room import VARIABLE, cached_files, limit
from .errors import InputError
from .feature_bank import FeatureBank, read_whole

OTHER = "other features"


def cache_command(action: str) -> str:
    """The text to print. action: show, verify or clear. Raises InputError if `verify` finds a damaged file."""
    root = FeatureBank().root
    files = [(path, size) for _, size, path in cached_files(root)]
    if not files:
        return f"{root} holds no cached features"
    if action == "clear":
        return _clear(root, files)
    return _verify(files) if action == "verify" else _show(root, files)


def _show(root: Path, files: list[tuple[Path, int]]) -> str:
    """A table of the files by what they hold."""
    kinds: dict[str, list[int]] = defaultdict(list)
    for path, size in files:
        kinds[_kind(path)].append(size)
    rows = [(kind, len(sizes), _megabytes(sum(sizes))) for kind, sizes in sorted(kinds.items())]
    total = _megabytes(sum(size for _, size in files))
    table = tabulate([*rows, ("together", len(files), total)], ["what", "files", "MB"], disable_numparse=True)
    return f"{root}\n{table}\n{VARIABLE} allows {_megabytes(limit())} MB"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}"


def _kind(path: Path) -> str:
    if path.suffix == ".images":
        return "hashes of images"
    try:
        return str(json.loads(_key(path)).get("kind", OTHER))
    except (OSError, ValueError, TypeError, AttributeError, safetensors.SafetensorError):
        return "damaged"


def _key(path: Path) -> str:
    if path.suffix == ".safetensors":
        with safetensors.safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("key", "")
    with open(path, "rb") as file:
        line = file.readline(1 << 16)
    if not line.startswith(MAGIC):
        raise ValueError("no file of features")
    return line[len(MAGIC) :].decode()


def _verify(files: list[tuple[Path, int]]) -> str:
    """Reads every file; raises InputError that names those with a wrong checksum or structure."""
    damaged = [path for path, _ in files if not _whole(path)]
    if damaged:
        names = "\n".join(map(str, damaged))
        raise InputError(
            f"{len(damaged)} of {len(files)} files are damaged; runs compute their features anew. "
            f"Remove them to end this message:\n{names}"
        )
    return f"{len(files)} files are whole"


def _whole(path: Path) -> bool:
    try:
        if path.suffix == ".images":
            return len(path.read_text(encoding="ascii")) == 64
        json.loads(_key(path))
        if path.suffix == ".safetensors":
            return bool(read_whole(path))
        with open(path, "rb") as file:
            size = path.stat().st_size
            file.readline()
            found = list(whole_records(file, size))
            return file.tell() == size and all(load(file, record) for _, record in found)
    except (OSError, ValueError, safetensors.SafetensorError):
        return False


def _clear(root: Path, files: list[tuple[Path, int]]) -> str:
    """Removes the files. Lock files stay: another process may hold one, and a second one could then enter."""
    removed = 0
    for path, size in files:
        with contextlib.suppress(OSError):
            path.unlink()
            removed += size
    return f"{root}: {len(files)} files removed, {_megabytes(removed)} MB"
