"""Finds results.json files and reads what tables need. A damaged file is reported in one sentence."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from dassl.utils import InputError, atomic_path
from dassl.utils.errors import unreadable

# (start, end) of the parts that no table needs, nine tenths of a file with many classes. JSON has no line breaks within
# strings, so these are found exactly in files that are indented as by `write_json`.
BULK = (
    (b'\n        "per_class": {\n', b"\n        }"),
    (b'\n    "classnames": [\n', b"\n    ]"),
    (b'\n    "config": {\n', b"\n    }"),
)


def read_record(file: str | Path, seed: int | None = None) -> dict:
    """Read a results.json, without per-class results, class names and config (unless its indentation is unusual).

    seed: the one in the folder's name, if any. Raises OSError, and ValueError for a file that is no run's.
    """
    return open_record(file, seed)[0]


def open_record(file: str | Path, seed: int | None = None) -> tuple[dict, bytes]:
    """(the record as from `read_record`, the text of its config, empty in a file with other indentation).

    Raises as `read_record`.
    """
    text, config = Path(file).read_bytes(), b""
    for start, end in BULK:
        first = text.find(start)
        last = text.find(end, first + len(start)) if first >= 0 else -1
        if last >= 0:
            config = text[first + len(start) - 1 : last]  # the last of BULK is the config
            text = text[: first + len(start)] + text[last:]
        else:
            config = b""
    record = check_record(parse(text))
    check_seed(record, seed)
    return record, config


def check_seed(record: Mapping, seed: int | None) -> None:
    """Raises ValueError if the record's seed is not that of its folder's name (None: the name has none)."""
    if seed is not None and record.get("seed", seed) != seed:
        raise ValueError(f"its seed is {record['seed']}, but its folder is of seed {seed}: a copy?")


def read_json(file: str | Path) -> object:
    """The content of a JSON file. Raises OSError, and ValueError for anything that is not JSON."""
    return parse(Path(file).read_bytes())


def parse(text: bytes) -> object:
    """The value of a JSON text. Raises ValueError for anything that is not JSON."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def check_record(record: object) -> dict:
    """The record itself, if it is one of a run of train.py or of an evaluation under attack. Raises ValueError if it is
    none, or a value has the wrong type."""
    if not isinstance(record, dict):
        raise ValueError(f"it holds {'null' if record is None else type(record).__name__}, not the record of a run")
    for key in ("trainer", "dataset"):
        if key in record and not (isinstance(record[key], str) and record[key]):
            raise ValueError(f"{key} is {short(record[key])}")
    whole(record, "seed", needed=False)
    for key in ("results", "figures", "noise", "backbone"):
        if not isinstance(record.get(key) or {}, dict):
            raise ValueError(f"{key} is {short(record[key])}")
    return record


def percent(values: dict, key: str, needed: bool = True) -> float:
    """An accuracy in percent; NaN if it is missing and not `needed`. Raises ValueError if it is no percentage, and
    KeyError if it is missing and `needed`."""
    value = number(values, key, needed)
    if not (0 <= value <= 100 or math.isnan(value)):
        raise ValueError(f"{key} is {value}, not a percentage")
    return value


def number(values: dict, key: str, needed: bool = False, least: float = -math.inf, most: float = math.inf) -> float:
    """A number; NaN if it is missing and not `needed`. Raises ValueError if it is no finite number from `least` to
    `most`, and KeyError."""
    value = values[key] if needed else values.get(key)
    if value is None and not needed:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
        raise ValueError(f"{key} is {short(value)}")
    if not least <= value <= most:
        far = "on" if math.isinf(most) else f"to {most:g}"
        raise ValueError(f"{key} is {value}, not from {least:g} {far}")
    return float(value)


def whole(values: dict, key: str, needed: bool = True, least: int = -(2**63)) -> int | None:
    """A whole number of at most 64 bits, from `least` on; None if it is missing and not `needed`. Raises ValueError,
    and KeyError."""
    value = values[key] if needed else values.get(key)
    if value is None and not needed:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
        raise ValueError(f"{key} is {short(value)}")
    return value


def flag(values: dict, key: str) -> bool | None:
    """True or False; None if it is missing. Raises ValueError for anything else."""
    value = values.get(key)
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"{key} is {short(value)}")
    return value


def short(value: object) -> str:
    """A value as text for a sentence, at most about 40 characters."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def no_results(folder: Path, *told: str, what: str = "results") -> InputError:
    """The InputError of a command that finds nothing to show. told: sentences on what was left out."""
    return InputError(" ".join([*told, f"There are no {what} under {folder}; run something first."]))


def damaged(file: str | Path, error: Exception) -> InputError:
    """The InputError for a results.json that could not be read, or whose record has a wrong value."""
    if reason := unreadable(error):
        return InputError(f"{file} cannot be read ({reason}); make it readable, or move it away.")
    why = str(error) or type(error).__name__
    why = f"it has no {why}" if isinstance(error, KeyError) else why
    return InputError(f"{file} is not a run's results.json ({why}); remove it, or repeat the run.")


# The errors that reading a damaged record, or a value in it, can raise.
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError)


def find(folder: Path) -> Iterator[tuple[str, str]]:
    """(folder of the run relative to `folder`, path of its results.json), in order of names.

    Hidden folders are skipped, and so is everything below a seed's folder that has results. A link to a folder above it
    is not followed. Raises InputError for a folder that cannot be listed.
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
        return []  # removed in the meantime
    except OSError as error:
        raise InputError(f"{folder} cannot be listed ({error.strerror}); make it readable, or move it away.") from error


def _is_wanted(entry: os.DirEntry) -> bool:
    if entry.name.startswith(".") or not entry.is_dir():
        return False
    if not entry.is_symlink():
        return True
    target = os.path.realpath(entry.path)
    return os.path.commonpath([target, os.path.realpath(os.path.dirname(entry.path))]) != target


def write_all(files: Mapping[Path, Callable[[str], object]]) -> None:
    """Write all of these files, or none: {file: what writes it to the name that it is given}. Makes the folders above
    them. Raises InputError if one cannot be written."""
    file = Path()
    try:
        with ExitStack() as stack:
            for file, write in files.items():
                file.parent.mkdir(parents=True, exist_ok=True)
                write(stack.enter_context(atomic_path(file)))
    except OSError as error:
        raise InputError(f"{file} cannot be written ({error.strerror or error}); name another file.") from error


def write_text(file: Path, text: str) -> None:
    """Write a file atomically, and make the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
