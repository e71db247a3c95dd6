"""`build_optimizer`: the optimizer that cfg.OPTIM describes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from yacs.config import CfgNode

from dassl.utils.errors import InputError

from .radam import RAdam

AVAI_OPTIMS = ["adam", "amsgrad", "sgd", "rmsprop", "radam", "adamw"]


def build_optimizer(model: nn.Module | Iterable, optim_cfg: CfgNode, param_groups: list | None = None) -> Optimizer:
    """Optimizer over all parameters of `model`, frozen ones included (they get no gradient and do not move).

    `model` may also be an iterable of parameters or groups. `param_groups`, if given, is taken as it is.
    STAGED_LR: the direct children named in NEW_LAYERS learn with LR, all others with LR * BASE_LR_MULT.
    """
    name = optim_cfg.NAME
    if name not in AVAI_OPTIMS:
        raise InputError(f"optimizer {name!r} is not known: OPTIM.NAME must be one of {', '.join(AVAI_OPTIMS)}")
    if param_groups is not None:
        if optim_cfg.STAGED_LR:
            warnings.warn("OPTIM.STAGED_LR has no effect: param_groups are given", stacklevel=2)
        groups: Iterable = param_groups
    elif optim_cfg.STAGED_LR:
        groups = _staged_groups(model, optim_cfg)
    else:
        groups = model.parameters() if isinstance(model, nn.Module) else model

    lr, decay = optim_cfg.LR, optim_cfg.WEIGHT_DECAY
    adam = {"betas": (optim_cfg.ADAM_BETA1, optim_cfg.ADAM_BETA2), "eps": optim_cfg.get("ADAM_EPS", 1e-8)}
    if name == "sgd":
        if optim_cfg.SGD_NESTEROV and (optim_cfg.MOMENTUM <= 0 or optim_cfg.SGD_DAMPNING != 0):
            raise InputError("OPTIM.SGD_NESTEROV needs a MOMENTUM above 0 and SGD_DAMPNING 0; change one of the three")
        momentum = {"momentum": optim_cfg.MOMENTUM, "nesterov": optim_cfg.SGD_NESTEROV}
        return SGD(groups, lr=lr, weight_decay=decay, dampening=optim_cfg.SGD_DAMPNING, **momentum)
    if name == "rmsprop":
        extra = {"momentum": optim_cfg.MOMENTUM, "alpha": optim_cfg.RMSPROP_ALPHA}
        return RMSprop(groups, lr=lr, weight_decay=decay, **extra)
    if name in ("adam", "amsgrad"):
        return Adam(groups, lr=lr, weight_decay=decay, **adam, amsgrad=name == "amsgrad")
    return {"adamw": AdamW, "radam": RAdam}[name](groups, lr=lr, weight_decay=decay, **adam)


def _staged_groups(model: nn.Module | Iterable, optim_cfg: CfgNode) -> list[dict]:
    if not isinstance(model, nn.Module):
        raise TypeError("OPTIM.STAGED_LR needs a torch.nn.Module, since it tells layers apart by name")
    model = model.module if isinstance(model, nn.DataParallel) else model
    new_layers = optim_cfg.NEW_LAYERS
    new_layers = [new_layers] if isinstance(new_layers, str) else new_layers
    if not new_layers:
        warnings.warn("OPTIM.NEW_LAYERS is empty: all layers learn with the lower rate", stacklevel=3)
    children = dict(model.named_children())
    if unknown := [name for name in new_layers if name not in children]:
        text = f"OPTIM.NEW_LAYERS: {unknown[0]!r} is no layer of this model, which has {', '.join(children) or 'none'}"
        warnings.warn(f"{text}: all other layers learn with the lower rate", stacklevel=3)
    base: list[nn.Parameter] = []
    new: list[nn.Parameter] = []
    for name, child in children.items():
        (new if name in new_layers else base).extend(child.parameters())
    return [{"params": base, "lr": optim_cfg.LR * optim_cfg.BASE_LR_MULT}, {"params": new}]
