"""Runs code that calls `.cuda()` and `.half()` on a machine without a GPU.

Within `OnCpu`, tensors that are sent to a GPU stay on the CPU, and those that are converted to half precision become
fp32, since half precision is slow on a CPU and less exact.

Two mechanisms are needed, since neither covers every call. A torch-function mode sees each call under whatever name it
was imported. But torch switches the mode off within Python functions that take part in the dispatch themselves
(`backward`, a copied `multi_head_attention_forward`); for these the functions of torch listed in NAMES are replaced.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

HALF = torch.float16
CUDA, TO_HALF, PIN = Tensor.cuda, Tensor.half, Tensor.pin_memory
EMPTY = torch.empty
CONVERSIONS = {Tensor.to, Tensor.type, Tensor.type_as}
_MAKERS = "zeros ones empty full rand randn randint randperm eye arange linspace logspace tensor as_tensor asarray"
_LIKE = "zeros_like ones_like empty_like full_like rand_like randn_like randint_like"
_NEW = "new_zeros new_ones new_empty new_full new_tensor"
# Functions that make a tensor of a given type, or compute in one.
TYPED = {getattr(torch, name) for name in f"{_MAKERS} {_LIKE} softmax log_softmax sum mean".split()}
TYPED |= {getattr(Tensor, name) for name in f"{_NEW} softmax log_softmax sum mean".split()}
TYPED |= {F.softmax, F.log_softmax}
_KINDS = "Half Float Double Int Long Short Char Byte Bool BFloat16"
# (GPU or half-precision tensor type such as torch.cuda.FloatTensor, the CPU type that replaces it)
TYPES = [
    (getattr(home, f"{kind}Tensor"), getattr(torch, f"{kind.replace('Half', 'Float')}Tensor"))
    for home in (torch, torch.cuda)
    for kind in _KINDS.split()
]


class OnCpu(TorchFunctionMode):
    """The context manager. The mode holds for the thread that enters it, the replaced names for the whole process."""

    def __torch_function__(
        self, func: Callable, types: Sequence[type], args: tuple = (), kwargs: dict | None = None
    ) -> object:
        return _meant(func, args, kwargs or {})

    def __enter__(self) -> OnCpu:
        _names.enter()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        _names.leave()


def _meant(func: Callable, args: tuple, kwargs: dict) -> object:
    """`func(*args, **kwargs)` with devices and half precision replaced by the CPU and fp32."""
    if func in (CUDA, PIN):
        return args[0]
    if func is TO_HALF:
        return args[0].float()
    if func in CONVERSIONS:
        args = (args[0], *(_here(value) for value in args[1:]))
        kwargs = {key: _here(value) for key, value in kwargs.items()}
    elif func in TYPED and not (func is EMPTY and args[:1] == ((0,),)):  # torch.load fills it with the file's type
        args = tuple(torch.float32 if value is HALF else value for value in args)
        kwargs = {key: _here(value) if key in ("device", "dtype") else value for key, value in kwargs.items()}
    elif kwargs.get("device") is not None:
        kwargs = {**kwargs, "device": _here(kwargs["device"])}
    return func(*args, **kwargs)


def _here(value: object) -> object:
    """The CPU's value for a device, a dtype, or a tensor that has both."""
    if value is HALF:
        return torch.float32
    if isinstance(value, Tensor) and value.dtype is HALF:
        return value.float()
    if isinstance(value, torch.device) and value.type == "cuda":
        return torch.device("cpu")
    if isinstance(value, int) and not isinstance(value, bool):  # the number of a GPU
        return "cpu"
    if isinstance(value, dict):  # torch.load's map_location
        return {key: _here(place) for key, place in value.items()}
    if isinstance(value, str):
        if value.startswith("cuda"):
            return "cpu"
        if value.startswith("torch."):
            return value.replace("cuda.", "").replace("HalfTensor", "FloatTensor")
    return next((cpu for kind, cpu in TYPES if value is kind), value)


# ---- functions of torch that are replaced while a thread is within `OnCpu`


def _meaning(func: Callable) -> Callable:
    return functools.wraps(func)(lambda *args, **kwargs: _meant(func, args, kwargs))


def _placed(func: Callable) -> Callable:
    """Wrap `torch.load` and the like: every argument after the first may be a device."""
    return functools.wraps(func)(
        lambda *args, **kwargs: func(*args[:1], *map(_here, args[1:]), **{k: _here(v) for k, v in kwargs.items()})
    )


def _default(func: Callable) -> Callable:
    """Wrap `torch.set_default_dtype` and the like."""
    return functools.wraps(func)(lambda *args: func(*map(_here, args)))


def _nothing(func: Callable) -> Callable:
    return functools.wraps(func)(lambda *args, **kwargs: None)


NAMES: list[tuple[object, str, Callable]] = [
    *((Tensor, name, _meaning) for name in f"cuda half pin_memory to type type_as {_NEW}".split()),
    *((torch, name, _meaning) for name in f"{_MAKERS} {_LIKE} softmax log_softmax".split()),
    *((F, name, _meaning) for name in ("softmax", "log_softmax")),
    *((home, "load", _placed) for home in (torch, torch.jit)),
    *((torch, f"set_default_{what}", _default) for what in ("dtype", "device", "tensor_type")),
    *((torch.cuda, name, _nothing) for name in ("set_device", "synchronize", "init")),
    (torch.cuda, "current_device", lambda func: lambda: 0),
]


class _Names:
    """Replaces the functions of NAMES when the first user enters `OnCpu`, and restores them when the last leaves."""

    def __init__(self) -> None:
        self.users, self.undo = 0, ExitStack()

    def enter(self) -> None:
        self.users += 1
        if self.users > 1:
            return
        for home, name, stand_in in NAMES:
            self._put(home, name, stand_in(getattr(home, name)))
        for kind, cpu in TYPES:
            home = torch.cuda if kind.__module__ == "torch.cuda" else torch
            self._put(home, kind.__name__, cpu)

    def _put(self, home: object, name: str, value: object) -> None:
        if name in vars(home):
            self.undo.callback(setattr, home, name, vars(home)[name])
        else:  # inherited
            self.undo.callback(delattr, home, name)
        setattr(home, name, value)

    def leave(self) -> None:
        self.users -= 1
        if not self.users:
            self.undo.close()


_names = _Names()
