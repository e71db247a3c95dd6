"""Which GPUs workers get, as entries of CUDA_VISIBLE_DEVICES; without torch."""

from __future__ import annotations

import os
import shutil
import subprocess

from dassl.utils import InputError


def gpus_of(text: str) -> list[str]:
    """From `--gpus`: "all" there are, "none", or numbers with commas. [""] hides them all, []: there are none.

    Raises InputError for anything else.
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


def _count() -> list[str]:
    if not shutil.which("nvidia-smi"):
        return []
    try:
        found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(i) for i, line in enumerate(line for line in found.splitlines() if line.startswith("GPU "))]
