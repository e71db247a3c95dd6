"""Every mode of Pillow through the one reader: the picture of the RGB original, or a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from dassl.utils import InputError, read_image, to_rgb
from dassl.utils import images as reader

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 16), dtype=np.uint8)
GREY[0, :2] = 0, 255  # the whole range
SIZE = (16, 12)  # width, height
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)


@pytest.fixture(autouse=True)
def said(monkeypatch):
    """The warnings, each of which a process gives once."""
    lines: list[str] = []
    monkeypatch.setattr(reader, "_said", set())
    monkeypatch.setattr(reader.logger, "warning", lambda text, *values: lines.append(text % values))
    return lines


def shown(image: Image.Image) -> np.ndarray:
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def grey_rgb(values: np.ndarray = GREY) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=-1).astype(int)


def saved(folder: Path, name: str, image: Image.Image, **options) -> str:
    image.save(folder / name, **options)
    return str(folder / name)


def rgba(alpha: np.ndarray, colour: np.ndarray = COLOUR) -> Image.Image:
    return Image.fromarray(np.concatenate([colour, alpha[..., None]], axis=-1).astype(np.uint8))


OPAQUE = np.full_like(GREY, 255)
# mode -> (image of that mode, what it shows, how far off it may be)
MODES = {
    "1": (Image.fromarray(GREY > 127), grey_rgb((GREY > 127) * 255), 0),
    "L": (Image.fromarray(GREY), grey_rgb(), 0),
    "P": (Image.fromarray(GREY).convert("P"), grey_rgb(), 0),
    "LA": (Image.fromarray(np.stack([GREY, OPAQUE], -1)), grey_rgb(), 0),
    "La": (Image.fromarray(np.stack([GREY, OPAQUE], -1)).convert("La"), grey_rgb(), 0),
    "PA": (Image.fromarray(GREY).convert("P").convert("PA"), grey_rgb(), 0),
    "RGB": (Image.fromarray(COLOUR), COLOUR, 0),
    "RGBX": (Image.fromarray(COLOUR).convert("RGBX"), COLOUR, 0),
    "RGBA": (rgba(OPAQUE), COLOUR, 0),
    "RGBa": (rgba(OPAQUE).convert("RGBa"), COLOUR, 0),
    "CMYK": (Image.fromarray(COLOUR).convert("CMYK"), COLOUR, 0),
    "YCbCr": (Image.fromarray(COLOUR).convert("YCbCr"), COLOUR, 4),
    "LAB": (Image.fromarray(COLOUR // 4 + 96).convert("LAB"), COLOUR // 4 + 96, 8),
    "HSV": (Image.fromarray(COLOUR).convert("HSV"), COLOUR, 8),
    "I": (Image.fromarray(GREY.astype(np.int32) * 257), grey_rgb(), 0),
    "I of 8 bits": (Image.fromarray(GREY.astype(np.int32)), grey_rgb(), 0),
    "I;16": (Image.fromarray(GREY.astype("<u2") * 257), grey_rgb(), 0),
    "I;16L": (Image.frombytes("I;16L", SIZE, (GREY.astype("<u2") * 257).tobytes()), grey_rgb(), 0),
    "I;16B": (Image.frombytes("I;16B", SIZE, (GREY.astype(">u2") * 257).astype(">u2").tobytes()), grey_rgb(), 0),
    "I;16N": (Image.frombytes("I;16N", SIZE, (GREY.astype("=u2") * 257).tobytes()), grey_rgb(), 0),
    "I;16 of 8 bits": (Image.fromarray(GREY.astype("<u2")), grey_rgb(), 0),
    "F in 0..1": (Image.fromarray(GREY.astype(np.float32) / 255), grey_rgb(), 0),
    "F in 0..255": (Image.fromarray(GREY.astype(np.float32)), grey_rgb(), 0),
}


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_shows_the_picture(mode):
    image, expected, tolerance = MODES[mode]
    assert image.mode == mode.split(" ")[0]
    assert np.abs(shown(to_rgb(image)) - expected).max() <= tolerance


FILES = {
    "16 bit png": ("a.png", MODES["I;16"][0], {}),
    "16 bit tiff": ("a.tif", MODES["I;16"][0], {}),
    "16 bit tiff, the other byte order": ("a.tif", MODES["I;16B"][0], {}),
    "16 bit pgm": ("a.pgm", MODES["I"][0], {}),
    "32 bit tiff": ("a.tif", MODES["I"][0], {}),
    "float tiff": ("a.tif", MODES["F in 0..1"][0], {}),
    "8 bits in a png of 16": ("a.png", MODES["I;16 of 8 bits"][0], {}),
    "grey and alpha": ("a.png", MODES["LA"][0], {}),
    "transparent palette without transparent pixels": ("a.png", MODES["P"][0], {"transparency": bytes([255] * 256)}),
    "gif": ("a.gif", MODES["L"][0], {}),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_grey_pictures(name, tmp_path):
    file, image, options = FILES[name]
    path = saved(tmp_path, file, image, **options)
    assert (shown(read_image(path)) == grey_rgb()).all()


def test_what_upstream_reads_rightly_is_read_to_the_same_bits(tmp_path):
    for mode in ("1", "L", "P", "RGB", "CMYK", "RGBA"):
        for suffix in (".png", ".tif", ".jpg", ".webp"):
            if suffix == ".png" and mode == "CMYK" or suffix == ".jpg" and mode in ("P", "RGBA"):
                continue
            path = saved(tmp_path, f"{mode}{suffix}", MODES[mode][0])
            assert (shown(read_image(path)) == np.asarray(Image.open(path).convert("RGB"))).all(), path


def test_a_drawing_in_the_alpha_channel_is_seen(tmp_path, said):
    for ink, expected in ((0, grey_rgb(255 - GREY)), (255, grey_rgb())):  # on white; white ink on black
        path = saved(tmp_path, f"{ink}.png", rgba(GREY, np.full_like(COLOUR, ink)))
        assert np.abs(shown(read_image(path)) - expected).max() <= 1
    assert len(said) == 1 and "/0.png has transparent parts" in said[0]
    half = rgba(np.full_like(GREY, 128))
    assert (shown(to_rgb(half)) == COLOUR).all(), "an alpha channel of one value holds no picture"
    masked = Image.fromarray(np.where(GREY > 99, GREY, 0).astype(np.uint8)).convert("P")
    path = saved(tmp_path, "key.png", masked, transparency=0)
    assert (shown(read_image(path)) == grey_rgb(np.where(GREY > 99, GREY, 255))).all()


def test_the_transparent_value_of_a_16_bit_grey_is_seen_through():
    image = Image.fromarray(GREY.astype("<u2") * 257)
    image.info["transparency"] = 0
    assert (shown(to_rgb(image)) == grey_rgb(np.where(GREY == 0, 255, GREY))).all()


UNFIT = {
    "12 bits in 16": (Image.fromarray(GREY.astype("<u2") * 16), "12 bits or less"),
    "12 bits in 32": (Image.fromarray(GREY.astype(np.int32) * 16), "12 bits or less"),
    "more than 16 bits": (Image.fromarray(GREY.astype(np.int32) * 70000), "not from 0 to 65535"),
    "negative": (Image.fromarray(GREY.astype(np.int32) - 5), "greys from -5"),
    "floats beyond 255": (Image.fromarray(GREY.astype(np.float32) * 257), "not in 0..1 or 0..255"),
    "negative floats": (Image.fromarray(GREY.astype(np.float32) - 1), "floats from -1"),
    "NaN": (Image.fromarray(np.where(GREY == 0, np.nan, GREY).astype(np.float32)), "nan"),
    "infinite": (Image.fromarray(np.where(GREY == 0, np.inf, GREY).astype(np.float32)), "inf"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_values_that_no_rule_covers_are_refused(name, tmp_path):
    image, words = UNFIT[name]
    path = saved(tmp_path, "x.tif", image)
    with pytest.raises(InputError, match=words) as error:
        read_image(path)
    assert str(error.value).startswith(f"image file {path} ") and "\n" not in str(error.value)
    with pytest.raises(InputError, match=words):
        to_rgb(image)


def test_14_bits_are_dark_and_said_to_be(said):
    assert shown(to_rgb(Image.fromarray(GREY.astype("<u2") * 64), "x.png")).max() == 64
    assert len(said) == 1 and "16320 of 65535 as its greatest value" in said[0]


def png_16(channels: int, values: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel, which Pillow cannot write."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_16_bit_colour(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(png_16(3, COLOUR.astype(np.uint16) * 257))
    assert (shown(read_image(path)) == COLOUR).all()
    for levels in (1, 16):  # 8 and 12 bits in 16: the upper 8 are black
        path.write_bytes(png_16(3, COLOUR.astype(np.uint16) * levels))
        with pytest.raises(InputError, match="16-bit colour"):
            read_image(path)


def test_orientation_and_profiles_are_not_applied_and_said_once(tmp_path, said):
    exif = Image.Exif()
    exif[reader.ORIENTATION] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.fromarray(COLOUR)
    plain = saved(tmp_path, "plain.png", picture, icc_profile=srgb)
    assert (shown(read_image(plain)) == COLOUR).all() and not said
    for name in ("a.png", "b.png"):
        path = saved(tmp_path, name, picture, exif=exif, icc_profile=profile)
        assert (shown(read_image(path)) == COLOUR).all()
    assert len(said) == 2 and all("/a.png" in line for line in said)
    assert "camera was turned" in said[0] and "colour profile 'Lab" in said[1]


def test_of_several_frames_the_first_is_read(tmp_path):
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    for name in ("x.gif", "x.tif", "x.webp", "x.png"):
        options = {"lossless": True} if name == "x.webp" else {}
        path = saved(tmp_path, name, frames[0], save_all=True, append_images=frames[1:], **options)
        assert (shown(read_image(path)) == grey_rgb()).all(), name


@pytest.mark.parametrize("words", ["it is empty", "cannot identify", "cannot be read"])
def test_what_is_no_image_is_one_sentence(words, tmp_path):
    damaged = {"it is empty": b"", "cannot identify": b"<html>", "cannot be read": b"\x89PNG\r\n\x1a\n"}
    (tmp_path / "bad.png").write_bytes(damaged[words])
    with pytest.raises(InputError, match=words) as error:
        read_image(tmp_path / "bad.png")
    assert "\n" not in str(error.value)


def test_there_is_no_other_reader():
    root = Path(__file__).parents[2]
    packages = [path.parent for path in root.glob("*/__init__.py") if path.parent.name != "tests"]
    files = [file for package in packages for file in package.rglob("*.py")] + list(root.glob("*.py"))
    found = {str(file.relative_to(root)) for file in files if "Image.open(" in file.read_text(encoding="utf-8")}
    known = {
        "dassl/utils/images.py",
        "dassl/data/readable.py",  # only looks at the head
        "datasets/embedded/photo_data.py",  # reads members of an archive
        "datasets/corruption/digital.py",  # reads what it has just written to memory
    }
    assert found == known
