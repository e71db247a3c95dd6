"""The text tower of training steps through torch.compile (TRAIN.COMPILE).

What is compiled sums in an order of its own, so its numbers are those of the other way to rounding only: the key is one
of those that identify a run. Tests, and passes without a gradient, are never compiled.
"""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor

from clipkit import InputError, SplitText, TextEncoder
from clipkit.deep_prompts import Prompts
from clipkit.openai_clip import CLIP

BACKEND = "inductor"
OFF = "set TRAIN.COMPILE False"


class CompiledTextEncoder(TextEncoder):
    """A text encoder whose passes with a gradient are compiled, once for each shape of prompts."""

    def __init__(self, clip_model: CLIP) -> None:
        from torch._dynamo.exc import TorchDynamoException  # imported here: it takes seconds

        super().__init__(clip_model)
        self._failure = TorchDynamoException
        self._compiled = torch.compile(super().encode, dynamic=False, backend=BACKEND)

    def encode(
        self,
        text: SplitText,
        replace: Prompts = None,
        insert: Prompts = None,
        start_block: int = 1,
        replace_weight: float = 1.0,
        replace_at: int | None = None,
    ) -> Tensor:
        more = (replace, insert, start_block, replace_weight, replace_at)
        learned = text.prefix.requires_grad or any(group.tokens.requires_grad for group in text.groups)
        if not (learned and torch.is_grad_enabled()):
            return super().encode(text, *more)
        try:
            return self._compiled(text, *more)
        except self._failure as error:
            why = " ".join(str(error).strip().splitlines()[:2])
            raise InputError(f"TRAIN.COMPILE is True, but torch.compile fails here ({why}); {OFF}.") from error


def check_compiler(method: str, fits: bool, device: torch.device) -> None:
    """Raises InputError where TRAIN.COMPILE cannot work. fits: whether the method learns on the text side alone."""
    if not fits:
        text = "TRAIN.COMPILE compiles the text passes of methods that learn a context in front of class names alone"
        raise InputError(f"{text}, which {method} is not; {OFF}.")
    if device.type == "cpu" and not has_cpp_compiler():
        raise InputError(f"TRAIN.COMPILE needs a C++ compiler on a CPU, and none is found: install g++, or {OFF}.")
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise InputError(f"TRAIN.COMPILE needs the package triton on a GPU, and it is not there: install it, or {OFF}.")


def has_cpp_compiler() -> bool:
    """Whether torch finds the compiler that it would call ($CXX, else g++ or clang++)."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        return bool(get_cpp_compiler())
    except InvalidCxxCompiler:
        return False
