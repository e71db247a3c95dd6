"""A tiny image folder, a data set and a trainer on it, all through the public API."""

import os
import sys

import pytest
import torch

sys.path.insert(0, os.path.dirname(__file__))
import toy  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def image_root(tmp_path_factory):
    """Folder with toy/<class>/<n>.png: 4 classes, 9 images each."""
    root = tmp_path_factory.mktemp("data")
    toy.write_images(root)
    return str(root)


@pytest.fixture
def make_cfg(image_root, tmp_path):
    """cfg of a toy run; further settings as KEY, value pairs."""

    def make(*opts):
        return toy.make_cfg(image_root, str(tmp_path / "out"), *opts)

    return make


@pytest.fixture(autouse=True)
def keep_stdout():
    """setup_logger replaces sys.stdout; put it back."""
    before = sys.stdout
    yield
    if isinstance(sys.stdout, type(before)) and sys.stdout is before:
        return
    sys.stdout.close()
    sys.stdout = before
