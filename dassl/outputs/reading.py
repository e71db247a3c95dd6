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
from dassl.utils.errors import InputError, unreadable

from .tables import TABLES, read_table

# What numpy and zipfile raise for files that are damaged, encrypted, or claim to be larger than any memory.
DAMAGE = (
    OSError, ValueError, KeyError, EOFError, IndexError, RuntimeError, TypeError, MemoryError, OverflowError,
    SyntaxError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
OF_CLASSES = ("class_features", "zero_shot_features")
OWN = ("about", "classnames", "known", "path", "label", *OF_CLASSES)
WHOLE = ("prediction", "top5")
RANGES = {
    "confidence": (0, 1), "nll": (0, np.inf), "brier": (0, 2),
    "max_logit": (-np.inf, np.inf), "logsumexp": (-np.inf, np.inf),
}  # fmt: skip
PER_IMAGE = tuple(RANGES)


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
    further answers, by name. known [C]: whether the model was trained on a class. class_features, zero_shot_features
    [C, d]: the normalised text features that images were compared with, and those of CLIP without training. more: other
    columns [N]. about: facts on the run.
    """

    file: str
    label: np.ndarray
    answer: Answer
    others: dict[str, Answer] = field(default_factory=dict)
    path: list[str] | None = None
    classnames: list[str] | None = None
    known: np.ndarray | None = None
    class_features: np.ndarray | None = None
    zero_shot_features: np.ndarray | None = None
    more: dict[str, np.ndarray] = field(default_factory=dict)
    about: dict = field(default_factory=dict)

    def same_name(self) -> str:
        """A sentence if two classes have one name (as two of ImageNet do in CLIP's list), which is rarely meant."""
        first: dict[str, int] = {}
        for label, name in enumerate(self.classnames or []):
            if name in first:
                return f"the classes {first[name]} and {label} have one name, {name!r}; they count as two classes."
            first[name] = label
        return ""


def read_outputs(file: str | Path) -> Outputs:
    """Read an .npz file of outputs, or a table with a row for each image, .csv or .parquet, of today or older.

    Raises InputError for a file that is neither, cannot be read, is truncated, or contradicts itself: labels or
    predictions out of the range of the classes, columns of different lengths, an image or a column twice, no finite
    number where there must be one, probabilities in the place of logits.
    """
    name = os.fspath(file)
    if not name.endswith((".npz", *TABLES)):
        raise InputError(f"{name} cannot be scored: files of outputs end in .npz, .csv or .parquet (docs/outputs.md).")
    try:
        arrays = read_table(name) if name.endswith(TABLES) else _read_npz(name)
    except InputError as error:
        raise InputError(f"{name} cannot be scored: {error}") from error
    except DAMAGE as error:
        if why := unreadable(error):
            what = "make it readable, or give another file" if os.path.lexists(file) else "give another file"
            raise InputError(f"{name} cannot be read ({why}); {what}.") from error
        why = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"{name} is no whole file of outputs ({why}); write it again, see docs/outputs.md.") from error
    try:
        return _outputs(name, arrays)
    except InputError as error:
        raise InputError(f"{name} cannot be scored: {error}") from error


def _read_npz(file: str) -> dict[str, np.ndarray]:
    with open(file, "rb") as stream:
        if not zipfile.is_zipfile(stream):
            raise ValueError("it is no .npz archive, or its end is missing")
    with np.load(file, allow_pickle=False) as stored:
        found: dict[str, np.ndarray] = {}
        for name in stored.files:
            array = stored[name]
            if not isinstance(array, np.ndarray):
                raise InputError(f"it holds {name}, which is no array; leave it out.")
            if name in found:
                raise InputError(f"it has two arrays {name!r}; leave one out.")
            found[name] = array
        return found


def _outputs(file: str, arrays: Mapping[str, np.ndarray]) -> Outputs:
    if "label" not in arrays:
        raise InputError(f"it has no label, only {', '.join(sorted(arrays)) or 'nothing'}.")
    label = _whole(arrays["label"], "label")
    names = _texts(arrays["classnames"], "classnames") if "classnames" in arrays else None
    about = _about(arrays["about"]) if "about" in arrays else {}
    columns: dict[str, dict[str, np.ndarray]] = {"": {}}
    more = {}
    for key, value in arrays.items():
        answer, _, column = key.rpartition(".")
        if key in OWN:
            continue
        if value.shape[:1] != label.shape:
            raise InputError(f"{key} has {len(np.atleast_1d(value))} rows, but label has {len(label)}.")
        if column in (*WHOLE, *PER_IMAGE, "logits", "relative_logits", "top5_logits"):
            of_answer = columns.setdefault(answer, {})
            if column in of_answer:
                raise InputError(f"it has {column} twice, as {column} and as {key}; leave one out.")
            of_answer[column] = value
        else:
            more[key] = value
    if not len(label):
        raise InputError("it has no images.")
    if not columns[""].keys() & {"prediction", "logits", "relative_logits"}:
        raise InputError(f"it has neither prediction nor logits, only {', '.join(sorted(arrays))}.")
    answers = {name: _answer(found, label, names, name) for name, found in columns.items() if found or not name}
    path = _texts(arrays["path"], "path") if "path" in arrays else None
    if path is not None and (len(path) != len(label) or len(set(path)) != len(path)):
        what = "an image twice" if len(path) == len(label) else f"{len(path)} paths for {len(label)} labels"
        raise InputError(f"it has {what}; give each image once.")
    main = answers.pop("")
    _in_range(label, "label", _classes(main, names), -1)
    known = np.asarray(arrays["known"]) if "known" in arrays else None
    if known is not None and (known.shape != (_classes(main, names) or -1,) or not np.isin(known, (0, 1)).all()):
        raise InputError("known is not one yes or no (True or False, 1 or 0) for each class.")
    known = None if known is None else known.astype(bool)
    tuned, plain = (_of_classes(arrays, name, _classes(main, names)) for name in OF_CLASSES)
    return Outputs(file, label, main, answers, path, names, known, tuned, plain, more, about)


def _texts(values: np.ndarray, name: str) -> list[str]:
    if values.ndim != 1 or values.dtype.kind != "U":
        raise InputError(f"{name} is not a list of texts.")
    return [str(each) for each in values]


def _about(value: np.ndarray) -> dict:
    """The facts on the run."""
    try:
        found = json.loads(str(value.item())) if value.size == 1 else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError("about is not the text of a JSON object; mend it, or leave it out.")
    return found


def _of_classes(arrays: Mapping[str, np.ndarray], name: str, classes: int | None) -> np.ndarray | None:
    """The array [C, d] of this name, if there is one."""
    if name not in arrays:
        return None
    with np.errstate(over="ignore"):
        found = _numbers(arrays[name], name).astype(np.float32)
    if found.ndim != 2 or len(found) != (classes or -1) or not found.shape[1] or not np.isfinite(found).all():
        raise InputError(f"{name} is not a table of finite numbers with one row for each class.")
    return found


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
            needed = label >= 0 if column in ("nll", "brier") else np.full(len(label), True)
            values[column] = _numbers(found[column], where + column)
            if values[column].ndim != 1 or not np.isfinite(values[column][needed]).all():
                raise InputError(f"{where}{column} is not a list of finite numbers.")
            least, most = RANGES[column]
            wrong = needed & ~((values[column] >= least - 1e-3) & (values[column] <= most + 1e-6))
            if wrong.any():
                row, far = int(np.argmax(wrong)), "on" if np.isinf(most) else f"to {most:g}"
                raise InputError(
                    f"{where}{column} of image {row} is {values[column][row]:g}, not from {least:g} {far}."
                )
    if "relative_logits" in found and "logits" in found:
        raise InputError(f"it has both {where}logits and {where}relative_logits; leave one out.")
    logits = found.get("relative_logits", found.get("logits"))
    if logits is not None:
        logits = _logits(logits, where + "logits")
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
        values = _agreed(of_logits(logits, prediction, label, "logits" in found), values, label, where)
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


def _numbers(values: np.ndarray, name: str) -> np.ndarray:
    """In fp64."""
    found = np.asarray(values)
    if found.dtype.kind not in "iuf":
        raise InputError(f"{name} has other values than numbers.")
    return found.astype(float)


def _logits(values: np.ndarray, name: str) -> np.ndarray:
    """Logits [N, C] in fp32. A class that an image cannot be of may have -infinity."""
    found = _numbers(values, name)
    if found.ndim != 2 or not found.shape[1]:
        raise InputError(f"{name} are not a table [images, classes] of numbers.")
    wrong = np.isnan(found).any(1) | ~(np.abs(found.max(1)) <= np.finfo(np.float32).max)
    if wrong.any():
        raise InputError(f"{name} of image {int(np.argmax(wrong))} are NaN or infinite, or beyond the range of fp32.")
    if found.shape[1] > 1 and (found >= 0).all() and np.allclose(found.sum(1), 1, atol=1e-3):
        raise InputError(f"{name} are probabilities (those of each image sum to 1); give their logarithms, or logits.")
    with np.errstate(over="ignore"):  # far below the largest of the image: as good as -infinity
        return found.astype(np.float32)


def _agreed(
    computed: dict[str, np.ndarray], given: Mapping[str, np.ndarray], label: np.ndarray, where: str
) -> dict[str, np.ndarray]:
    """The columns computed from the logits and, before these, those that the file has; within the rounding of fp16
    these must be the same."""
    if "logsumexp" not in computed and given.keys() >= {"max_logit", "logsumexp"}:  # relative logits
        computed = computed | {"logsumexp": given["max_logit"] - np.log(computed["confidence"])}
    for name in sorted(computed.keys() & given.keys()):
        apart = np.abs(computed[name] - given[name]) > 0.02 + 0.02 * np.abs(given[name])
        if (wrong := apart & np.isfinite(computed[name])).any():
            row = int(np.argmax(wrong))
            raise InputError(
                f"{where}{name} of image {row} is {given[name][row]:.4g}, but {computed[name][row]:.4g} by its logits."
            )
    found = computed | dict(given)
    if np.isinf(found["nll"][label >= 0]).any():
        row = int(np.argmax(np.isinf(found["nll"])))
        raise InputError(f"{where}logits of image {row} are -infinity for its label, so that its NLL has no value.")
    return found


def _whole(values: np.ndarray, name: str) -> np.ndarray:
    found = np.asarray(values)
    if found.ndim != 1 or found.dtype.kind not in "iu" or (found.dtype.kind == "u" and (found >= 2**63).any()):
        raise InputError(f"{name} is not a list of whole numbers.")
    return found.astype(np.int64)


def _in_range(values: np.ndarray, name: str, classes: int | None, least: int) -> None:
    wrong = (values < least) | (values >= (classes if classes is not None else np.iinfo(np.int64).max))
    if wrong.any():
        row = int(np.argmax(wrong))
        among = f"the {classes} classes 0 to {classes - 1}" if classes is not None else f"the classes, from {least} on"
        raise InputError(f"{name} of image {row} is {values[row]}, which is none of {among}.")
