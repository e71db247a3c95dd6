"""Precision of a run: fp32, amp and fp16 as in CoOp's code, and bf16."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext

import torch

from clipkit import InputError

logger = logging.getLogger(__name__)

PRECISIONS = ("fp32", "amp", "fp16", "bf16")


def choose_precision(wanted: str, device: torch.device) -> str:
    """The precision to run: `wanted`, but on a CPU fp32 instead of amp and fp16, with a log line."""
    if wanted not in PRECISIONS:
        raise InputError(f"PREC is {wanted!r}, but must be one of {', '.join(PRECISIONS)}.")
    if device.type == "cpu" and wanted in ("amp", "fp16"):
        logger.info("PREC %s needs a GPU; this run uses fp32 on the CPU", wanted)
        return "fp32"
    return wanted


def autocast(precision: str, device: torch.device, training: bool = True) -> AbstractContextManager:
    """amp: fp16 autocast while training (tests run fp32, as in the references); bf16: bfloat16 autocast everywhere."""
    if precision == "amp" and training:
        return torch.autocast(device.type, torch.float16)
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
