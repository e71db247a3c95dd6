"""Our RandomResizedCrop, ToTensor and Normalize against torchvision's: same draws, same bits, whatever the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as tv

from dassl.data.transforms.quick import Normalize, RandomResizedCrop, ToTensor

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


# the last two are so long that no draw may fit, and the largest part in the middle is taken
@pytest.mark.parametrize("size", [(48, 48), (31, 64), (64, 31), (1, 1), (7, 200), (200, 7)])
@pytest.mark.parametrize("scale", [(0.6, 1.0), (0.08, 1.0)])
def test_crop(size, scale):
    image = picture(*size)
    for mode in (tv.InterpolationMode.BICUBIC, tv.InterpolationMode.NEAREST):
        ours, theirs = (
            kind((20, 24), scale=scale, interpolation=mode) for kind in (RandomResizedCrop, tv.RandomResizedCrop)
        )
        for seed in range(60):
            torch.manual_seed(seed)
            one, state = ours(image), torch.get_rng_state()
            torch.manual_seed(seed)
            assert np.array_equal(np.asarray(one), np.asarray(theirs(image)))
            assert torch.equal(state, torch.get_rng_state()), "what is drawn next would differ"


def test_a_part_that_fits_is_not_always_found():
    """The images above reach the end of the ten attempts, in both directions."""
    for size in ((7, 200), (200, 7)):
        crop = RandomResizedCrop(8, scale=(0.6, 1.0))
        width, height = size
        whole = max(1, round(min(size) / min(crop.ratio))) if width < height else round(height * max(crop.ratio))
        torch.manual_seed(0)
        _, _, h, w = crop._draw(*size)
        assert (h, w) == ((whole, width) if width < height else (height, whole))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_tensor_and_normalisation(mode):
    image = picture(30, 20, mode)
    one, other = ToTensor()(image), tv.ToTensor()(image)
    assert (
        torch.equal(one, other) and one.dtype == other.dtype and one.is_contiguous() and one.stride() == other.stride()
    )
    channels = one.shape[0]
    arguments = (MEAN + (0.5,))[:channels], (STD + (0.25,))[:channels]
    before = one.clone()
    for tensor in (one, one.double(), one[None], one[:, ::2]):
        ours, theirs = Normalize(*arguments)(tensor), tv.Normalize(*arguments)(tensor)
        assert torch.equal(ours, theirs) and ours.dtype == theirs.dtype
    assert torch.equal(one, before)


def test_arrays_and_half_precision_go_the_usual_way():
    array = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    assert torch.equal(ToTensor()(array), tv.ToTensor()(array))
    tensor, found = torch.rand(3, 40, 40), []
    for kind in (RandomResizedCrop, tv.RandomResizedCrop):
        torch.manual_seed(3)
        found.append(kind(16, antialias=True)(tensor))
    assert torch.equal(*found)
    torch.set_default_dtype(torch.float64)
    try:
        assert ToTensor()(picture(4, 4)).dtype == torch.float64 == tv.ToTensor()(picture(4, 4)).dtype
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_spread_of_zero_is_refused_as_before():
    with pytest.raises(ValueError, match="std evaluated to zero"):
        Normalize(MEAN, (0.0, 1.0, 1.0))(torch.rand(3, 4, 4))


def test_they_are_torchvisions_to_others():
    """Code of forks asks for torchvision's classes, and prints them."""
    for ours, theirs in (
        (RandomResizedCrop(8), tv.RandomResizedCrop(8)),
        (ToTensor(), tv.ToTensor()),
        (Normalize(MEAN, STD), tv.Normalize(MEAN, STD)),
    ):
        assert isinstance(ours, type(theirs)) and repr(ours) == repr(theirs)
