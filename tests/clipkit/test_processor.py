"""The name of a CPU in cache keys and records: another kind of processor rounds in another order."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest
import torch

from clipkit import arithmetic
from clipkit.processor import CHOICES, described, processor

CPU = torch.device("cpu")
INTEL = {"vendor_id": "GenuineIntel", "cpu family": "6", "model": "143", "model name": "Intel(R) Xeon(R) 8481C"}
ARM = {"processor": "0", "BogoMIPS": "50.00", "CPU implementer": "0x41", "CPU part": "0xd0c"}


@pytest.fixture
def anew():
    processor.cache_clear()
    yield
    processor.cache_clear()


def test_names_tell_generations_apart():
    assert described(INTEL) == "Intel(R) Xeon(R) 8481C, family 6, model 143"
    assert described(INTEL | {"model": "85"}) != described(INTEL)
    assert described(ARM) == "maker 0x41, part 0xd0c" and described({"flags": "fma avx2"}) == ""


def test_the_instruction_set_and_chosen_kernels_belong_to_it(anew, monkeypatch):
    for variable in CHOICES:
        monkeypatch.delenv(variable, raising=False)
    name = processor()
    assert name.endswith(torch.backends.cpu.get_cpu_capability())
    processor.cache_clear()
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    assert processor() == f"{name}, MKL_CBWR=AVX2"


def test_without_the_file_of_linux(anew, monkeypatch):
    def absent(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", absent)
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert processor().startswith(f"{platform.machine()}, ")


def test_a_cpu_of_another_kind_has_other_arithmetic(monkeypatch):
    here = arithmetic(CPU)
    threads = torch.get_num_threads()
    assert here == f"{processor()}, {threads} thread{'s' if threads > 1 else ''}"
    monkeypatch.setattr(sys.modules["clipkit.fingerprint"], "processor", lambda: "Abacus, family 1")
    assert arithmetic(CPU) == here.replace(processor(), "Abacus, family 1") != here
