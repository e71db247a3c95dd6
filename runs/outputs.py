"""Saves the model's outputs for each image of a run's last test: a file beside results.json, its hash and figures."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from yacs.config import CfgNode

from dassl.outputs.kept import FORMS, KeptOutputs, write_outputs
from dassl.outputs.reading import read_outputs
from dassl.outputs.scores import all_scores
from dassl.utils import InputError
from datasets.reading.paths import image_folder, relative_paths
from datasets.reading.splits import base_labels
from trainers.shared.coinciding import fixed_class_features

if TYPE_CHECKING:
    from dassl.data.datasets import DatasetBase
    from dassl.protocols import Trainer
    from trainers.shared.method import Method

logger = logging.getLogger(__name__)


def file_name(split: str) -> str:
    """The name of the file in the run's folder: outputs.npz, or another one for validation images."""
    return "outputs_val.npz" if split == "val" else "outputs.npz"


def keep_outputs(folder: Path, cfg: CfgNode, trainer: Trainer) -> dict:
    """Writes the outputs of the last test, and returns entries for results.json: `outputs` (file, sha256, form),
    `scores`, and `other_scores` for a method with several answers.

    Writes nothing with TEST.OUTPUTS none, or if the run tested nothing. Outputs that cannot be scored (some plugins')
    are left out with a warning, since the run's trained model must not be lost.
    """
    kept = getattr(trainer.evaluator, "outputs", None)
    arrays = kept.arrays() if isinstance(kept, KeptOutputs) else {}
    if kept is None or not arrays:
        return {}
    split, data = cfg.TEST.SPLIT, trainer.dm.dataset
    items = (data.val if split == "val" else data.test) or []
    in_order = np.array_equal(arrays["label"], [item.label for item in items])
    paths = relative_paths(items, image_folder(data, items)) if in_order else None
    about = {
        "trainer": cfg.TRAINER.NAME, "dataset": cfg.DATASET.NAME, "seed": cfg.SEED, "split": split,
        "subsample_classes": cfg.DATASET.SUBSAMPLE_CLASSES, "form": kept.form, "answer": _answer_name(trainer),
    }  # fmt: skip
    file = folder / file_name(split)
    known = known_classes(cfg, data)
    about |= {} if known is None else {"open_world": cfg.TEST.OPEN_WORLD}
    ours = kept.form == "logits" and hasattr(trainer, "class_features")
    of_classes = fixed_class_features(cast("Method", trainer)) if ours else {}
    digest = write_outputs(file, arrays, data.classnames, paths, about, known, of_classes)
    try:
        found = dict(all_scores(read_outputs(file)))
    except InputError as error:
        logger.warning("Warning: the outputs of the test are not saved: %s", error)
        os.unlink(file)
        return {}
    logger.info("Outputs of %d images (%s) are saved in %s", len(arrays["label"]), kept.form, file)
    own = found.pop("", None)
    record: dict = {"outputs": {"file": file.name, "sha256": digest, "form": kept.form}, "scores": own}
    return record | ({"other_scores": found} if found else {})


def known_classes(cfg: CfgNode, data: DatasetBase) -> list[bool] | None:
    """Whether each class is a base class, in a test over base and new classes; else None."""
    if not cfg.TEST.OPEN_WORLD:
        return None
    base = set(base_labels(data.train_x))
    return [label in base for label in range(len(data.classnames))]


def _answer_name(trainer: Trainer) -> str | None:
    """The method's name for its answer if it has several; else None."""
    name = getattr(trainer, "answer_name", None)
    return name if isinstance(name, str) and name != "logits" else None


def fewer_kept(record: Mapping, asked: str) -> str:
    """A sentence if a finished run saved less of its outputs than TEST.OUTPUTS asks for; "" if not."""
    there = (record.get("outputs") or {}).get("form", "none")
    if FORMS.index(asked) <= FORMS.index(there if there in FORMS else "none"):
        return ""
    return (
        f"it kept {'none' if there == 'none' else there} of its outputs, not TEST.OUTPUTS {asked}: for these test the "
        "trained model once more, with --eval-only and another --output-dir"
    )
