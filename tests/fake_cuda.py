"""Tensors on a CUDA device that is not there: their numbers lie in this machine's memory, and their rules are a GPU's.

Within `FakeCuda()` a tensor that is moved to "cuda" becomes a `CudaTensor`. An operation on it is computed by the CPU's
kernels, after a look at what a GPU would refuse or wait for:

- a tensor in the host's memory beside one on the device is a RuntimeError, but for single numbers, as on a GPU;
- what makes the host wait for the device (`.item()`, `.cpu()`, `.tolist()`, `bool()`, a mask as an index, `nonzero`)
  is written down in `FakeCuda.waits`, with the function of ours that asked.

`torch.autocast` has CUDA's lists of operations; GradScaler and `tensor.device` behave as with a GPU. Kernels' speed,
their rounding and what they lack for a dtype are the CPU's. PyTorch's own FakeTensorMode has no numbers, so nothing
that reads one can go on; and its backward pass on "cuda" needs a driver where PyTorch was built for CUDA.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

aten = torch.ops.aten
CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
ROOT = Path(__file__).parents[1]
OURS = tuple(f"{ROOT / name}/" for name in ("trainers", "clipkit", "dassl", "attacks", "language"))

# What makes the host wait, as the size or the place of the result depends on numbers.
WAITING = {
    aten._local_scalar_dense, aten.item, aten.equal, aten.is_nonzero, aten.nonzero, aten.masked_select, aten._unique2,
    aten.unique_dim, aten.unique_consecutive, aten.bincount, aten.histc, aten._linalg_eigh, aten._linalg_svd,
}  # fmt: skip
MOVES = {aten._to_copy, aten.copy_, aten.set_, aten.is_same_size}
RESHAPED = {aten.squeeze_, aten.unsqueeze_, aten.t_, aten.transpose_}
INDEXED = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_, aten._unsafe_index}


class CudaTensor(Tensor):
    """Numbers in the host's memory, `held`, under the name of the device."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # results keep the class that `compute` gave them

    @staticmethod
    def __new__(cls, held: Tensor) -> CudaTensor:
        self = torch.Tensor._make_subclass(cls, held, False)  # for autograd's engine and autocast it is the CPU's
        self.held = held
        return self

    device = property(lambda self: CUDA)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_cpu = property(lambda self: False)  # type: ignore[assignment]

    def get_device(self) -> int:
        return 0

    def __repr__(self, **kwargs: Any) -> str:  # type: ignore[override]
        return f"CudaTensor({self.held!r})"

    def numpy(self, **kwargs: Any):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    __array__ = numpy  # type: ignore[assignment]

    def tolist(self):
        FakeCuda.wait("tolist")
        return self.held.tolist()

    def __deepcopy__(self, memo: dict) -> Tensor:
        if id(self) not in memo:
            copied = self.detach().clone().requires_grad_(self.requires_grad)
            if hasattr(self, "_is_param"):
                copied._is_param = True
            memo[id(self)] = copied
        return memo[id(self)]

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


def held(x: object) -> object:
    return x.held if isinstance(x, CudaTensor) else x


