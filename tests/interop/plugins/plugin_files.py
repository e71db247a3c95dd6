"""The checkouts of these tests: whose file each trainer is, and images for their datasets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from helpers import Tiny as TinySet  # noqa: F401  registers the dataset
from helpers import arguments
from PIL import Image

HERE = Path(__file__).parent
COOP, MAPLE = HERE / "coop_fork", HERE / "maple_fork"
TRAINERS = {
    "FieldCoOp": "a plain prompt learner",
    "FieldMaPLe": "the whole model is registered, an edited clip/ beside it",
    "FieldScaler": "a training step of its own",
    "FieldSelfTest": "a test of its own",
    "FieldData": "a DataManager and an evaluator of its own",
    "FieldTwoOptims": "two optimizers",
    "FieldHooks": "hooks, written out in full",
    "FieldChild": "derives from another plugin's",
}
FILES = {
    "FieldCoOp": "field_coop", "FieldScaler": "field_scaler", "FieldSelfTest": "field_selftest",
    "FieldData": "field_data", "FieldTwoOptims": "field_two_optims", "FieldHooks": "field_hooks",
    "FieldChild": "field_child",
}  # fmt: skip


META = MAPLE / "trainers" / "field_meta.py"  # takes second derivatives


def trainer_file(name: str) -> Path:
    return MAPLE / "trainers" / "field_maple.py" if name == "FieldMaPLe" else COOP / "trainers" / f"{FILES[name]}.py"


def cfg_file(name: str) -> Path:
    return MAPLE / "settings.yaml" if name == "FieldMaPLe" else COOP / "train.py"


def flags(name: str) -> tuple:
    return "--plugin", trainer_file(name), "--plugin-cfg", cfg_file(name)


def plugin_arguments(tiny, output: Path, name: str, more: tuple = (), pairs: dict | None = None) -> list[str]:
    """train.py's, for a short run on the tiny dataset."""
    return arguments(tiny.root, tiny.backbone, output, name, (*flags(name), *more), pairs)


def record(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def write_pets(root: Path) -> None:
    """field_pets/images/{trainval,test}/<label>-<breed>-<i>.png: four breeds of six and three images."""
    rng = np.random.default_rng(1)
    for part, count in (("trainval", 6), ("test", 3)):
        folder = root / "field_pets" / "images" / part
        folder.mkdir(parents=True)
        for label, breed in enumerate(("grey_cat", "old_dog", "young_dog", "red_cat")):
            for i in range(count):
                pixels = rng.integers(0, 120, (18, 18, 3)) + 30 * label
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{label}-{breed}-{i}.png")
