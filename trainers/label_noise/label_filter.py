"""TRAINER.FILTER: removes training items whose labels look wrong before the training, for any method.

cleanlab: confident learning (Northcutt et al., JAIR 2021), by the `cleanlab` package, on the probabilities of zero-shot
CLIP.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from clipkit import fingerprint
from dassl.utils import InputError
from datasets.templates import custom_template

from ..shared.feature_loader import bank_key, encode_loader
from .decisions import Decision, record_decision

if TYPE_CHECKING:
    from ..shared.method import Method

logger = logging.getLogger(__name__)

FILTERS = ("", "cleanlab")


def filter_training_list(trainer: Method) -> None:
    """Applies TRAINER.FILTER: keeps only the training items whose labels look right in the trainer's list and loader.

    The decision about all N items goes to decisions.json. Only observed labels are read, never true ones. Raises
    InputError for an unknown filter, a missing package, a method that selects items itself, and if no item is left.
    """
    name = trainer.cfg.TRAINER.get("FILTER", "")
    if not name:
        return
    if name not in FILTERS:
        raise InputError(f'TRAINER.FILTER is {name!r}, but must be "cleanlab", or "" for none.')
    if hasattr(trainer, "decide"):
        raise InputError(
            f"{type(trainer).__name__} detects wrong labels itself; TRAINER.FILTER is for methods that do not: "
            "leave it out."
        )
    label = trainer.training_list.label.cpu()
    clean, score = cleanlab_judgement(label.numpy(), zero_shot_probabilities(trainer).cpu().numpy())
    if not clean.any():
        raise InputError(
            "TRAINER.FILTER cleanlab finds every label wrong, so no item is left to train on; leave it out."
        )
    record_decision(trainer, Decision(torch.from_numpy(clean), torch.from_numpy(score)))
    trainer.record["filter"] = {"name": name, "kept": int(clean.sum()), "of": len(clean)}
    trainer.keep_training_items(np.flatnonzero(clean).tolist())
    trainer.__dict__.pop("training_list", None)


@torch.no_grad()
def zero_shot_probabilities(trainer: Method) -> Tensor:
    """[N, C] of the training items in order, under the dataset's template; image features come from the bank."""
    template = custom_template(trainer.cfg.DATASET.NAME)
    text = trainer.frozen_text([template.format(name) for name in trainer.classnames])
    loader = trainer.training_list.loader
    key = bank_key(loader, fingerprint(trainer.clip), trainer.precision, trainer.device)
    found = trainer.bank.get(key, lambda: {"features": encode_loader(loader, trainer.frozen_image, trainer.device)})
    return trainer.logits(found["features"].to(trainer.device), text).float().softmax(dim=1)


def cleanlab_judgement(label: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """label [N], probability [N, C] -> (clean [N] bool, score [N] in 0 to 1: the higher, the likelier right)."""
    try:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores
    except ImportError as error:
        raise InputError("TRAINER.FILTER cleanlab needs the cleanlab package: pip install cleanlab.") from error
    probability = probability.astype(np.float64)
    probability /= probability.sum(axis=1, keepdims=True)
    wrong = find_label_issues(label, probability, n_jobs=1)
    return ~wrong, get_label_quality_scores(label, probability)
