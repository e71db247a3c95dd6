"""Lists the GPUs for workers, as entries of CUDA_VISIBLE_DEVICES, without importing torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from dassl.utils import InputError


def gpus_of(text: str) -> list[str]:
    """The GPUs of an argument of `--gpus`: "all", "none", or numbers with commas between.

    [""] hides all GPUs; [] means that the machine has none. Raises InputError for anything else.
    """
    if text == "none":
        return [""]
    if text == "all":
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        return [name for name in visible.split(",") if name] if visible is not None else _count()
    names = [name.strip() for name in text.split(",")]
    if not all(name.isdecimal() or name.startswith(("GPU-", "MIG-")) for name in names):
        raise InputError(f"--gpus is {text!r}, but must be all, none, or numbers such as 0,1.")
    if len(set(names)) < len(names):
        raise InputError(f"--gpus {text} names a GPU twice; with more --jobs than GPUs they are shared anyway.")
    return names


def check_gpus(names: Sequence[str]) -> None:
    """Raises InputError for a GPU that this machine does not have, since its runs would silently use the CPU."""
    wanted = [name for name in names if name]
    if not wanted:
        return
    listed = _listed()
    if listed is None:  # without nvidia-smi, torch counts the GPUs
        from torch import cuda

        there = [str(i) for i in range(cuda.device_count())]
        missing = [name for name in wanted if name.isdecimal() and name not in there]
        missing += wanted[:1] if not there and not missing else []
    else:
        there = _count()
        text = "\n".join(listed)
        missing = [name for name in wanted if name not in there and (name.isdecimal() or name not in text)]
    if missing:
        has = f"has {', '.join(there)}" if there else "has no GPU"
        raise InputError(f"--gpus names {missing[0]}, but this machine {has}; name others, or give --gpus none.")


def _count() -> list[str]:
    gpus = [line for line in _listed() or [] if line.startswith("GPU ")]
    return [str(i) for i in range(len(gpus))]


def _listed() -> list[str] | None:
    """Lines of `nvidia-smi -L`, one for each GPU and part of a GPU; None without nvidia-smi, [] if it fails."""
    if not shutil.which("nvidia-smi"):
        return None
    try:
        found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return found.splitlines()
