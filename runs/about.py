"""Information on a run for results.json: the protocol, the suite, and its cell in a table.

The functions of the protocols pass it to train.py as one option, --about, in JSON. It changes no result and is not part
of a run's identity. Without it (a plain `python train.py`) only facts that follow from the other options are recorded.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

FIELDS = ("protocol", "suite", "variant", "cfg", "source")
# Keys of "cell": config name of the test dataset; training images per class (-1: every image, 0: no training); type and
# rate of label noise, attack and mode, as given to the protocol; the condition
# of a test on corrupted images or noisy text, such as fog-3; the run's folder, relative to that of its set of runs.
CELL = ("target", "shots", "noise_type", "noise_rate", "attack", "mode", "condition", "folder")
# Versions of the protocols: one is raised when the same command gives numbers that are not comparable with before.
VERSIONS = dict.fromkeys(
    ("base2new", "open_world", "cross_dataset", "few_shot", "noise", "noise_xd", "real_noise", "test_time", "online",
     "robust", "robust_base2new", "robust_cross_dataset", "corruption", "text_noise"), 1,
)  # fmt: skip
VARIANTS = "variants"  # folder of variants: the name of a folder in it is shown in all tables

_CROSS_DATASET = ("xd_train", "xd_test", "dg_test")


def protocol_of(script: str) -> str:
    """The protocol that a script belongs to: base2new for base2new_train and base2new_test."""
    if script in _CROSS_DATASET:
        return "cross_dataset"
    return script.removesuffix("_train").removesuffix("_test")


def option(script: str, suite: str, cfg: str, output: str, top: str, folder: Path, **more: object) -> list[str]:
    """The option --about and its value. output: the folder that holds the protocol's folders; top: the folder of the
    whole set of runs, or "" for the one above a folder `variants`. more: `source` and fields of `CELL`."""
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


def without_about(arguments: Sequence[str]) -> list[str]:
    """The arguments of train.py without the option of `option`."""
    at = [i for i, word in enumerate(arguments) if word == "--about"]
    return [word for i, word in enumerate(arguments) if i not in at and i - 1 not in at]


def read_option(text: str) -> dict[str, object]:
    """Parse the value of --about. Raises ArgumentTypeError for a value that `option` cannot have written."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not found.keys() <= {*FIELDS, *CELL}:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is no JSON object of {', '.join((*FIELDS, *CELL))}")
    return found


def about_run(args: argparse.Namespace) -> dict[str, object]:
    """`FIELDS` and "cell" for results.json; None for values that are not known."""
    told: dict[str, object] = getattr(args, "about", None) or {}
    dataset = Path(args.dataset_config_file).stem or None
    if not told:
        trains = not args.eval_only
        told = {"cfg": Path(args.config_file).stem or None, "source": dataset if trains else None, "target": dataset}
    fields = _recorded(told)
    cell = fields.pop("cell")
    return {**fields, "protocol_version": VERSIONS.get(str(told.get("protocol"))), "cell": cell}


def about_arguments(arguments: Sequence[str]) -> dict[str, object]:
    """`FIELDS` and "cell" that a run with these arguments, --about among them, writes into its results.json."""
    return _recorded(read_option(arguments[list(arguments).index("--about") + 1]))


def _recorded(told: dict[str, object]) -> dict[str, object]:
    return {
        **{key: told.get(key) for key in FIELDS},
        "cell": {key: told[key] for key in CELL if told.get(key) is not None},
    }
