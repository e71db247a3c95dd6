"""Figures of a test over base and new classes together, and of the detection of unknown images."""

from __future__ import annotations

import numpy as np

from dassl.metrics.calibration import log_softmax
from dassl.metrics.classification import accuracy
from dassl.metrics.detection import auroc, fpr_at_tpr, logsumexp, openworld_auc
from dassl.utils.errors import InputError

from .pairs import check_same_classes, check_same_model
from .reading import Answer, Outputs

# score: its source. Higher means known.
SCORES = {
    "msp": "largest probability (Hendrycks and Gimpel, ICLR 2017)",
    "energy": "log sum exp of the logits at temperature 1 (Liu et al., NeurIPS 2020)",
    "max_logit": "largest logit (Hendrycks et al., ICML 2022)",
}


def open_world(outputs: Outputs, answer: Answer) -> dict[str, float]:
    """Figures of an answer over base and new classes, in percent; nothing for outputs of another test, or without
    logits.

    joint_accuracy: all classes are candidates; joint_base, joint_new: the same on the base and the new images alone;
    joint_hm: the harmonic mean of these two. base_alone, new_alone: accuracy when only the classes of the image's own
    kind are candidates. openworld_auc: OpenworldAUC with the summed probability of all base classes as the score.
    `ood_auroc_*`, `ood_fpr95_*`, for each of `SCORES`: detection of new images by the logits of the base classes alone.
    energy and max_logit need logits as the method gave them: without max_logit, relative ones are not comparable
    between images, and these two are left out.
    """
    known_class, here = outputs.known, outputs.label >= 0
    if known_class is None or answer.logits is None or known_class.all() or not known_class.any():
        return {}
    label, prediction, logits = outputs.label[here], answer.prediction[here], _absolute(answer)[here]
    base = known_class[label]
    if base.all() or not base.any():
        return {}
    right = prediction == label
    alone = _among(logits, known_class)
    alone[~base] = _among(logits, ~known_class)[~base]
    alone_right = alone == label
    parts = [100.0 * float(right[side].mean()) for side in (base, ~base)]
    mass = np.exp(log_softmax(logits))[:, known_class].sum(1)
    found = {
        "joint_accuracy": accuracy(label, prediction),
        "joint_base": parts[0],
        "joint_new": parts[1],
        "joint_hm": 2 * parts[0] * parts[1] / sum(parts) if sum(parts) else 0.0,
        "base_alone": 100.0 * float(alone_right[base].mean()),
        "new_alone": 100.0 * float(alone_right[~base].mean()),
        "openworld_auc": 100.0 * openworld_auc(mass[base], alone_right[base], mass[~base], alone_right[~base]),
    }
    if np.isneginf(logits[:, known_class].max(1)).any():  # an image that can be of no base class has no scores
        return found
    of_base = _scores_of(logits[:, known_class])
    kept = of_base if answer.max_logit is not None else {"msp": of_base["msp"]}
    return found | _told_apart(kept, base)


def out_of_distribution(known: Outputs, unknown: Outputs) -> dict[str, float]:
    """`ood_auroc_*`, `ood_fpr95_*` in percent, from a method's outputs on images of its classes and on images of none.

    Raises InputError for outputs over different classes or of different models, or without confidences; scores that a
    file lacks are left out.
    """
    check_same_model(known, unknown)
    if known.classnames is None or known.classnames != unknown.classnames:
        check_same_classes(known, unknown)
        raise InputError(f"{known.file} and {unknown.file} must name the same classes; give outputs of one model.")
    if (unknown.label >= 0).any():
        raise InputError(
            f"{unknown.file} has images of known classes (labels from 0 on); give outputs on images of no known class, "
            "with label -1, as predict.py --format npz writes them."
        )
    here = known.label >= 0
    columns = {"msp": "confidence", "energy": "logsumexp", "max_logit": "max_logit"}
    found: dict[str, float] = {}
    for score, column in columns.items():
        ours, theirs = getattr(known.answer, column), getattr(unknown.answer, column)
        if ours is not None and theirs is not None:
            found |= _figures(score, ours[here], theirs)
    if not found:
        raise InputError(
            f"{known.file} or {unknown.file} has neither confidences nor logits; test with TEST.OUTPUTS logits."
        )
    return found


def _absolute(answer: Answer) -> np.ndarray:
    """[N, C] logits in fp64: as the method gave them, comparable between images, if the answer has max_logit."""
    assert answer.logits is not None
    z = answer.logits.astype(float)
    return z if answer.max_logit is None else z + (answer.max_logit - z.max(1))[:, None]


def _among(logits: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """[N]: the predicted class where only these [C] classes are candidates."""
    return np.flatnonzero(columns)[logits[:, columns].argmax(1)]


def _scores_of(logits: np.ndarray) -> dict[str, np.ndarray]:
    energy, top = logsumexp(logits), logits.max(1)
    return {"msp": np.exp(top - energy), "energy": energy, "max_logit": top}


def _told_apart(scores: dict[str, np.ndarray], known: np.ndarray) -> dict[str, float]:
    return {k: v for name, score in scores.items() for k, v in _figures(name, score[known], score[~known]).items()}


def _figures(name: str, known: np.ndarray, unknown: np.ndarray) -> dict[str, float]:
    return {
        f"ood_auroc_{name}": 100.0 * auroc(known, unknown),
        f"ood_fpr95_{name}": 100.0 * fpr_at_tpr(known, unknown),
    }
