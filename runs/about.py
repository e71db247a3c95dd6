"""What a command knows of its run, for results.json: the protocol, the suite, and the cell of a table that it fills.

The functions of the protocols write it as one option of train.py, --about, as JSON. It changes no number and is no part
of what identifies a run. A plain `python train.py` does without it, and records what its other options say.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

FIELDS = ("protocol", "suite", "variant", "cfg", "source")
# Of "cell": config name of what is tested on; training images a class of what is tested (-1: every image, 0: nothing is
# trained); noise of its labels and attack, as the protocol was asked for; the run's folder, below that of its set.
CELL = ("target", "shots", "noise_type", "noise_rate", "attack", "mode", "folder")
VARIANTS = "variants"  # a folder below it has a name of its own in all tables

_CROSS_DATASET = ("xd_train", "xd_test", "dg_test")


def protocol_of(script: str) -> str:
    """The protocol that a script is one half of: base2new of base2new_train and base2new_test."""
    if script in _CROSS_DATASET:
        return "cross_dataset"
    return script.removesuffix("_train").removesuffix("_test")


def option(script: str, suite: str, cfg: str, output: str, top: str, folder: Path, **more: object) -> list[str]:
    """--about and its value. output: the folder that the protocol's own folders begin in; top: that of the whole set of
    runs, "" for what stands above a folder `variants`. more: `source` and fields of `CELL`."""
    parts = Path(output).parts
    top = top or str(Path(*parts[: parts.index(VARIANTS)] if VARIANTS in parts else parts))
    below = Path(os.path.relpath(output, top)).parts
    found = {
        "protocol": protocol_of(script) or None,
        "suite": suite or None,
        "variant": "/".join(part for part in below if part != VARIANTS),
        "cfg": cfg,
        **more,
        "folder": Path(os.path.relpath(folder, top)).as_posix(),
    }
    return ["--about", json.dumps({key: value for key, value in found.items() if value is not None})]


def read_option(text: str) -> dict[str, object]:
    """The value of --about. Raises ArgumentTypeError for what `option` does not write."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not found.keys() <= {*FIELDS, *CELL}:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is no JSON object of {', '.join((*FIELDS, *CELL))}")
    return found


def about_run(args: argparse.Namespace) -> dict[str, object]:
    """`FIELDS` and "cell", for results.json; None is what nobody said."""
    told: dict[str, object] = getattr(args, "about", None) or {}
    dataset = Path(args.dataset_config_file).stem or None
    if not told:
        trains = not args.eval_only
        told = {"cfg": Path(args.config_file).stem or None, "source": dataset if trains else None, "target": dataset}
    return {
        **{key: told.get(key) for key in FIELDS},
        "cell": {key: told[key] for key in CELL if told.get(key) is not None},
    }
