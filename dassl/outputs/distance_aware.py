"""Distance-aware calibration (DAC) in our reading, from the class features that a test kept.

The idea is that of Wang et al., "Open-Vocabulary Calibration for Fine-tuned CLIP" (ICML 2024): confidence is scaled by
how far the text feature of the predicted class is from those of the base classes. The equations here are ours.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dassl.utils.errors import InputError

from .pairs import check_same_model, logits_of
from .reading import Answer, Outputs, of_logits


def proximity(features: np.ndarray, base: np.ndarray, nearest: int) -> np.ndarray:
    """S(w), [C]: the mean of exp(-||w - w_k||) over the `nearest` of the base classes' features that are closest to w.

    features [C, d], base [B, d]. It is 1 for a feature that coincides with these, and falls with the distance.
    """
    distance = np.sqrt(np.square(features[:, None] - base[None]).sum(2))
    return np.exp(-np.sort(distance, axis=1)[:, :nearest]).mean(1)


def factors(test: Outputs, base: Outputs, nearest: int) -> np.ndarray:
    """gamma [C] = S(tuned) / S(zero-shot) for the classes of `test`; 1 for those that are among the classes of `base`.

    Below 1: tuning moved the class away from the base classes, so its answers become less confident; above 1: tuning
    drew it to them. Raises InputError for files without class features, for outputs of different models, for
    `nearest` above the number of base classes, features too far apart, and where every class is a base class.
    """
    tuned, plain = _features(test)
    base_tuned, base_plain = _features(base)
    check_same_model(test, base)
    _check_widths(test, base)
    if not 1 <= nearest <= len(base_tuned):
        raise InputError(
            f"There are {len(base_tuned)} base classes in {base.file}, so that the nearest {nearest} cannot be taken; "
            f"give a number from 1 to {len(base_tuned)}."
        )
    known = np.isin(test.classnames or [], base.classnames or [])
    if known.all():
        raise InputError(
            f"All classes of {test.file} are base classes, whose answers stay as they are; give outputs on other ones."
        )
    near, near_plain = proximity(tuned, base_tuned, nearest), proximity(plain, base_plain, nearest)
    if not (near.min() > 0 and near_plain.min() > 0):
        raise InputError(
            f"The class features of {test.file} are so far from those of {base.file} that exp(-distance) is 0; give "
            "normalised features."
        )
    return np.where(known, 1.0, near / near_plain)


def distance_aware(test: Outputs, base: Outputs, nearest: int) -> tuple[np.ndarray, Outputs]:
    """(gamma of each image's predicted class [N], the outputs with the answer's logits times it): predictions stay,
    probabilities change. Raises InputError as `factors`, and for a file without the logits of all classes."""
    prediction = test.answer.prediction
    gamma = factors(test, base, nearest)[prediction]
    logits = logits_of(test).astype(float) * gamma[:, None]
    return gamma, replace(test, answer=Answer(prediction, logits=logits, **of_logits(logits, prediction, test.label)))


def _features(outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
    if outputs.class_features is None or outputs.zero_shot_features is None or outputs.classnames is None:
        raise InputError(
            f"{outputs.file} has no class features: they are kept with TEST.OUTPUTS logits, by methods whose class "
            "features are the same for all images."
        )
    return outputs.class_features.astype(float), outputs.zero_shot_features.astype(float)


def _check_widths(test: Outputs, base: Outputs) -> None:
    for name in ("class_features", "zero_shot_features"):
        here, there = getattr(test, name).shape[1], getattr(base, name).shape[1]
        if here != there:
            raise InputError(
                f"{test.file} has class features of {here} numbers, but {base.file} of {there}; give two tests of one "
                "model."
            )
