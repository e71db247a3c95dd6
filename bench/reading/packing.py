"""Packs the results of runs and their curves over epochs, without models, outputs and logs, into one archive.

The same results give the same bytes: files are in the order of their names and have neither time nor owner.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dassl.utils import InputError, atomic_path

from .files import DAMAGE, check_record, damaged, find, no_results, read_json

CHECKOUT = f"{Path(__file__).resolve().parent.parent.parent}{os.sep}"


def pack(output: Path, file: Path, broken: list[str]) -> tuple[int, int]:
    """Write the results under a folder to `file`, atomically, by the names that they have from the present folder.

    Sentences on files that are no run's results are appended to `broken`, and these files left out. Returns (results
    that were packed, those of them that name absolute folders).

    Raises InputError if there are no results, or if the file cannot be written.
    """
    if not os.path.isdir(output):
        raise InputError(f"There is no folder {output}; give the output folder of the runs.")
    root = output if not output.is_absolute() and ".." not in output.parts else Path(output.resolve().name)
    packed = elsewhere = 0
    contents = dict(_suite(output))
    for below, found in find(output):
        try:
            record = check_record(read_json(found))
        except DAMAGE as error:
            broken.append(str(damaged(found, error)))
            continue
        contents[f"{below}/results.json"] = _portable(record)
        contents |= _beside(Path(found).parent, below)
        packed += 1
        elsewhere += _is_of_this_machine(record)
    if not packed:
        raise no_results(output, *broken)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as temporary, tarfile.open(temporary, "w:xz", preset=9) as archive:
            for name in sorted(contents):
                about = tarfile.TarInfo((root / name).as_posix())
                about.size, about.mode = len(contents[name]), 0o644
                archive.addfile(about, io.BytesIO(contents[name]))
    except OSError as error:
        raise InputError(f"{file} cannot be written ({error.strerror}); name another file.") from error
    return packed, elsewhere


def _suite(output: Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the suites and choices, and of what they keep on their runs: times, costly figures."""
    for file in sorted(output.glob("*.yaml")):
        if file.name != "config.yaml":  # of a run, packed with it
            yield file.name, file.read_bytes()
    for file in sorted((output / ".bench").glob("*.json")):
        if not file.name.endswith(".failed.json"):
            yield f".bench/{file.name}", file.read_bytes()


def _portable(record: dict) -> bytes:
    """The text of a results.json in which files of the checkout are named from it, and other files in the command that
    was given, the program's own among them, by their names alone."""
    command = record.get("command")
    if isinstance(command, list):
        own = [str(word) for word in command]
        record = record | {"command": [Path(word).name if os.path.isabs(word) else word for word in own]}
    return (json.dumps(_from_checkout(record), indent=4) + "\n").encode()


def _from_checkout(value: object) -> object:
    if isinstance(value, dict):
        return {key: _from_checkout(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_from_checkout(each) for each in value]
    return value.removeprefix(CHECKOUT) if isinstance(value, str) else value


def _beside(folder: Path, below: str) -> dict[str, bytes]:
    """The first line of a run's config.yaml, which has all its settings, and its curves over the epochs."""
    found = {}
    with suppress(OSError), (folder / "config.yaml").open("rb") as stream:
        found[f"{below}/config.yaml"] = stream.readline()
    with suppress(OSError):
        found[f"{below}/curves.json"] = (folder / "curves.json").read_bytes()
    return found


def _is_of_this_machine(record: dict) -> bool:
    config = record.get("config")
    config = config if isinstance(config, dict) else {}
    data = config.get("DATASET")
    named = [record.get("model_dir"), config.get("OUTPUT_DIR"), data.get("ROOT") if isinstance(data, dict) else ""]
    return any(os.path.isabs(str(each or "").removeprefix(CHECKOUT)) for each in named)
