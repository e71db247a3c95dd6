"""Finding results.json files, and reading of them what tables need."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from dassl.utils import InputError

# What a table never needs, and nine tenths of a file of many classes: (where it starts, where it ends). JSON has no
# line breaks within strings, so that in files as `write_json` indents them these are found exactly.
BULK = (
    (b'\n        "per_class": {\n', b"\n        }"),
    (b'\n    "classnames": [\n', b"\n    ]"),
    (b'\n    "config": {\n', b"\n    }"),
)


def read_record(file: str | Path) -> dict:
    """A results.json without per-class results, class names and config; these are empty. In a file that is indented
    otherwise they may be there. Raises OSError, and ValueError for what is no JSON."""
    text = Path(file).read_bytes()
    for start, end in BULK:
        first = text.find(start)
        last = text.find(end, first + len(start)) if first >= 0 else -1
        if last >= 0:
            text = text[: first + len(start)] + text[last:]
    return json.loads(text)


def find(folder: Path) -> Iterator[tuple[str, str]]:
    """(folder of the run, seen from `folder`; path of its results.json), in order of names.

    Hidden folders are passed over, and so is what lies below a seed's folder that has its results. A link to a folder
    above it is not followed. Raises InputError for a folder that cannot be listed.
    """
    waiting = [""]
    while waiting:
        below = waiting.pop()
        here = os.path.join(folder, below) if below else os.fspath(folder)
        listed = _listed(here)
        done = any(e.name == "results.json" and e.is_file() for e in listed)
        if done:
            yield below, os.path.join(here, "results.json")
        if not (done and os.path.basename(here).startswith("seed")):
            waiting += [f"{below}/{e.name}" if below else e.name for e in reversed(listed) if _is_wanted(e)]


def _listed(folder: str) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda e: e.name)
    except FileNotFoundError:
        return []  # removed while we were looking
    except OSError as error:
        raise InputError(f"{folder} cannot be listed ({error.strerror}); make it readable, or move it away.") from error


def _is_wanted(entry: os.DirEntry) -> bool:
    if entry.name.startswith(".") or not entry.is_dir():
        return False
    if not entry.is_symlink():
        return True
    target = os.path.realpath(entry.path)
    return os.path.commonpath([target, os.path.realpath(os.path.dirname(entry.path))]) != target
