"""Accuracies of predicted labels, in percent. `label` and `prediction` are whole numbers [N]."""

from __future__ import annotations

import numpy as np


def accuracy(label: np.ndarray, prediction: np.ndarray) -> float:
    """The share of images that are classified correctly."""
    return 100.0 * int((prediction == label).sum()) / len(label)


def macro_f1(label: np.ndarray, prediction: np.ndarray) -> float:
    """Mean over the classes in `label` of F1 = 2 hits / (images of the class + predictions of it).

    It is scikit-learn's `f1_score(average="macro", labels=np.unique(label))`.
    """
    scores = []
    for each in np.unique(label):
        hit = np.sum((label == each) & (prediction == each))
        scores.append(2 * hit / (np.sum(label == each) + np.sum(prediction == each)))
    return 100.0 * float(np.mean(scores))


def class_accuracies(label: np.ndarray, prediction: np.ndarray) -> dict[int, float]:
    """{class: accuracy on its images}, for the classes in `label`, in order."""
    return {int(each): accuracy(label[label == each], prediction[label == each]) for each in np.unique(label)}


def worst_class_accuracy(label: np.ndarray, prediction: np.ndarray) -> float:
    """The lowest of the `class_accuracies`, as WILDS (Koh et al., ICML 2021) reports for groups."""
    return min(class_accuracies(label, prediction).values())
