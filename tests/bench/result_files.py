"""Writes results.json files as runs leave them, in the folders that the protocols name."""

from __future__ import annotations

import json
from pathlib import Path

from runs.protocols import PROTOCOLS, Settings

GIT = "0123456789abcdef0123456789abcdef01234567"


def folder_of(
    output: Path, protocol: str, method: str, dataset: str, seed: int, pairs: tuple = (), shots=16, **more
) -> Path:
    """Where train.py is told to write. A test of what is trained needs no trained model here."""
    settings = Settings(output=str(output), shots=shots, pairs=pairs, load_epoch="1", **more)
    arguments = PROTOCOLS[protocol](method, dataset, seed, settings)
    return Path(arguments[arguments.index("--output-dir") + 1])


def write_result(folder: Path, method: str, dataset: str, seed: int, accuracy: float | None, **more) -> Path:
    """An ordinary run's; more: what differs in the record. accuracy None: nothing was tested."""
    results = None if accuracy is None else {"accuracy": accuracy, "macro_f1": max(accuracy - 1, 0), "per_class": {}}
    record = {
        "version": 1, "trainer": method, "dataset": dataset, "seed": seed, "task": "B2N", "mode": "train",
        "subsample_classes": "all", "shots": 16, "backbone": {"name": "ViT-B/16", "path": "", "sha256": "ab"},
        "results": results, "noise": None, "adversarial": None, "settings_hash": "0123456789abcdef", "config": {},
        "device": "cpu", "git": GIT, "wall_seconds": 12.5, "peak_memory_bytes": 2**31 + 1,
        "finished": "2026-01-02T03:04:05+0000",
    }  # fmt: skip
    return _write(folder, record | more)


def write_attacked(folder: Path, method: str, dataset: str, seed: int, mode: str, **figures: float) -> Path:
    """An evaluation under attack; figures: clean, transfer, own, worst. The half of the classes is the folder's."""
    names = {"own": mode, "worst": "worst case"}
    record = {
        "version": 1, "kind": "evaluation under attack", "trainer": method, "dataset": dataset, "seed": seed,
        "mode": mode, "attack": "pgd-eps4-10", "git": GIT, "finished": "2026-01-02T03:04:05+0000",
        "settings_hash": "0123456789abcdef",
        "subsample_classes": next((half for half in ("base", "new") if half in folder.parts), "all"),
        "figures": {names.get(kind, kind): {"accuracy": value} for kind, value in figures.items()},
    }  # fmt: skip
    path = _write(folder, record)
    (folder / "config.yaml").write_text('# settings: {"MODEL.BACKBONE.NAME": "RN50"}\nMODEL: {}\n')
    return path


def _write(folder: Path, record: dict) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(record, indent=4))
    return folder / "results.json"
