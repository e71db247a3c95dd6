"""Reads the outputs of a test, written by a run or by hand; wrong files are an InputError (docs/outputs.md)."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dassl.metrics.calibration import brier, log_softmax, nll
from dassl.metrics.detection import logsumexp
from dassl.utils.errors import InputError

from .tables import read_table

DAMAGE = (OSError, ValueError, KeyError, EOFError, IndexError, NotImplementedError, zipfile.BadZipFile, zlib.error)
OWN = ("about", "classnames", "known", "path", "label")
WHOLE = ("prediction", "top5")
PER_IMAGE = ("confidence", "nll", "brier", "max_logit", "logsumexp")


@dataclass(frozen=True)
class Answer:
    """One answer of a method for N images: prediction [N] and, where the file has them or its logits give them,
    confidence, nll, brier, max_logit, logsumexp [N], and logits [N, C], up to a constant for each image."""

    prediction: np.ndarray
    confidence: np.ndarray | None = None
    nll: np.ndarray | None = None
    brier: np.ndarray | None = None
    max_logit: np.ndarray | None = None
    logsumexp: np.ndarray | None = None
    logits: np.ndarray | None = None


@dataclass(frozen=True)
class Outputs:
    """The outputs of a test on N images over C classes; an attribute is None where the file does not have it.

    file: its name, for messages. label [N]: -1 for an image of none of the classes. answer: the method's; others:
    further answers, by name. known [C]: whether the model was trained on a class. more: other columns [N]. about: facts
    on the run.
    """

    file: str
    label: np.ndarray
    answer: Answer
    others: dict[str, Answer] = field(default_factory=dict)
    path: list[str] | None = None
    classnames: list[str] | None = None
    known: np.ndarray | None = None
    more: dict[str, np.ndarray] = field(default_factory=dict)
    about: dict = field(default_factory=dict)


def read_outputs(file: str | Path) -> Outputs:
    """Read an .npz file of outputs, or a .csv one: a table with a row for each image, of today or older.

    Raises InputError for a file that is neither, is truncated, or contradicts itself: labels or predictions out of the
    range of the classes, columns of different lengths, an image twice, no finite number where there must be one.
    """
    name = os.fspath(file)
    try:
        arrays = read_table(name) if name.endswith(".csv") else _read_npz(name)
        return _outputs(name, arrays)
    except InputError as error:
        raise InputError(f"{name} cannot be scored: {error}") from error
    except DAMAGE as error:
        why = getattr(error, "strerror", None) or (f"it has no {error}" if isinstance(error, KeyError) else error)
        raise InputError(f"{name} is no whole file of outputs ({why}); write it again, see docs/outputs.md.") from error


def _read_npz(file: str) -> dict[str, np.ndarray]:
    stored = np.load(file, allow_pickle=False)
    if not hasattr(stored, "files"):
        raise ValueError("it holds one array, not several by name")
    with stored:
        return {name: stored[name] for name in stored.files}


def _outputs(file: str, arrays: Mapping[str, np.ndarray]) -> Outputs:
    label = _whole(arrays["label"], "label")
    names = [str(name) for name in arrays["classnames"]] if "classnames" in arrays else None
    about = json.loads(str(arrays["about"])) if "about" in arrays else {}
    columns: dict[str, dict[str, np.ndarray]] = {"": {}}
    more = {}
    for key, value in arrays.items():
        answer, _, column = key.rpartition(".")
        if key in OWN:
            continue
        if value.shape[:1] != label.shape:
            raise InputError(f"{key} has {len(np.atleast_1d(value))} rows, but label has {len(label)}.")
        if column in (*WHOLE, *PER_IMAGE, "logits", "relative_logits", "top5_logits"):
            columns.setdefault(answer, {})[column] = value
        else:
            more[key] = value
    if not len(label):
        raise InputError("it has no images.")
    answers = {name: _answer(found, label, names, name) for name, found in columns.items() if found or not name}
    path = [str(each) for each in arrays["path"]] if "path" in arrays else None
    if path is not None and (len(path) != len(label) or len(set(path)) != len(path)):
        what = "an image twice" if len(path) == len(label) else f"{len(path)} paths for {len(label)} labels"
        raise InputError(f"it has {what}; give each image once.")
    main = answers.pop("")
    _in_range(label, "label", _classes(main, names), -1)
    known = np.asarray(arrays["known"]).astype(bool) if "known" in arrays else None
    if known is not None and known.shape != (_classes(main, names) or -1,):
        raise InputError(f"known has shape {known.shape}, not one value for each class.")
    return Outputs(file, label, main, answers, path, names, known, more, about if isinstance(about, dict) else {})


def _classes(answer: Answer, names: list[str] | None) -> int | None:
    if names is not None and answer.logits is not None and answer.logits.shape[1] != len(names):
        raise InputError(f"logits have {answer.logits.shape[1]} columns, but there are {len(names)} class names.")
    return len(names) if names is not None else None if answer.logits is None else answer.logits.shape[1]


def _answer(found: Mapping[str, np.ndarray], label: np.ndarray, names: list[str] | None, name: str) -> Answer:
    """The answer in these columns; columns that the file lacks are computed from the logits, if it has them."""
    where = f"{name}." if name else ""
    values: dict[str, np.ndarray] = {}
    for column in PER_IMAGE:
        if column in found:
            values[column] = np.asarray(found[column], float)
            needed = label >= 0 if column in ("nll", "brier") else np.full(len(label), True)
            if values[column].ndim != 1 or not np.isfinite(values[column][needed]).all():
                raise InputError(f"{where}{column} is not a list of finite numbers.")
    logits = found.get("relative_logits", found.get("logits"))
    if logits is not None:
        logits = np.asarray(logits, np.float32)
        if logits.ndim != 2 or not logits.shape[1] or np.isnan(logits).any() or not np.isfinite(logits.max(1)).all():
            raise InputError(f"{where}logits are not a table [images, classes] of numbers.")
    if "prediction" in found:
        prediction = _whole(found["prediction"], where + "prediction")
    elif logits is not None:
        prediction = logits.argmax(1)
    else:
        raise InputError(f"it has neither {where}prediction nor {where}logits.")
    answer = Answer(prediction, logits=logits)
    classes = _classes(answer, names)
    _in_range(prediction, where + "prediction", classes, 0)
    if logits is not None:
        if (logits[np.arange(len(label)), prediction] < logits.max(1) - 1e-3).any():
            raise InputError(f"{where}prediction is not the class of the largest of {where}logits.")
        _in_range(label, "label", logits.shape[1], -1)
        values = of_logits(logits, prediction, label, "logits" in found) | values
    if "confidence" in values and not ((values["confidence"] >= 0) & (values["confidence"] <= 1 + 1e-6)).all():
        raise InputError(f"{where}confidence is a probability, from 0 to 1.")
    return Answer(prediction, logits=logits, **values)


def of_logits(
    logits: np.ndarray, prediction: np.ndarray, label: np.ndarray, absolute: bool = False
) -> dict[str, np.ndarray]:
    """The columns of an answer that follow from its logits [N, C]. absolute: the logits are the model's own, not
    relative to the largest, so max_logit and logsumexp are among the columns."""
    p = np.exp(log_softmax(logits))
    inside, known = np.maximum(label, 0), label >= 0
    found = {
        "confidence": p[np.arange(len(label)), prediction],
        "nll": np.where(known, nll(logits, inside), np.nan),
        "brier": np.where(known, brier(p, inside), np.nan),
    }
    return found | ({"max_logit": logits.max(1).astype(float), "logsumexp": logsumexp(logits)} if absolute else {})


def _whole(values: np.ndarray, name: str) -> np.ndarray:
    found = np.asarray(values)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise InputError(f"{name} is not a list of whole numbers.")
    return found.astype(np.int64)


def _in_range(values: np.ndarray, name: str, classes: int | None, least: int) -> None:
    wrong = (values < least) | (values >= (classes if classes is not None else np.iinfo(np.int64).max))
    if wrong.any():
        row = int(np.argmax(wrong))
        among = f"the {classes} classes 0 to {classes - 1}" if classes is not None else f"the classes, from {least} on"
        raise InputError(f"{name} of image {row} is {values[row]}, which is none of {among}.")
