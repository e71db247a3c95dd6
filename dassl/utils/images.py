"""`read_image`, `to_rgb`: conversion to 8-bit RGB. All code that reads images uses them.

Images that CoOp's reader (`Image.open(path).convert("RGB")`) converts correctly give the same bits. The rules for all
others are in docs/own_data.md; an image that no rule covers is refused with an error.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
from PIL import Image, ImageCms

from .errors import InputError, MissingFileError

logger = logging.getLogger(__name__)

PLAIN = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")  # Pillow's own conversion is right
ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
WHOLE = ("I", "I;16", "I;16L", "I;16B", "I;16N")  # grey, more than 8 bits
UNPREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}
TWELVE_BITS, FULL = 4095, 65535
ORIENTATION = 0x0112  # the EXIF tag
TURNS = {  # orientation: how the pixels are turned upright
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_upright = False  # of this process and the workers that it forks, see `set_upright`
_said: set[str] = set()  # kinds of warnings that this process has logged


class UnfitImage(ValueError):
    """An image that can be opened, but not converted. The text is the rest of a sentence after the image's name."""


def read_image(path: str | os.PathLike[str]) -> Image.Image:
    """An image file as RGB, 8 bits a channel. Colour profiles are not applied, as in upstream, and neither is the
    orientation (EXIF), unless `set_upright`.

    Raises MissingFileError, or InputError if the file is damaged, no image, or of values that no rule covers.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise MissingFileError(f"image file {path} does not exist: fetch the data set again, or correct the split file")
    try:
        with Image.open(path) as image:
            return to_rgb(image, f"image file {path}")
    except InputError:
        raise
    except Exception as exc:  # Pillow raises nearly anything on a damaged file
        reason = "it is empty" if os.path.getsize(path) == 0 else " ".join(str(exc).split()) or type(exc).__name__
        raise InputError(f"image file {path} cannot be read ({reason}): replace it by an intact copy") from exc


# Version of the rules, part of the keys of cached features: change it when any image is converted differently.
RULES = 2
read_image.rules = RULES  # type: ignore[attr-defined]  # mypy knows no attributes of functions


def set_upright(on: bool) -> None:
    """Whether images are turned as their camera noted (EXIF), from here on in this process and what it forks. Off,
    they are read as CoOp reads them; each dataset says which it is when it is made."""
    global _upright
    _upright = on
    read_image.rules = f"{RULES}, upright" if on else RULES  # type: ignore[attr-defined]


@contextmanager
def same_reading() -> Iterator[None]:
    """Images are read after the block as before it, whatever datasets were made within."""
    before = _upright
    try:
        yield
    finally:
        set_upright(before)


def to_rgb(image: Image.Image, where: str = "the image") -> Image.Image:
    """A Pillow image of any mode as RGB. where: its name in messages. Raises InputError where no rule covers it."""
    try:
        turn = TURNS.get(_orientation(image) or 1) if _upright else None
        rgb = _converted(image, where)
        return rgb if turn is None else rgb.transpose(turn)
    except UnfitImage as exc:
        raise InputError(f"{where} {exc}") from exc


def _converted(image: Image.Image, where: str) -> Image.Image:
    deep = is_deep(image)
    _warn_of_metadata(image, where)
    if image.mode in WHOLE or image.mode == "F":
        image = _with_key(image, _fractions(image) if image.mode == "F" else _whole_numbers(image, where))
    elif image.mode not in (*PLAIN, *ALPHA):
        raise UnfitImage(f"is of mode {image.mode}, which is not understood: save it as 8-bit RGB")
    if image.has_transparency_data:
        rgba = image.convert(UNPREMULTIPLIED.get(image.mode, image.mode)).convert("RGBA")
        low, high = rgba.getchannel("A").getextrema()
        if low != high:
            return _on_white(rgba, where)
        image = rgba  # constant alpha carries no content: the colours are used, as in CoOp
    rgb = image.convert("RGB")
    if deep and max(high for _, high in _ranges(rgb)) <= TWELVE_BITS >> 8:
        raise UnfitImage(_too_dark("16-bit colour", "at most 15 of 255"))
    return rgb


def _ranges(rgb: Image.Image) -> tuple[tuple[int, int], ...]:
    """The least and the greatest value of each channel."""
    return cast(tuple[tuple[int, int], ...], rgb.getextrema())  # Pillow's type is that of any mode


def _on_white(rgba: Image.Image, where: str) -> Image.Image:
    """The image on a white background, or on a black one if it would be a single colour on white."""
    _warn_once("transparency", "%s has transparent parts, shown on white; CoOp shows their hidden colours", where)
    for ground in ("white", "black"):
        rgb = Image.alpha_composite(Image.new("RGBA", rgba.size, ground), rgba).convert("RGB")
        if any(low != high for low, high in _ranges(rgb)):
            break
    return rgb


def _whole_numbers(image: Image.Image, where: str) -> np.ndarray:
    """uint8 [H, W] of greys of more than 8 bits: up to 255 as they are, else v / 257, which takes 65535 to 255."""
    values = np.asarray(image).astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > FULL:
        raise UnfitImage(f"holds greys from {low} to {high}, not from 0 to 65535: rescale it to 8 bits")
    if "I;12" in _raw_modes(image):  # the file says how many bits there are
        return np.rint(values * (255 / TWELVE_BITS)).astype(np.uint8)
    if high <= 255:
        return values.astype(np.uint8)
    if high <= TWELVE_BITS:
        raise UnfitImage(_too_dark("16-bit grey", f"{high} of 65535"))
    if high <= FULL // 4:
        text = "%s is 16-bit grey with %d of 65535 as its greatest value, so it is dark; rescale it if it should not be"
        _warn_once("dark", text, where, high)
    return ((values + 128) // 257).astype(np.uint8)


def _too_dark(kind: str, greatest: str) -> str:
    return (
        f"is {kind}, but its greatest value is {greatest}, as of a picture of 12 bits or less, and it would come out "
        "black: rescale it to 8 bits, or to the full range"
    )


def _fractions(image: Image.Image) -> np.ndarray:
    """uint8 [H, W] of an image of floats, all in 0..1 or all in 0..255. Raises UnfitImage for other values."""
    values = np.asarray(image, dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 255):  # not: NaN
        raise UnfitImage(f"holds floats from {low:g} to {high:g}, not in 0..1 or 0..255: rescale it to 8 bits")
    return np.rint(values * 255 if high <= 1 else values).astype(np.uint8)


def _with_key(image: Image.Image, values: np.ndarray) -> Image.Image:
    """The 8-bit greys as an image, transparent where the file has its transparent value."""
    grey, key = Image.fromarray(values), image.info.get("transparency")
    if isinstance(key, int):
        grey.putalpha(Image.fromarray(np.where(np.asarray(image) == key, 0, 255).astype(np.uint8)))
    return grey


def _raw_modes(image: Image.Image) -> str:
    """Pillow's names for the layout of the pixels in the file; "" once they are read."""
    return " ".join(str(tile[3]) for tile in getattr(image, "tile", None) or ())


