"""Import paths from before the rooms: every old one leads to the module that has what it had."""

from __future__ import annotations

import importlib
import sys

import pytest

import datasets
import trainers  # noqa: F401
from datasets.reading.moved import MOVED as DATASETS
from trainers.shared.moved import MOVED as TRAINERS


@pytest.mark.parametrize("package, moved", [("trainers", TRAINERS), ("datasets", DATASETS)])
def test_old_paths_are_the_new_modules(package, moved):
    assert len(moved) > 15
    for old, new in moved.items():
        with pytest.warns(DeprecationWarning, match=f"{package}.{old} is {package}.{new} now"):
            sys.modules.pop(f"{package}.{old}", None)
            found = importlib.import_module(f"{package}.{old}")
        assert found is importlib.import_module(f"{package}.{new}")
        assert found.__name__ == found.__spec__.name == f"{package}.{new}"


def test_what_is_nowhere_is_still_missing():
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'datasets\.never'"):
        importlib.import_module("datasets.never")
    assert not hasattr(datasets, "never")
