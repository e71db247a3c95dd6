"""Chooses the kernels of a run: the fastest, or with --deterministic those whose results repeat to the last bit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dassl.utils import InputError

WORKSPACE, FIXED = "CUBLAS_WORKSPACE_CONFIG", (":4096:8", ":16:8")
NO_KERNEL = "does not have a deterministic implementation"  # of PyTorch's error


@contextmanager
def chosen_kernels(deterministic: bool, benchmark: bool = False) -> Iterator[None]:
    """A context in which results repeat to the last bit; operations that cannot are an error. Restores torch's
    settings.

    deterministic: False: only `benchmark` is applied. benchmark: whether cuDNN may time its convolutions and use the
    fastest, which may differ between runs. Raises InputError for a CUBLAS_WORKSPACE_CONFIG with which cuBLAS is not
    deterministic, and for an operation without a deterministic kernel.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic, torch.are_deterministic_algorithms_enabled()
    cudnn.benchmark = benchmark and not deterministic
    if deterministic:
        given = os.environ.setdefault(WORKSPACE, FIXED[0])  # read when cuBLAS is first used
        if given not in FIXED:
            raise InputError(f"{WORKSPACE} is {given!r}, but --deterministic needs {' or '.join(FIXED)}; unset it.")
        cudnn.deterministic = True
        torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        if not deterministic or NO_KERNEL not in str(error):
            raise
        operation = str(error).partition(" ")[0]
        raise InputError(
            f"--deterministic: PyTorch has no kernel for {operation} that gives the same numbers each time, and this "
            "run needs it; run without --deterministic."
        ) from error
    finally:
        cudnn.benchmark, cudnn.deterministic = before[:2]
        torch.use_deterministic_algorithms(before[2])
