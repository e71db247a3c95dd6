"""Masks of the shapes and glyphs, drawn once with PIL and kept as one tensor."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from .vocab import LETTERS, SHAPES

SIZE = 64  # side of a mask in the atlas, pixels
_FINE = 256  # side while drawing
_FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique", "DejaVuSansMono",
    "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic",
    "DejaVuSerif-BoldItalic", "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic",
    "STIXGeneralBolIta", "cmr10", "cmb10", "cmss10", "cmtt10",
)  # fmt: skip
GLYPHS = tuple("0123456789") + LETTERS


def _regular(n: int, radius: float, phase: float = -90.0, inner: float | None = None) -> list[tuple[float, float]]:
    """Corners of a regular polygon, or of a star if `inner` (a second radius) is given; unit square, centre 0.5."""
    count = n if inner is None else 2 * n
    points = []
    for k in range(count):
        r = radius if inner is None or k % 2 == 0 else inner
        a = math.radians(phase + 360 * k / count)
        points.append((0.5 + r * math.cos(a), 0.5 + r * math.sin(a)))
    return points


def _curve(fx: Callable[[float], float], fy: Callable[[float], float], n: int = 120) -> list[tuple[float, float]]:
    return [(fx(2 * math.pi * k / n), fy(2 * math.pi * k / n)) for k in range(n)]


def _disc(x: float, y: float, rx: float, ry: float | None = None) -> tuple[str, list[tuple[float, float]]]:
    ry = rx if ry is None else ry
    return ("add", _curve(lambda t: x + rx * math.cos(t), lambda t: y + ry * math.sin(t)))


def _hole(part: tuple[str, list]) -> tuple[str, list]:
    return ("cut", part[1])


def _poly(*points: tuple[float, float]) -> tuple[str, list[tuple[float, float]]]:
    return ("add", list(points))


def _box(x0: float, y0: float, x1: float, y1: float) -> tuple[str, list[tuple[float, float]]]:
    return _poly((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def _heart_x(t: float) -> float:
    return 0.5 + 0.026 * 16 * math.sin(t) ** 3


def _heart_y(t: float) -> float:
    return 0.46 - 0.026 * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t))


def _rim(t: float) -> float:
    """Radius of a gear with eight teeth."""
    return 0.36 + 0.07 * math.tanh(4 * math.sin(8 * t))


def _shape_parts(name: str) -> list[tuple[str, list[tuple[float, float]]]]:
    """Polygons that are added to and cut from the mask of a shape, in the unit square."""
    match name:
        case "circle":
            return [_disc(0.5, 0.5, 0.40)]
        case "square":
            return [_box(0.15, 0.15, 0.85, 0.85)]
        case "triangle":
            return [_poly((0.5, 0.1), (0.92, 0.84), (0.08, 0.84))]
        case "star":
            return [("add", _regular(5, 0.46, inner=0.19))]
        case "heart":
            return [("add", _curve(_heart_x, _heart_y))]
        case "cross":
            return [_box(0.36, 0.1, 0.64, 0.9), _box(0.1, 0.36, 0.9, 0.64)]
        case "ring":
            return [_disc(0.5, 0.5, 0.42), _hole(_disc(0.5, 0.5, 0.23))]
        case "crescent":
            return [_disc(0.48, 0.5, 0.42), _hole(_disc(0.66, 0.44, 0.34))]
        case "arrow":
            return [_box(0.06, 0.4, 0.55, 0.6), _poly((0.5, 0.18), (0.95, 0.5), (0.5, 0.82))]
        case "hexagon":
            return [("add", _regular(6, 0.44, 0.0))]
        case "diamond":
            return [_poly((0.5, 0.05), (0.8, 0.5), (0.5, 0.95), (0.2, 0.5))]
        case "oval":
            return [_disc(0.5, 0.5, 0.45, 0.25)]
        case "cloud":
            puffs = [_disc(0.26, 0.58, 0.18), _disc(0.46, 0.42, 0.22), _disc(0.7, 0.52, 0.2)]
            return [*puffs, _box(0.26, 0.55, 0.72, 0.75)]
        case "drop":
            return [_disc(0.5, 0.64, 0.27), _poly((0.5, 0.05), (0.745, 0.53), (0.255, 0.53))]
        case "bolt":
            return [_poly((0.6, 0.04), (0.22, 0.56), (0.46, 0.56), (0.36, 0.96), (0.8, 0.4), (0.54, 0.4))]
        case "house":
            door = ("cut", [(0.43, 0.62), (0.57, 0.62), (0.57, 0.9), (0.43, 0.9)])
            return [_box(0.2, 0.46, 0.8, 0.9), _poly((0.5, 0.08), (0.93, 0.48), (0.07, 0.48)), door]
        case "tree":
            crown = [_poly((0.5, 0.05), (0.74, 0.4), (0.26, 0.4)), _poly((0.5, 0.22), (0.84, 0.74), (0.16, 0.74))]
            return [_box(0.44, 0.7, 0.56, 0.95), *crown]
        case "fish":
            tail, eye = _poly((0.66, 0.5), (0.95, 0.26), (0.95, 0.74)), _hole(_disc(0.24, 0.45, 0.04))
            return [_disc(0.42, 0.5, 0.34, 0.22), tail, eye]
        case "flower":
            turns = (2 * math.pi * k / 6 for k in range(6))
            petals = [_disc(0.5 + 0.25 * math.cos(a), 0.5 + 0.25 * math.sin(a), 0.17) for a in turns]
            return [*petals, _disc(0.5, 0.5, 0.2), _hole(_disc(0.5, 0.5, 0.1))]
        case "gear":
            rim = _curve(lambda t: 0.5 + _rim(t) * math.cos(t), lambda t: 0.5 + _rim(t) * math.sin(t), 360)
            return [("add", rim), _hole(_disc(0.5, 0.5, 0.14))]
    raise KeyError(name)


def _draw_shape(name: str) -> Image.Image:
    image = Image.new("L", (_FINE, _FINE), 0)
    pen = ImageDraw.Draw(image)
    margin = 0.12  # room for rotation and outlines
    for kind, points in _shape_parts(name):
        scaled = [(_FINE * (margin + (1 - 2 * margin) * x), _FINE * (margin + (1 - 2 * margin) * y)) for x, y in points]
        pen.polygon(scaled, fill=255 if kind == "add" else 0)
    return image


def _outline(mask: Image.Image, width: float) -> Image.Image:
    """Band of about `width` pixels (of 256) around the border of a mask."""
    soft = np.asarray(mask.filter(ImageFilter.GaussianBlur(width)), dtype=np.float32) / 255
    band = np.abs(soft - 0.5) < 0.19  # a blurred edge passes 0.31..0.69 within one sigma
    return Image.fromarray((band * 255).astype(np.uint8))


def _draw_glyph(text: str, font_file: Path) -> Image.Image:
    font = ImageFont.truetype(str(font_file), 190)
    x0, y0, x1, y1 = font.getbbox(text)
    image = Image.new("L", (_FINE, _FINE), 0)
    ImageDraw.Draw(image).text(((_FINE - x0 - x1) / 2, (_FINE - y0 - y1) / 2), text, fill=255, font=font)
    return image


def _small(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX))


OUTLINE_WIDTHS = (7.0, 11.0)  # the two line widths of the training outlines


@functools.cache
def atlas() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """All masks, uint8 [N, 64, 64], and an index: "filled" [20], "outline" [2, 20], "thin" [20], "glyph" [faces, 36].

    "thin" outlines are only for downstream sets. Fonts come with matplotlib (DejaVu, STIX, Computer Modern).
    """
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    filled = [_draw_shape(name) for name in SHAPES]
    masks = [_small(image) for image in filled]
    for width in (*OUTLINE_WIDTHS, 5.0):
        masks += [_small(_outline(image, width)) for image in filled]
    n = len(SHAPES)
    index = {
        "filled": torch.arange(n),
        "outline": torch.arange(n, 3 * n).view(2, n),
        "thin": torch.arange(3 * n, 4 * n),
    }
    start = len(masks)
    for font in _FONTS:
        masks += [_small(_draw_glyph(text, folder / f"{font}.ttf")) for text in GLYPHS]
    index["glyph"] = torch.arange(start, len(masks)).view(len(_FONTS), len(GLYPHS))
    return torch.from_numpy(np.stack(masks)), index
