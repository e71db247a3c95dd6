"""Helpers around modules and parameters. Checkpoint functions are here too, under upstream's module path."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable

import torch
from torch import nn

from .checkpoint import load_checkpoint, resume_from_checkpoint, save_checkpoint
from .errors import InputError
from .torch_file import state_dict_in, unusable

__all__ = [
    "count_num_param",
    "init_network_weights",
    "load_checkpoint",
    "load_pretrained_weights",
    "open_all_layers",
    "open_specified_layers",
    "resume_from_checkpoint",
    "save_checkpoint",
]
logger = logging.getLogger(__name__)


def count_num_param(model: nn.Module | None = None, params: Iterable | None = None) -> int:
    """Number of elements in all parameters of `model`, or in `params` (tensors or parameter groups)."""
    if model is not None:
        return sum(p.numel() for p in model.parameters())
    if params is None:
        raise ValueError("count_num_param needs a model or params")
    groups = [p["params"] if isinstance(p, dict) else [p] for p in params]
    return sum(p.numel() for group in groups for p in group)


def load_pretrained_weights(model: nn.Module, weight_path: str) -> None:
    """Copy the weights whose name and shape fit; the others are listed. Warns if none fits.

    Raises InputError for a file that is no checkpoint, and for fitting weights that are not finite numbers.
    """
    state = state_dict_in(load_checkpoint(weight_path), weight_path)
    own = model.state_dict()
    fitting = {k: v for k, v in state.items() if k in own and own[k].size() == v.size()}
    discarded = [k for k in state if k not in fitting]
    wrong = [why for k, v in fitting.items() if (why := unusable(k, v, own[k]))]
    if wrong:
        raise InputError(f"training cannot start from {weight_path}: {wrong[0]}; give another file")
    if not fitting:
        warnings.warn(f'Cannot load "{weight_path}": no key matches, check the key names', stacklevel=2)
        return
    model.load_state_dict(fitting, strict=False)
    logger.info('Successfully loaded pretrained weights from "%s"', weight_path)
    if discarded:
        logger.info("Layers discarded due to unmatched keys or size: %s", discarded)


def open_all_layers(model: nn.Module) -> None:
    """Train mode, and gradients for all parameters."""
    model.train()
    for p in model.parameters():
        p.requires_grad = True


def open_specified_layers(model: nn.Module, open_layers: str | list[str]) -> None:
    """Train only the named direct children; all others are frozen and in eval mode."""
    open_layers = [open_layers] if isinstance(open_layers, str) else open_layers
    model = model.module if isinstance(model, nn.DataParallel) else model
    children = dict(model.named_children())
    for name in open_layers:
        if name not in children:
            raise ValueError(f"{name} is not a layer of the model; its layers are {', '.join(children)}")
    for name, child in children.items():
        child.train(name in open_layers)
        for p in child.parameters():
            p.requires_grad = name in open_layers


@torch.no_grad()
def init_network_weights(model: nn.Module, init_type: str = "normal", gain: float = 0.02) -> None:
    """Draw weights anew (normal, xavier, kaiming, orthogonal) and set biases to 0; normalisation layers to 1 and 0."""
    draw = {
        "normal": lambda w: nn.init.normal_(w, 0.0, gain),
        "xavier": lambda w: nn.init.xavier_normal_(w, gain=gain),
        "kaiming": lambda w: nn.init.kaiming_normal_(w, a=0, mode="fan_in"),
        "orthogonal": lambda w: nn.init.orthogonal_(w, gain=gain),
    }
    if init_type not in draw:
        raise NotImplementedError(f"initialisation {init_type!r} is not known; known are {', '.join(draw)}")
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
            draw[init_type](module.weight)
        elif isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.InstanceNorm2d)) and module.weight is not None:
            nn.init.ones_(module.weight)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
