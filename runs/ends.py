"""How a run that fails ends: with one sentence, where it is the input or the machine."""

from __future__ import annotations

import errno
import os
import re

import torch

from clipkit import InputError as BackboneInputError
from dassl.utils import InputError, input_error_sentence

TOLD = (InputError, BackboneInputError, OSError, torch.OutOfMemoryError)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def no_room(text: str) -> OSError | None:
    """The error of which `error_sentence` made the last line of `text`, if there was no room to write."""
    if not (found := re.search(r"error: (.+) cannot be written \((.+)\); make room", text.strip().split("\n")[-1])):
        return None
    file, reason = found.groups()
    return next((OSError(code, reason, file) for code in NO_ROOM if os.strerror(code) == reason), None)


def error_sentence(error: Exception) -> str:
    """For an error of the kinds in TOLD: what is wrong and what to do; "" for an error of the program."""
    if isinstance(error, (InputError, BackboneInputError)):
        return input_error_sentence(error)
    if isinstance(error, torch.OutOfMemoryError):
        return f"the GPU's memory is full; lower DATALOADER.TRAIN_X.BATCH_SIZE or TEST.BATCH_SIZE ({error})."
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return f"{error.filename or 'a file'} cannot be written ({error.strerror}); make room, or write elsewhere."
    return ""
