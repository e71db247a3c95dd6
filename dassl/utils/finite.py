"""Checks that losses, weights and outputs are finite; otherwise DivergedError ends the run."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from dassl.protocols import HasModels

from .errors import DivergedError


def check_loss(trainer: HasModels, loss: float | Tensor, terms: Mapping[str, float] | None = None) -> None:
    """Raises DivergedError, with epoch, batch, learning rate and the keys to look at, unless `loss` is finite.

    terms: the parts that the loss is the sum of; those that are not finite are named.
    """
    if torch.isfinite(torch.as_tensor(loss)).all():
        return
    wrong = [f"{name} is {float(value):g}" for name, value in (terms or {}).items() if not math.isfinite(value)]
    raise DivergedError(
        f"Loss is infinite or NaN{_moment(trainer)}{f' ({chr(44).join(wrong)})' if wrong else ''}: lower OPTIM.LR or "
        f"warm it up for longer (OPTIM.WARMUP_EPOCH){_precision(trainer)}, and look at the weights and exponents of "
        f"the loss ({_node(trainer)}*)."
    )


def check_weights(model: nn.Module, what: str, advice: str) -> None:
    """Raises DivergedError "<what>: <tensor> holds NaN ...; <advice>." unless all parameters are finite."""
    for name, value in model.named_parameters():
        if value.is_floating_point() and not torch.isfinite(value).all():
            count = int((~torch.isfinite(value)).sum())
            raise DivergedError(
                f"{what}: {count} of the {value.numel():,} numbers of {name} are infinite or NaN; {advice}."
            )


def check_saved(trainer: HasModels, name: str, epoch: int) -> None:
    """Raises DivergedError unless the model called `name`, to be saved after epoch `epoch` (0-based), has finite
    weights."""
    advice = f"the training has diverged, so nothing is saved; lower OPTIM.LR{_precision(trainer)}"
    check_weights(trainer._models[name], f"{name} after epoch {epoch + 1}{_rate(trainer)}", advice)


def check_outputs(best: Tensor, what: str = "The model's output") -> None:
    """best: [B], the largest logit of each image (NaN where any is). Raises DivergedError unless all are finite.

    A logit of minus infinity, by which a model rules out a class, is allowed: it is never the largest.
    """
    if not torch.isfinite(best).all():
        count = int((~torch.isfinite(best)).sum())
        raise DivergedError(
            f"{what} is infinite or NaN for {count} of {len(best)} images of a batch, so there is no accuracy: the "
            "training has diverged (lower OPTIM.LR), or the weights of the checkpoint or of the backbone are damaged."
        )


def _moment(trainer: HasModels) -> str:
    if not hasattr(trainer, "epoch"):
        return ""
    index, count = getattr(trainer, "batch_idx", None), getattr(trainer, "num_batches", None)
    batch = "" if index is None else f", batch {index + 1} of {count}"
    return f" in epoch {trainer.epoch + 1}{batch}{_rate(trainer)}"


def _rate(trainer: HasModels) -> str:
    optims = [optim for optim in trainer._optims.values() if optim is not None]
    return f" at learning rate {optims[0].param_groups[0]['lr']:g}" if optims else ""


def _precision(trainer: HasModels) -> str:
    """Advice for the message: a wider precision, if the run uses half precision."""
    if getattr(trainer, "precision", "") not in ("fp16", "amp"):
        return ""
    return f", take a wider precision ({_node(trainer)}PREC fp32)"


def _node(trainer: HasModels) -> str:
    return f"{getattr(trainer, 'node', 'TRAINER')}."