def is_deep(image: Image.Image) -> bool:
    """Whether the file has 16 bits per colour channel, of which Pillow gives the upper 8."""
    return image.mode not in WHOLE and ";16" in _raw_modes(image)


def _warn_of_metadata(image: Image.Image, where: str) -> None:
    """Warn of the first image with an orientation, and of the first with a colour profile: neither is applied."""
    if "orientation" not in _said and _orientation(image) not in (None, 0, 1):
        text = "%s says that the camera was turned, which is not applied, as in CoOp; turn the pixels if need be"
        if _upright:
            text = "%s is turned as its camera noted, unlike in CoOp; DATASET.FOLDER.EXIF False reads it as it lies"
        _warn_once("orientation", text, where)
    profile = image.info.get("icc_profile")
    if profile and "profile" not in _said and "srgb" not in (name := _profile_name(profile)).lower():
        text = "%s has the colour profile %r, which is not applied, as in CoOp; convert the image to sRGB if need be"
        _warn_once("profile", text, where, name)


def _orientation(image: Image.Image) -> int | None:
    try:
        return image.getexif().get(ORIENTATION)
    except Exception:  # damaged metadata; the pixels may be fine
        return None


def _profile_name(profile: bytes) -> str:
    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip()
    except Exception:  # a damaged profile, or Pillow built without littlecms
        return "unknown"


def _warn_once(kind: str, text: str, *values: object) -> None:
    if kind not in _said:
        _said.add(kind)
        logger.warning("Warning: " + text + " (logged for the first such image; rules: docs/own_data.md)", *values)
