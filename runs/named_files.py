"""The files that settings name: weights, lists of names, sentences, trained runs to start from.

Settings identify a run by names. What lay there is remembered in results.json, so that a finished run whose files have
another content now is told from a repetition. Images and their lists are compared by `same_data`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from clipkit.files import sha256
from dassl.utils import InputError
from dassl.utils.checkpoint import last_checkpoint_name

ELSEWHERE = ("DATASET.", "TEST.", "ATTACK.", "INPUT.", "OPTIM.")  # data, compared by its images; words


def named_files(settings: Mapping[str, object]) -> dict[str, str]:
    """{key: hash (16 hex digits) of the file that its value names, or of the last checkpoint of the run's folder}."""
    found = {}
    for key, value in settings.items():
        if isinstance(value, str) and value and "." in key and not key.startswith(ELSEWHERE):
            digest = hashlib.sha256()
            files = list(_files(Path(value).expanduser()))
            for file in files:
                digest.update(sha256(file).encode())
            if files:
                found[key] = digest.hexdigest()[:16]
    return found


def check_same_files(results: Path, record: Mapping, settings: Mapping[str, object]) -> None:
    """Raises InputError if a file that the finished run's settings name has another content now. Files that are missing
    now are not compared."""
    then = record.get("files") or {}
    now = named_files({key: settings[key] for key in then if key in settings})
    for key, value in now.items():
        if value != then[key]:
            raise InputError(
                f"{results.parent} holds a finished run with another content of {settings[key]} ({key}) than is there "
                "now; remove the folder to run it again, or give another --output-dir."
            )


def _files(path: Path) -> Iterator[Path]:
    if os.path.isfile(path):
        yield path
    elif os.path.isdir(path):
        for mark in sorted([*path.glob("checkpoint"), *path.glob("*/checkpoint")]):
            with suppress(InputError):  # a folder without the checkpoint that it names is no run's
                yield mark.parent / last_checkpoint_name(str(mark.parent))
