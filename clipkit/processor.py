"""Names what the last bits of a product depend on when a CPU computes it."""

import functools
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import torch

# What a maker calls a generation of processors; matrix libraries choose their kernels by it.
FIELDS = {
    "model name": "",
    "cpu family": "family ",
    "model": "model ",
    "CPU implementer": "maker ",
    "CPU part": "part ",
}
# Variables by which the libraries are told to take other kernels than they would.
CHOICES = ("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "OPENBLAS_CORETYPE")


@functools.cache
def processor() -> str:
    """The CPU's name and generation, the instruction set that torch uses, and variables that choose other kernels, such
    as "AMD EPYC, family 25, model 1, AVX2".

    Two CPUs of other names may round a sum of products in another order. Called often, so it is read once.
    """
    parts = [_name(), torch.backends.cpu.get_cpu_capability()]
    return ", ".join(parts + [f"{key}={os.environ[key]}" for key in CHOICES if os.environ.get(key)])


def _name() -> str:
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0]
    except OSError:  # not Linux
        return platform.processor() or platform.machine() or "cpu"
    lines = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return described({key.strip(): value.strip() for key, value in lines}) or platform.machine() or "cpu"


def described(facts: Mapping[str, str]) -> str:
    """The name of the CPU that has these entries in /proc/cpuinfo; "" where they say nothing of it."""
    return ", ".join(f"{word}{facts[key]}" for key, word in FIELDS.items() if facts.get(key))
