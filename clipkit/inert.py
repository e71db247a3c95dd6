"""Unpickling without running anything that the file names.

A published checkpoint may hold the arguments of its run, a config node, a scheduler, paths, NumPy values. Their classes
are not imported: each object of such a class becomes an `Inert` record. Only the functions that rebuild tensors, NumPy
values and plain containers are allowed, in versions of this file, so that the pickle gets none of torch or NumPy.

`dassl/utils` and `clipkit` each have this file, letter for letter: neither package may import the other.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import torch


class Inert:
    """The record of an object whose class is not in `LET_IN`: its attributes, and no code.

    The class of the record bears the name of the object's class; `origin` is that name with its module.
    """

    origin = "an unknown class"

    def __new__(cls, *args: object, **kwargs: object) -> Inert:
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        for part in state if isinstance(state, tuple) else (state,):  # a tuple: attributes, and slots
            if isinstance(part, dict):
                self.__dict__.update({key: value for key, value in part.items() if isinstance(key, str)})

    def _nothing(self, *args: object, **kwargs: object) -> Inert:
        return Inert()

    # An object may be pickled as a list, a dict, a set, or a function of something.
    __call__ = __setitem__ = append = extend = add = update = _nothing


class InertUnpickler(pickle._Unpickler):
    """Finds the functions of `LET_IN`, and an `Inert` class for every other name.

    Based on the interpreter's unpickler in Python, whose memo is a dict. The one in C allocates memory for the largest
    index in the file, so that a damaged byte there could use up all memory.
    """

    def __init__(self, file: Any, **options: Any) -> None:
        super().__init__(file, **options)
        self._found: dict[str, object] = {}

    def find_class(self, module: str, name: str) -> object:
        full = f"{module}.{name}".replace("__builtin__.", "builtins.")
        if full not in self._found:
            self._found[full] = _dtype(module, name) or _allowed(full) or _record(full)
        return self._found[full]


def _load(file: Any, **options: Any) -> object:
    return InertUnpickler(file, **options).load()


# For `torch.load(..., pickle_module=PICKLE_MODULE)`.
PICKLE_MODULE = SimpleNamespace(__name__="inert", Unpickler=InertUnpickler, load=_load)


def _allowed(full: str) -> object:
    """The function or type of `LET_IN`; a function in a new wrapper, since the pickle could set attributes on it."""
    known = LET_IN.get(full)
    if known is None or isinstance(known, type):  # types of the interpreter cannot be changed
        return known
    return lambda *args: known(*args)


def _record(full: str) -> type:
    """A subclass of `Inert` for the name. That of an untyped storage has the dtype that torch counts its items by."""
    facts = {"origin": full} | ({"dtype": torch.uint8} if full.endswith(".UntypedStorage") else {})
    return type(full.rpartition(".")[2], (Inert,), facts)


def _dtype(module: str, name: str) -> torch.dtype | None:
    found = getattr(torch, name, None) if module == "torch" else None
    return found if isinstance(found, torch.dtype) else None


def _tensor(storage: object, offset: int, size: tuple, stride: tuple, *_: object) -> torch.Tensor:
    return torch._utils._rebuild_tensor_v2(storage, offset, size, stride, False, OrderedDict())


def _tensor_with_dtype(
    storage: object,
    offset: int,
    size: tuple,
    stride: tuple,
    requires_grad: bool,
    hooks: object,
    dtype: torch.dtype,
    *_: object,
) -> torch.Tensor:
    return torch._utils._rebuild_tensor_v3(storage, offset, size, stride, False, OrderedDict(), dtype)


def _parameter(data: torch.Tensor, *_: object) -> torch.Tensor:
    return data


def _of_subclass(function: Callable[..., object], kind: object, args: tuple, state: object) -> object:
    return function(*args)


def _dict(*args: object) -> dict:
    """A plain dict for a defaultdict (its argument is the default factory) or a Counter (its argument is a dict)."""
    return dict(args[0]) if args and isinstance(args[0], dict) else {}


def _array(*_: object) -> np.ndarray:
    """An empty array, whose shape and content the pickle sets next."""
    return np.ndarray((0,), "b")


def _array_of_bytes(raw: bytes, dtype: np.dtype, shape: tuple, order: Literal["C", "F"]) -> np.ndarray:
    return np.frombuffer(raw, dtype).reshape(shape, order=order)


def _scalar(dtype: np.dtype, raw: bytes) -> np.generic:
    return np.frombuffer(raw, dtype)[0]


def _bytes(text: str = "", encoding: str = "latin1") -> bytes:
    return text.encode("latin1")


LET_IN: dict[str, Callable[..., object]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_with_dtype,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _of_subclass,
    "torch.Size": tuple,
    "collections.OrderedDict": OrderedDict,
    "collections.defaultdict": _dict,
    "collections.Counter": _dict,
    "_codecs.encode": _bytes,
    "builtins.bytes": _bytes,
    **{f"builtins.{kind.__name__}": kind for kind in (dict, list, tuple, set, frozenset, complex)},
    "numpy.dtype": lambda *args: np.dtype(*args),
    **{
        f"{package}.{name}": function
        for package in ("numpy.core", "numpy._core")
        for name, function in (
            ("multiarray.scalar", _scalar),
            ("multiarray._reconstruct", _array),
            ("numeric._frombuffer", _array_of_bytes),
        )
    },
}