def compute(func, args: tuple, kwargs: dict) -> object:
    """The result of an operation with at least one tensor on the device, or that is asked to put it there."""
    packet = func.overloadpacket
    if packet is aten._pin_memory:
        return args[0]
    flat, spec = tree_flatten((args, kwargs))
    tensors = [x for x in flat if isinstance(x, Tensor)]
    on_device = [isinstance(x, CudaTensor) for x in tensors]
    target = kwargs.get("device")
    target = None if target is None else torch.device(target).type
    if target == "cpu" and not (FakeCuda.asked and torch._C._current_graph_task_id() < 0):
        target = "cuda"  # PyTorch's own, which takes a CudaTensor for one of the CPU
    if packet in INDEXED:
        check_indexed(args)
    elif packet not in MOVES and any(on_device):
        lost = [x for x, there in zip(tensors, on_device, strict=True) if not there and x.dim() > 0]
        if lost:
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! "
                f"({func} of shapes {[tuple(x.shape) for x in tensors]})"
            )
    if any(on_device) and (
        packet in WAITING
        or (packet is aten.repeat_interleave and kwargs.get("output_size") is None)
        or (packet is aten._to_copy and target == "cpu")
        or (packet is aten.copy_ and not on_device[0])
    ):
        FakeCuda.wait(packet.__name__)
    flat = [CPU if isinstance(x, torch.device) else held(x) for x in flat]
    plain_args, plain_kwargs = tree_unflatten(flat, spec)
    if "pin_memory" in plain_kwargs:
        plain_kwargs["pin_memory"] = None
    out = func(*plain_args, **plain_kwargs)
    if packet is aten._to_copy and target is not None:
        there = target == "cuda"
    elif packet is aten.copy_:
        return args[0]
    else:
        there = target == "cuda" if target is not None else any(on_device)
    if packet in RESHAPED:
        with torch._C._DisableTorchDispatch():
            func(*args, **kwargs)  # the shape of the tensor itself, which is that of `held`
    known = {id(x.held): x for x in tensors if isinstance(x, CudaTensor)}
    known |= {id(x): x for x in tensors if not isinstance(x, CudaTensor)}

    def named(x: object) -> object:
        if not isinstance(x, Tensor) or isinstance(x, CudaTensor):
            return x
        return known[id(x)] if id(x) in known else CudaTensor(x) if there else x

    return tree_map(named, out)


def check_indexed(args: tuple) -> None:
    """x[index]: where x is in the host's memory, so must the index be. A mask has the host wait for its count."""
    x, indices = args[0], [i for i in args[1] if i is not None]
    if not isinstance(x, CudaTensor) and any(isinstance(i, CudaTensor) for i in indices):
        raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
    values = args[2:3]
    if isinstance(x, CudaTensor) and any(
        isinstance(v, Tensor) and v.dim() > 0 and not isinstance(v, CudaTensor) for v in values
    ):
        raise RuntimeError("Expected all tensors to be on the same device: values of an index_put are on the cpu")
    if isinstance(x, CudaTensor) and any(i.dtype in (torch.bool, torch.uint8) for i in indices):
        FakeCuda.wait("a mask as an index")


class HostGenerator(torch.Generator):
    """A generator of any device, with the CPU's draws."""

    def __new__(cls, device: object = "cpu"):
        return super().__new__(cls)


