"""Reading of MATLAB annotation files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dassl.utils import InputError

from .lists import whole_number

if TYPE_CHECKING:
    import numpy as np


def mat_number(value: object, origin: str) -> int:
    """A class number of a .mat file, which counts from 1. InputError for anything else."""
    number = whole_number(value.item() if getattr(value, "size", 0) == 1 else value)
    if number is None or number < 1:
        raise InputError(f"{origin}: {value!r} is not the number of a class; fetch the file again.")
    return number


def read_mat(path: str, variable: str) -> np.ndarray:
    """A variable of a .mat file, as an array of one dimension (struct arrays: of records). InputError if damaged."""
    import numpy as np
    from scipy.io import loadmat  # takes a while to import

    try:
        return np.atleast_1d(loadmat(path, squeeze_me=True)[variable])
    except Exception as error:  # loadmat raises nearly anything on a damaged file
        raise InputError(f"{path}: {variable!r} cannot be read from it ({error}); fetch the file again.") from error
