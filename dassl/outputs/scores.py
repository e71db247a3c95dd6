"""All figures of a test from its outputs alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dassl.metrics.calibration import classwise_ece, ece, log_softmax
from dassl.metrics.classification import accuracy, macro_f1, worst_class_accuracy
from dassl.metrics.detection import aurc

from .open_world import SCORES, open_world
from .reading import Answer, Outputs

# {figure: its title in tables}
TITLES = {
    "accuracy": "accuracy, %", "macro_f1": "macro F1, %", "worst_class_accuracy": "worst class, %",
    "ece": "ECE, %", "classwise_ece": "class-wise ECE, %", "brier": "Brier", "nll": "NLL", "aurc": "AURC, %",
}  # fmt: skip
# Figures of a test over base and new classes (`open_world`), and of out-of-distribution detection.
OPEN_WORLD = {
    "joint_accuracy": "joint, %", "joint_base": "joint base", "joint_new": "joint new", "joint_hm": "joint HM",
    "base_alone": "base alone", "new_alone": "new alone", "openworld_auc": "OpenworldAUC, %",
    **{f"ood_auroc_{name}": f"AUROC {name}, %" for name in SCORES},
    **{f"ood_fpr95_{name}": f"FPR95 {name}, %" for name in SCORES},
}  # fmt: skip


def scores(label: np.ndarray, answer: Answer) -> dict[str, float]:
    """{figure of `TITLES`: value} for images [N] of known labels; figures whose columns are missing are left out.

    Percentages, except Brier (0 to 2) and NLL (nats). ECE has 15 bins. Class-wise ECE needs logits; Brier and NLL need
    logits or columns of that name; ECE and AURC need confidences.
    """
    here = label >= 0
    label, prediction = label[here], answer.prediction[here]
    right = prediction == label
    found = {
        "accuracy": accuracy(label, prediction),
        "macro_f1": macro_f1(label, prediction),
        "worst_class_accuracy": worst_class_accuracy(label, prediction),
    }
    if answer.confidence is not None:
        found["ece"] = 100.0 * ece(answer.confidence[here], right)
        found["aurc"] = 100.0 * aurc(answer.confidence[here], right)
    if answer.logits is not None:
        found["classwise_ece"] = 100.0 * classwise_ece(np.exp(log_softmax(answer.logits[here])), label)
    for name, values in (("brier", answer.brier), ("nll", answer.nll)):
        if values is not None:
            found[name] = float(values[here].mean())
    return {name: found[name] for name in TITLES if name in found}


def all_scores(outputs: Outputs) -> dict[str, Mapping[str, float]]:
    """{name of an answer ("": the method's own): its `scores`}. Empty if the images have no known labels."""
    if not (outputs.label >= 0).any():
        return {}
    answers = {"": outputs.answer, **outputs.others}
    return {name: scores(outputs.label, each) | open_world(outputs, each) for name, each in answers.items()}