class _FirstDevice(TorchFunctionMode):
    """ "cuda" is "cuda:0" without a look at the driver, which knows the current one."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if is_cuda(kwargs.get("device")):
            if func in (torch.tensor, torch.as_tensor, torch.asarray):  # made in the host's memory, then moved
                del kwargs["device"]
                return func(*args, **kwargs).to(CUDA)
            kwargs["device"] = CUDA
        if func is Tensor.type_as or (func is Tensor.to and len(args) > 1 and isinstance(args[1], Tensor)):
            func, args = Tensor.to, (args[0], args[1].device, args[1].dtype, *args[2:])
        if func in (Tensor.cuda, Tensor.cpu):
            func, args = Tensor.to, (args[0], CUDA if func is Tensor.cuda else CPU)
        if func is Tensor.to:
            return moved(*args, **kwargs)
        outer, FakeCuda.asked = FakeCuda.asked, self.names_a_device(func, args, kwargs)
        try:
            return func(*args, **kwargs)
        finally:
            FakeCuda.asked = outer

    def names_a_device(self, func, args: tuple, kwargs: dict) -> bool:
        """Whether this call says where its result goes, or knows of no tensor on the device."""
        if func is Tensor.copy_ or kwargs.get("device") is not None:
            return True
        if any(isinstance(x, torch.device) or x == "cpu" for x in args if isinstance(x, str | torch.device)):
            return True
        return not any(isinstance(x, CudaTensor) for x in tree_flatten((args, kwargs))[0])


def moved(x: Tensor, *args: Any, copy: bool = False, **kwargs: Any) -> Tensor:
    """x.to(...), of a device or a dtype or both."""
    device, dtype, _, layout = torch._C._nn._parse_to(*args, **kwargs)
    there = isinstance(x, CudaTensor) if device is None else device.type == "cuda"
    if there == isinstance(x, CudaTensor) and not copy and dtype in (None, x.dtype):
        return x
    options = {"dtype": dtype, "device": CUDA if there else CPU, "memory_format": layout}
    return aten._to_copy.default(x, **{key: value for key, value in options.items() if value is not None})


# What CUDA's autocast computes in fp32 and the CPU's does not.
NAMED = (
    "exp expm1 log log10 log1p log2 reciprocal rsqrt pow.Tensor_Scalar pow.Tensor_Tensor pow.Scalar softplus sum "
    "sum.dim_IntList cumsum cumprod softmax.int log_softmax.int logsumexp layer_norm native_layer_norm group_norm "
    "norm.Scalar norm.ScalarOpt_dim linalg_vector_norm linalg_matrix_norm cosine_similarity renorm dist acos asin"
)
FP32 = NAMED.split()
ABOVE = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCPU)


def in_fp32(name: str):
    packet, _, overload = name.partition(".")
    func = getattr(getattr(aten, packet), overload or "default")

    def computed(*args, **kwargs):
        half = lambda x: isinstance(x, Tensor) and x.dtype == torch.float16  # noqa: E731
        args, kwargs = tree_map(lambda x: x.float() if half(x) else x, (args, kwargs))
        with torch._C._ExcludeDispatchKeyGuard(ABOVE):
            return func(*args, **kwargs)

    return computed


class FakeAutocast(torch.autocast):
    """CUDA's autocast: that of the CPU in fp16, with the operations of `FP32` besides."""

    def __init__(self, device_type: str, dtype: torch.dtype | None = None, **kwargs: Any) -> None:
        self.of_cuda = device_type == "cuda"
        super().__init__("cpu", (dtype or torch.float16) if self.of_cuda else dtype, **kwargs)

    def __enter__(self):
        if self.of_cuda and FakeCuda.library is None:
            FakeCuda.library = torch.library.Library("aten", "IMPL", "AutocastCPU")
            for name in FP32:
                FakeCuda.library.impl(name, in_fp32(name))
        return super().__enter__()


def is_cuda(x: object) -> bool:
    return isinstance(x, str | torch.device) and str(x).split(":")[0] == "cuda"


class FakeCuda(TorchDispatchMode):
    """Within the block "cuda" is such a device. Waits are counted within `watch`ed calls."""

    waits: Counter[tuple[str, str, str]] = Counter()  # (file, function, operation) of ours
    watching = False
    library: torch.library.Library | None = None  # of autocast's kernels
    asked = True  # whether a call that gives a device is that of Python

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # so that the compiler, which is not asked here, is not imported

    def __enter__(self):
        FakeCuda.waits.clear()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(torch.cuda, "is_available", lambda: True)
        self._patch.setattr(torch.cuda, "_lazy_init", lambda: None)
        self._patch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
        self._patch.setattr(torch, "autocast", FakeAutocast)
        self._patch.setattr(torch, "Generator", HostGenerator)
        self._patch.setattr(torch.cuda, "get_device_name", lambda device=None: "a GPU that is not there")
        self._swapped = torch.__future__.get_swap_module_params_on_conversion()
        torch.__future__.set_swap_module_params_on_conversion(True)  # a parameter that moves changes its class
        self._first = _FirstDevice()
        self._first.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        if FakeCuda.library is not None:
            FakeCuda.library._destroy()
            FakeCuda.library = None
        self._first.__exit__(*error)
        torch.__future__.set_swap_module_params_on_conversion(self._swapped)
        self._patch.undo()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})

    @classmethod
    def wait(cls, operation: str) -> None:
        if cls.watching:
            cls.waits[(*asker(), operation)] += 1


def asker() -> tuple[str, str]:
    """The innermost function of ours on the stack: its file, from the root, and its name."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(OURS):
            return str(Path(code.co_filename).relative_to(ROOT)), code.co_name
        frame = frame.f_back
    return "", ""
