"""Decoded training images in memory: the same pixels and batches, fewer reads, never more memory than allowed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from toy import make_cfg, write_images

from dassl.data import DataManager
from dassl.data.decoded import DecodedImages
from dassl.utils import InputError


@pytest.fixture
def files(tmp_path) -> list[str]:
    rng = np.random.default_rng(0)
    paths = []
    for i in range(3):
        path = tmp_path / f"{i}.png"
        Image.fromarray(rng.integers(0, 255, (10, 20, 3), dtype=np.uint8)).save(path)
        paths.append(str(path))
    return paths


def test_each_file_is_decoded_once(files, monkeypatch):
    from dassl.data import decoded

    read = []
    monkeypatch.setattr(decoded, "read_image", lambda path, real=decoded.read_image: read.append(path) or real(path))
    images = DecodedImages(10**6)
    first = [np.asarray(images(path)) for path in files]
    again = [np.asarray(images(path)) for path in files]
    assert read == files
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_an_image_may_be_changed_without_harm(files):
    images = DecodedImages(10**6)
    images(files[0])
    before = np.array(images(files[0]))
    images(files[0]).paste((1, 2, 3), (0, 0, 20, 10))
    assert np.array_equal(np.asarray(images(files[0])), before)


def test_memory_is_bounded(files):
    images = DecodedImages(2 * 800)  # 10 x 20 pixels of 4 bytes, twice
    for path in files * 2:
        images(path)
    assert images.used == 1600


def test_a_damaged_file_is_still_named(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="bad.png"):
        DecodedImages(10**6)(str(tmp_path / "bad.png"))


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_with_and_without(tmp_path, workers):
    write_images(str(tmp_path))

    def epochs(megabytes: int) -> list[torch.Tensor]:
        words = ("DATALOADER.DECODED_CACHE_MB", megabytes, "DATALOADER.NUM_WORKERS", workers)
        loader = DataManager(make_cfg(str(tmp_path), str(tmp_path), *words)).train_loader_x
        found = []
        for epoch in range(3):
            loader.set_epoch(epoch)
            found += [batch["img"] for batch in loader]
        loader.stop_workers()
        return found

    for a, b in zip(epochs(64), epochs(0), strict=True):
        assert torch.equal(a, b)
