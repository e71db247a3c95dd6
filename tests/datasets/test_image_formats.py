"""Images as they are found in the wild, through the reader and through the data set that feeds the loaders."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import ToTensor
from yacs.config import CfgNode

from dassl.data import DatasetWrapper
from dassl.data.data_manager import build_data_loader
from dassl.data.datasets import Datum
from dassl.utils import InputError, input_error_sentence, read_image
from dassl.utils.images import set_upright

SIZE = (24, 16)  # width, height


def gradient() -> np.ndarray:
    """[16, 24, 3] with a red ramp to the right and a green one downwards."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    return np.stack([x * 10, y * 15, np.full_like(x, 60)], axis=-1).astype(np.uint8)


@pytest.fixture
def wrapped():
    def make(*paths):
        cfg = CfgNode(
            {
                "DATALOADER": {"K_TRANSFORMS": 1, "RETURN_IMG0": False, "NUM_WORKERS": 0},
                "INPUT": {"SIZE": (16, 16), "INTERPOLATION": "bicubic", "TRANSFORMS": ()},
                "SEED": 1,
                "USE_CUDA": False,
            }
        )
        items = [Datum(str(path), i, classname="x") for i, path in enumerate(paths)]
        return cfg, items, DatasetWrapper(cfg, items, transform=ToTensor())

    return make


SAVED = {
    "rgb.png": lambda im, p: im.save(p),
    "grayscale.jpg": lambda im, p: im.convert("L").save(p, quality=95),
    "cmyk.jpg": lambda im, p: im.convert("CMYK").save(p, quality=95),
    "palette.png": lambda im, p: im.quantize(256).save(p),
    "palette.gif": lambda im, p: im.quantize(256).save(p),
    "transparent_palette.png": lambda im, p: im.quantize(255).save(p, transparency=3),
    "rgba.png": lambda im, p: im.convert("RGBA").save(p),
    "one_bit.png": lambda im, p: im.convert("1").save(p),
}


@pytest.mark.parametrize("name", SAVED)
def test_every_format_becomes_rgb(name, tmp_path, wrapped):
    source = Image.fromarray(gradient())
    SAVED[name](source, tmp_path / name)
    image = read_image(str(tmp_path / name))
    assert image.mode == "RGB" and image.size == SIZE
    _, _, data = wrapped(tmp_path / name)
    tensor = data[0]["img"]
    assert tensor.shape == (3, SIZE[1], SIZE[0])
    if name.startswith("one_bit"):
        assert set(np.unique(np.asarray(image))) == {0, 255}
        return
    grey = name.startswith("grayscale")
    expected = np.asarray(source.convert("L").convert("RGB") if grey else source).astype(int)
    difference = np.abs(np.asarray(image).astype(int) - expected)
    # chroma is subsampled in a JPEG of saturated ramps, and a palette has fewer colours than the ramps
    assert difference.mean() < (0.5 if name in ("rgb.png", "rgba.png") else 8), difference.mean()


def test_the_cameras_orientation_is_left_as_upstream_leaves_it(tmp_path):
    set_upright(False)  # whatever dataset was made before
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.fromarray(gradient()).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(gradient()).save(tmp_path / "plain.jpg", quality=95)
    turned, plain = (np.asarray(read_image(str(tmp_path / f"{n}.jpg"))) for n in ("turned", "plain"))
    assert turned.shape == (SIZE[1], SIZE[0], 3) and (turned == plain).all()


def damaged(kind, path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:1500])
    elif kind == "empty":
        path.write_bytes(b"")
    else:
        path.write_text("<html>404</html>")
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("kind", ["truncated", "empty", "a web page"])
def test_a_damaged_image_is_named(kind, suffix, tmp_path, wrapped):
    bad = damaged(kind, tmp_path / f"bad{suffix}")
    with pytest.raises(InputError, match=rf"bad{suffix} cannot be read") as error:
        read_image(str(bad))
    assert ("it is empty" in str(error.value)) == (kind == "empty") and "\n" not in str(error.value)
    _, _, data = wrapped(bad)
    with pytest.raises(InputError, match=r"bad.* cannot be read"):
        data[0]


def test_a_workers_error_is_one_sentence_too(tmp_path, wrapped):
    Image.fromarray(gradient()).save(tmp_path / "good.png")
    cfg, items, _ = wrapped(tmp_path / "good.png", damaged("truncated", tmp_path / "bad.png"))
    cfg.DATALOADER.NUM_WORKERS = 1
    loader = build_data_loader(cfg, data_source=items, batch_size=1, tfm=ToTensor(), is_train=False)
    with pytest.raises(InputError) as error:
        list(loader)
    sentence = input_error_sentence(error.value)
    assert sentence.startswith(f"image file {tmp_path}/bad.png cannot be read") and "\n" not in sentence
