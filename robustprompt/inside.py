"""A call of the Python interface runs as a command of the checkout would: from its folder, with its log in log.txt."""

from __future__ import annotations

import io
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import numpy as np
import torch

from dassl.utils import InputError
from dassl.utils.ends import error_sentence
from runs.words import check_folder

from .checkout import enter


@contextmanager
def in_checkout(log: bool = False) -> Iterator[None]:
    """Inside, the checkout is the current folder, and sys.argv may be set. log: show what is printed.

    Everything is put back afterwards: sys.argv, sys.stdout, which a run replaces to write its log, and the random
    generators, which a run seeds. Errors with a sentence for the user, such as a full GPU, become an InputError with
    that sentence.
    """
    folder, argv, stdout = Path.cwd(), sys.argv, sys.stdout
    drawn = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 (the global one)
    try:
        os.chdir(enter())
        with redirect_stdout(stdout if log else io.StringIO()):
            yield
    except InputError:
        raise
    except Exception as error:
        if sentence := error_sentence(error):
            raise InputError(sentence) from error
        raise
    finally:
        sys.stdout, sys.argv = stdout, argv
        os.chdir(folder)
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])  # noqa: NPY002
        torch.set_rng_state(drawn[2])


def seen_from_checkout(folder: str | Path, name: str) -> str:
    """A folder of the caller as the checkout's commands name it: relative to the checkout where it lies in it. Raises
    InputError if it cannot be a folder. name: the argument, for the sentence."""
    check_folder(str(folder), name)
    path, root = Path(folder).expanduser().absolute(), enter()
    path = Path(os.path.normpath(path))
    return str(path.relative_to(root)) if root in path.parents else str(path)
