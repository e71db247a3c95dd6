"""Importing stays cheap. The public names and their places are in test_contract.py."""

import subprocess
import sys

import pytest


def test_utils_refuses_unknown_name():
    import dassl.utils

    with pytest.raises(AttributeError):
        _ = dassl.utils.no_such_thing


def test_imports_are_lazy():
    """The configuration needs no torch; the engine none of the heavy or optional packages."""
    code = (
        "import sys, dassl.config; assert 'torch' not in sys.modules\n"
        "import dassl.engine\n"
        "print([m for m in ('sklearn', 'scipy', 'tensorboard', 'gdown', 'pandas', 'wilds') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
