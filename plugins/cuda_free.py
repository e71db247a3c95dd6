"""Code that says `.cuda()` and `.half()`, on a machine without a GPU.

The field's trainers are written for one. Within `OnCpu`, whatever is sent to a GPU stays where it is, and whatever is
made half precision becomes, or stays, fp32: half precision on a CPU is slow, and less exact than what it stands for.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

HALF = torch.float16
CONVERSIONS = {Tensor.to, Tensor.type, Tensor.type_as}
FACTORIES = {torch.zeros, torch.ones, torch.empty, torch.full, torch.rand, torch.randn, torch.eye}


class OnCpu(TorchFunctionMode):
    """A context manager, for the thread that enters it."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is Tensor.cuda:
            return args[0]
        if func is Tensor.half:
            return args[0].float()
        if func in CONVERSIONS:
            args = (args[0], *(_here(value) for value in args[1:]))
            kwargs = {key: _here(value) for key, value in kwargs.items()}
        elif kwargs.get("device") is not None or func in FACTORIES:
            # torch.load fills an empty tensor of the type that a file has
            typed = func in FACTORIES and not (func is torch.empty and args[:1] == ((0,),))
            names = ("device", "dtype") if typed else ("device",)
            kwargs = {key: _here(value) if key in names else value for key, value in kwargs.items()}
        return func(*args, **kwargs)


def _here(value: object) -> object:
    """What a device, a type, or a tensor that has both, stands for on a CPU."""
    if value is HALF:
        return torch.float32
    if isinstance(value, Tensor) and value.dtype is HALF:
        return value.float()
    if isinstance(value, torch.device) and value.type == "cuda":
        return torch.device("cpu")
    if isinstance(value, int) and not isinstance(value, bool):  # the number of a GPU
        return "cpu"
    if isinstance(value, str):
        if value.startswith("cuda"):
            return "cpu"
        if value.startswith("torch."):
            return value.replace("cuda.", "").replace("HalfTensor", "FloatTensor")
    return value
