"""Reads a run's environment, files and failed checks from its folder; its numbers come from `collect`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.reading.files import read_json

FILES = {"log": "log.txt", "config": "config.yaml", "results": "results.json"}


@dataclass(frozen=True)
class Environment:
    """The environment of a run. versions: (package, version) pairs."""

    device: str
    precision: str
    backbone: str
    weights: str  # the first digits of their hash
    versions: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Facts:
    """Facts on a run. files: {kind: name} of existing files. failed: codes of the checks that an evaluation failed."""

    environment: Environment
    files: dict[str, str]
    failed: tuple[str, ...]


def read_facts(folder: Path, backbone: str) -> Facts:
    """Read the facts on a finished run. backbone: its name, which evaluations under attack do not record.

    Facts that are not recorded are empty.
    """
    try:
        record = read_json(folder / "results.json")
    except (OSError, ValueError):
        record = {}
    record = record if isinstance(record, dict) else {}
    recorded = _table(record.get("backbone"))
    environment = Environment(
        str(record.get("device") or ""),
        str(record.get("precision") or ""),
        str(recorded.get("name") or backbone),
        str(recorded.get("sha256") or "")[:12],
        tuple((str(k), str(v)) for k, v in _table(record.get("versions")).items()),
    )
    files = {what: name for what, name in FILES.items() if (folder / name).is_file()}
    return Facts(environment, files, tuple(map(str, _list(record.get("failed_checks")))))


def _list(value: object) -> list:
    return value if isinstance(value, list) else []


def _table(value: object) -> dict:
    return value if isinstance(value, dict) else {}
