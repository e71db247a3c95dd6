"""Reading of MATLAB annotation files."""

from __future__ import annotations

from dassl.utils import InputError


def read_mat(path: str, variable: str):
    """A variable of a .mat file, as an array of one dimension (struct arrays: of records). InputError if damaged."""
    import numpy as np
    from scipy.io import loadmat  # takes a while to import

    try:
        return np.atleast_1d(loadmat(path, squeeze_me=True)[variable])
    except Exception as error:  # loadmat raises nearly anything on a damaged file
        raise InputError(f"{path}: {variable!r} cannot be read from it ({error}); fetch the file again.") from error
