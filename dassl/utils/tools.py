"""Helpers without a module of their own: file check, environment report.

Upstream has image reading, files, registry checks and seeding in this module too; they are found here as well.
"""

from __future__ import annotations

import os
import platform
import warnings

from .files import download_url, listdir_nohidden, mkdir_if_missing, read_json, write_json
from .images import read_image
from .lazy import lazy
from .registry import check_availability, get_most_similar_str_to_a_from_b

__all__ = [
    "check_availability",
    "check_isfile",
    "collect_env_info",
    "download_url",
    "get_most_similar_str_to_a_from_b",
    "listdir_nohidden",
    "mkdir_if_missing",
    "read_image",
    "read_json",
    "set_random_seed",  # noqa: F822  on first use
    "tolist_if_not",
    "write_json",
]
__getattr__ = lazy(__name__, {"set_random_seed": f"{__package__}.randomness"})  # which imports torch


def check_isfile(fpath: str) -> bool:
    """Whether the file is there; warns if not."""
    found = os.path.isfile(fpath)
    if not found:
        warnings.warn(f'No file found at "{fpath}"', stacklevel=2)
    return found


def tolist_if_not(x: object) -> list:
    """`x` if it is a list, else `[x]` (a tuple is wrapped too)."""
    return x if isinstance(x, list) else [x]


def collect_env_info() -> str:
    """torch's report on the environment and the Pillow version, for the head of the log.

    The report takes seconds. With DASSL_ENV_INFO=short in the environment only versions and devices are given.
    """
    import PIL
    import torch

    if os.environ.get("DASSL_ENV_INFO") == "short":
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        lines = [
            f"Python version: {platform.python_version()} ({platform.platform()})",
            f"PyTorch version: {torch.__version__}",
            f"CUDA used to build PyTorch: {torch.version.cuda}",
            f"GPUs: {', '.join(names) or 'none'}",
        ]
    else:
        from torch.utils.collect_env import get_pretty_env_info

        lines = [get_pretty_env_info()]
    return "\n".join([*lines, f"        Pillow ({PIL.__version__})"])
