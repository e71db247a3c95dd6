"""Checks that weights with a row for each class (class-specific contexts, CSC) are used with their own classes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from torch import nn

from dassl.utils.checkpoint import load_checkpoint
from dassl.utils.errors import InputError
from dassl.utils.torch_file import state_dict_in

logger = logging.getLogger(__name__)


def by_label(lab2cname: Mapping[int, str]) -> list[str]:
    """The class names in ascending order of label."""
    return [lab2cname[label] for label in sorted(lab2cname)]


def class_tensors(model: nn.Module) -> list[str]:
    """Names of the model's tensors with a row per class.

    Those that it declares (`class_tensors`, a sequence of names), contexts named as in CoOp (a parameter called ctx...,
    [C, M, width] and not [M, width]), and the classifier of a `SimpleNet`.
    """
    found = list(getattr(model, "class_tensors", ()))
    found += [k for k, p in model.named_parameters() if k.rpartition(".")[2].startswith("ctx") and p.dim() == 3]
    if isinstance(getattr(model, "classifier", None), nn.Linear) and hasattr(model, "fdim"):
        found.append("classifier.weight")
    return list(dict.fromkeys(found))


def check_classes(
    model: nn.Module, checkpoint: Mapping, lab2cname: Mapping[int, str], path: str, same: bool | None = None
) -> None:
    """Raises InputError if a model that was just loaded from `checkpoint` has tensors with a row per class and was
    trained on other classes than those of `lab2cname` (label -> name).

    same: whether the classes are the same, for a file without class names; None: unknown, which is a warning.
    """
    rows = class_tensors(model)
    if not rows:
        return
    saved, mine = checkpoint.get("classnames"), by_label(lab2cname)
    if isinstance(saved, (list, tuple)) and saved:
        # files of older runs have the names in the order of the training list
        same = _clean(saved) in (_clean(mine), _clean(lab2cname.values()))
    if same is None:
        text = (
            "Warning: %s does not name its classes, although %s has a row for each: this run's %d classes are assumed"
        )
        logger.warning(text, path, rows[0], len(mine))
    elif not same:
        theirs = f" ({_shown(saved)})" if saved else ""
        raise InputError(
            f"{path}: {rows[0]} has a row for each class that it was trained on{theirs}, and this run's classes are "
            f"others ({_shown(mine)}); use it on its own classes, or train one context for all classes."
        )


def check_started(
    model: nn.Module, path: str, lab2cname: Mapping[int, str], same: Callable[[Mapping], bool | None] | None = None
) -> None:
    """`check_classes` for a model that was just initialised with the fitting tensors of the file at `path`
    (MODEL.INIT_WEIGHTS). same: function of the checkpoint that gives the `same` of `check_classes`."""
    checkpoint, own = load_checkpoint(path), model.state_dict()
    state = state_dict_in(checkpoint, path)
    if any(name in state and state[name].shape == own[name].shape for name in class_tensors(model)):
        check_classes(model, checkpoint, lab2cname, path, same(state) if same else None)


def _clean(names: Iterable) -> list[str]:
    return [str(name).replace("_", " ") for name in names]


def _shown(names: list) -> str:
    return ", ".join(map(str, names[:3])) + (", ..." if len(names) > 3 else "")
