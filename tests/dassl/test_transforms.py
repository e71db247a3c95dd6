"""The chains of transforms: what is in them, in which order, what is printed."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as tv

from dassl.config import get_cfg_default
from dassl.data.transforms import AVAI_CHOICES, INTERPOLATION_MODES, build_transform
from dassl.data.transforms.transforms import UNSUPPORTED
from dassl.utils import InputError


def cfg_of(*opts):
    cfg = get_cfg_default()
    named = list(opts)
    named[::2] = [f"INPUT.{key}" for key in named[::2]]
    cfg.merge_from_list(named)
    return cfg


@pytest.fixture
def image():
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_family_setting(image, capsys):
    """CoOp's transforms equal torchvision's own chain, draw for draw."""
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    cfg = cfg_of("TRANSFORMS", ("normalize", "random_flip", "random_resized_crop"), "INTERPOLATION", "bicubic")
    cfg.merge_from_list(["INPUT.SIZE", (32, 32), "INPUT.PIXEL_MEAN", mean, "INPUT.PIXEL_STD", std])
    bicubic = tv.InterpolationMode.BICUBIC
    tail = [tv.ToTensor(), tv.Normalize(mean, std)]
    crop = tv.RandomResizedCrop((32, 32), scale=(0.08, 1), interpolation=bicubic)
    train = tv.Compose([crop, tv.RandomHorizontalFlip(), *tail])
    test = tv.Compose([tv.Resize(32, interpolation=bicubic), tv.CenterCrop((32, 32)), *tail])
    for seed in range(5):
        torch.manual_seed(seed)
        ours = build_transform(cfg)(image)
        torch.manual_seed(seed)
        assert torch.equal(ours, train(image))
    assert torch.equal(build_transform(cfg, is_train=False)(image), test(image))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:6] == [
        "Building transform_train",
        "+ random resized crop (size=(32, 32), scale=(0.08, 1.0))",
        "+ random flip",
        "+ to torch tensor of range [0, 1]",
        "+ normalization (mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.4])",
        "Building transform_train",
    ]
    assert lines[-5:] == [
        "Building transform_test",
        "+ resize the smaller edge to 32",
        "+ 32x32 center crop",
        "+ to torch tensor of range [0, 1]",
        "+ normalization (mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.4])",
    ]


@pytest.mark.parametrize("name", [name for name in AVAI_CHOICES if name not in UNSUPPORTED])
def test_every_choice_runs(name, image):
    for size in ((32, 32), (32, 48)):
        cfg = cfg_of("SIZE", size, "TRANSFORMS", (name,), "GN_STD", 0.5, "GB_K", 5)
        for is_train in (True, False):
            out = build_transform(cfg, is_train=is_train)(image)
            assert out.shape == (3, *size)
            assert out.isfinite().all()


def test_order_is_fixed():
    names = (
        "instance_norm",
        "gaussian_noise",
        "normalize",
        "cutout",
        "gaussian_blur",
        "randomgrayscale",
        "colorjitter",
    )
    names += ("randaugment", "random_flip", "random_crop", "random_translation")
    kinds = [type(t).__name__ for t in build_transform(cfg_of("TRANSFORMS", names)).transforms]
    assert kinds[:4] == ["Random2DTranslation", "RandomCrop", "RandomHorizontalFlip", "RandAugment"]
    assert kinds[4:8] == ["ColorJitter", "RandomGrayscale", "RandomApply", "ToTensor"]
    assert kinds[8:] == ["Cutout", "Normalize", "GaussianNoise", "InstanceNormalization"]


def test_resize_only_without_crop(image):
    first = build_transform(cfg_of("TRANSFORMS", ("normalize",))).transforms[0]
    assert isinstance(first, tv.Resize)
    assert tuple(first.size) == (224, 224)  # the aspect is not kept


def test_choices_override_and_none(capsys):
    cfg = cfg_of("TRANSFORMS", ("random_flip",))
    assert len(build_transform(cfg, choices=["normalize"]).transforms) == 3
    capsys.readouterr()
    assert build_transform(cfg_of("NO_TRANSFORM", True)) is None
    assert "no transform" in capsys.readouterr().out


def test_errors():
    with pytest.raises(AssertionError, match="random_flop"):
        build_transform(cfg_of(), choices=["random_flop"])
    with pytest.raises(NotImplementedError, match="randaugment2"):
        build_transform(cfg_of(), choices=["randaugment2"])
    with pytest.raises(InputError, match="bilinear, bicubic, nearest"):
        build_transform(cfg_of("INTERPOLATION", "cubic"))
    assert set(INTERPOLATION_MODES) == {"bilinear", "bicubic", "nearest"}


def test_cutout_and_instance_norm(image):
    out = build_transform(cfg_of("TRANSFORMS", ("cutout",), "SIZE", (32, 32), "CUTOUT_LEN", 8))(image)
    holes = (out == 0).all(0).sum().item()
    assert 16 <= holes <= 64
    out = build_transform(cfg_of("TRANSFORMS", ("instance_norm",)), is_train=False)(image)
    torch.testing.assert_close(out.mean((1, 2)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.std((1, 2)), torch.ones(3))
