"""How a run that fails ends: with one sentence, where it is the input or the machine."""

from __future__ import annotations

import errno

import torch

from clipkit import InputError as BackboneInputError
from dassl.utils import InputError, input_error_sentence

TOLD = (InputError, BackboneInputError, OSError, torch.OutOfMemoryError)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def error_sentence(error: Exception) -> str:
    """For an error of the kinds in TOLD: what is wrong and what to do; "" for an error of the program."""
    if isinstance(error, (InputError, BackboneInputError)):
        return input_error_sentence(error)
    if isinstance(error, torch.OutOfMemoryError):
        return f"the GPU's memory is full; lower DATALOADER.TRAIN_X.BATCH_SIZE or TEST.BATCH_SIZE ({error})."
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return f"{error.filename or 'a file'} cannot be written ({error.strerror}); make room, or write elsewhere."
    return ""
