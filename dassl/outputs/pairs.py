"""Two outputs on the same images, compared image by image."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np

from dassl.metrics.calibration import fit_temperature
from dassl.metrics.paired import Interval, Paired, mcnemar, paired_bootstrap
from dassl.utils.errors import InputError

from .reading import Answer, Outputs, of_logits

TEMPERATURES = (1e-6, 1e6)  # the least and the largest that may be given


def check_same_model(first: Outputs, second: Outputs) -> None:
    """Raises InputError where both say their method or their seed, and these differ."""
    for key in ("trainer", "seed"):
        one, two = first.about.get(key), second.about.get(key)
        if one is not None and two is not None and one != two:
            raise InputError(
                f"{first.file} is of {key} {one}, but {second.file} of {key} {two}; give tests of one trained model."
            )


def check_same_classes(first: Outputs, second: Outputs) -> None:
    """Raises InputError where both say their data set or their class names, and these differ."""
    one, two = first.about.get("dataset"), second.about.get("dataset")
    if one and two and one != two:
        raise InputError(f"{first.file} is about {one}, but {second.file} about {two}; give outputs of one data set.")
    if first.classnames is None or second.classnames is None or first.classnames == second.classnames:
        return
    if len(first.classnames) != len(second.classnames):
        raise InputError(
            f"{first.file} and {second.file} have other class lists, of {len(first.classnames)} and of "
            f"{len(second.classnames)} classes; give outputs over the same classes in the same order."
        )
    pairs = zip(first.classnames, second.classnames, strict=True)
    label, (a, b) = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
    raise InputError(
        f"{first.file} and {second.file} have other class lists: label {label} is {a!r} in the first, {b!r} in the "
        "second; give outputs over the same classes in the same order."
    )


def aligned(first: Outputs, second: Outputs) -> np.ndarray:
    """The rows [N] of `second` that are about the images of `first`, found by path, or by place where a file has no
    paths. Raises InputError unless both are about the same images with the same labels and classes."""
    check_same_classes(first, second)
    if first.path is None or second.path is None:
        if not np.array_equal(first.label, second.label):
            raise InputError(
                f"{first.file} and {second.file} cannot be paired: one of them has no paths, and their labels differ."
            )
        return np.arange(len(first.label))
    place = {path: row for row, path in enumerate(second.path)}
    if place.keys() != set(first.path):
        here = sum(path in place for path in first.path)
        raise InputError(
            f"{first.file} and {second.file} are about different images ({here} are in both, of {len(first.path)} and "
            f"{len(second.path)}); compare runs on one set."
        )
    rows = np.array([place[path] for path in first.path])
    wrong = first.label != second.label[rows]
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{first.path[row]} has label {first.label[row]} in {first.file}, but {second.label[rows[row]]} in "
            f"{second.file}; give outputs over the same labels."
        )
    return rows


class Comparison:
    """The answers of two methods on the same images of known labels."""

    def __init__(self, first: Outputs, second: Outputs) -> None:
        rows = aligned(first, second)
        known = first.label >= 0
        self._answers = [(first.answer, np.arange(len(rows))[known]), (second.answer, rows[known])]
        self._label = first.label[known]

    def mcnemar(self) -> Paired:
        """McNemar's test on correct answers."""
        return mcnemar(*self._right())

    def accuracy(self) -> Interval:
        """The difference of accuracies in percentage points, with its 95 % interval by the paired bootstrap."""
        return Interval(*(100 * value for value in paired_bootstrap(*self._right())))

    def nll(self) -> Interval | None:
        """The difference of NLL, with its interval; None where one of the two outputs has no NLL."""
        one, two = ((answer.nll, rows) for answer, rows in self._answers)
        return None if one[0] is None or two[0] is None else paired_bootstrap(one[0][one[1]], two[0][two[1]])

    def _right(self) -> tuple[np.ndarray, np.ndarray]:
        first, second = (answer.prediction[rows] == self._label for answer, rows in self._answers)
        return first, second


def logits_of(outputs: Outputs) -> np.ndarray:
    """The method's logits [N, C]. Raises InputError for a file without the logits of all classes."""
    if outputs.answer.logits is None:
        raise InputError(f"{outputs.file} has no logits of all classes; run its test with TEST.OUTPUTS logits.")
    return outputs.answer.logits


def temperature(val: Outputs, test: Outputs) -> float:
    """The temperature that fits the validation images best. Raises InputError for a file without logits, and for one
    that is about test images, or may be: a temperature chosen on them would make their own figures look better than
    they are."""
    logits_of(test)
    check_same_model(test, val)
    known = val.label >= 0
    if not known.any():
        raise InputError(f"{val.file} has no image of a known class (label -1 alone); give labelled validation images.")
    said = val.about.get("split")
    if said is None:
        for file, path in ((val.file, val.path), (test.file, test.path)):
            if path is None:
                raise InputError(
                    f"{file} has no paths, so that the images of {val.file} cannot be told from test images; give both "
                    "files a path for each image, or the temperature as a number."
                )
        said = "val" if set(val.path or ()).isdisjoint(test.path or ()) else "test"
    if said != "val":
        raise InputError(
            f"{val.file} is about test images; a temperature is fitted on validation images: give the outputs of a "
            "test with TEST.SPLIT val."
        )
    return fit_temperature(logits_of(val)[known], val.label[known])


def fixed_temperature(given: str) -> float | None:
    """The temperature that a text is, such as 1.16; None for any other text, and for a place of that name. Raises
    InputError for an empty text, and for a number outside `TEMPERATURES`."""
    if not given.strip():
        raise InputError("--temperature is empty; give outputs on validation images, or a number such as 1.16.")
    try:
        t = float(given)
    except ValueError:
        return None
    if os.path.exists(given):
        return None
    least, most = TEMPERATURES
    if not least <= t <= most:
        raise InputError(
            f"--temperature is {given}, but logits are divided by it: give a number from {least:.6f} to {most:.0f}."
        )
    return t


def at_temperature(outputs: Outputs, t: float) -> Outputs:
    """The same outputs with the answer's logits divided by t: predictions stay, probabilities change."""
    logits, prediction = logits_of(outputs).astype(float) / t, outputs.answer.prediction
    return replace(outputs, answer=Answer(prediction, logits=logits, **of_logits(logits, prediction, outputs.label)))
