"""Contrast, colour, compression, resolution, shape. x [H, W, 3] in [0, 1]; `scale`: the picture's size over 224."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy import ndimage


def image_of(x: np.ndarray) -> Image.Image:
    """x as an 8-bit image; values are cut off, not rounded, as in the published recipe: 254.9 becomes 254."""
    return Image.fromarray(np.clip(x * 255, 0, 255).astype(np.uint8))


def contrast(x: np.ndarray, rng: np.random.Generator, scale: float, share: float) -> np.ndarray:
    """Differences from the picture's mean colour are reduced to this share."""
    mean = x.mean((0, 1), keepdims=True)
    return (x - mean) * share + mean


def brightness(x: np.ndarray, rng: np.random.Generator, scale: float, more: float) -> np.ndarray:
    """The value V of HSV is raised by `more`, to 1 at most; hue and saturation stay."""
    value = x.max(2, keepdims=True)
    raised = np.clip(value + more, 0, 1)
    return np.where(value > 0, x / np.where(value > 0, value, 1) * raised, raised)


def saturate(x: np.ndarray, rng: np.random.Generator, scale: float, factor: float, more: float) -> np.ndarray:
    """The saturation S of HSV becomes factor S + more, to 1 at most. Grey has hue 0: it turns red."""
    value, least = x.max(2, keepdims=True), x.min(2, keepdims=True)
    spread = value - least
    old = np.where(value > 0, spread / np.where(value > 0, value, 1), 0)
    new = np.clip(old * factor + more, 0, 1)
    hue = np.where(spread > 0, (value - x) / np.where(spread > 0, spread, 1), np.array([0.0, 1.0, 1.0]))
    return value * (1 - new * hue)


def jpeg_compression(x: np.ndarray, rng: np.random.Generator, scale: float, quality: int) -> np.ndarray:
    """Written as JPEG, and read again."""
    file = io.BytesIO()
    image_of(x).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB")) / 255


def pixelate(x: np.ndarray, rng: np.random.Generator, scale: float, share: float) -> np.ndarray:
    """Made smaller to this share of its sides, and large again, by means over boxes."""
    height, width = x.shape[:2]
    small = image_of(x).resize((int(width * share), int(height * share)), Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.BOX)) / 255


def elastic_transform(
    x: np.ndarray, rng: np.random.Generator, scale: float, strength: float, sigma: float, corners: float
) -> np.ndarray:
    """An affine map that moves three points by up to `corners` pixels, then a smooth random displacement.

    Each displacement is uniform noise smoothed by a Gaussian `sigma` (cut at three deviations) times `strength`, for
    which this noise shrinks with the number of pixels under the Gaussian: at another size than 224 it is scaled twice.
    """
    height, width = x.shape[:2]
    strength, sigma, corners = strength * scale**2, sigma * scale, corners * scale
    centre, square = np.array([width, height]) // 2, min(height, width) // 3
    old = np.float32([centre + square, [centre[0] + square, centre[1] - square], centre - square])
    new = old + rng.uniform(-corners, corners, size=old.shape)
    # new = A (old, 1); a pixel of the result comes from where A leads back to
    matrix = np.linalg.solve(np.column_stack([old, np.ones(3)]), new).T
    back = np.linalg.inv(matrix[:, :2])
    rows, columns = np.mgrid[:height, :width].astype(float)
    at = np.tensordot(back, np.stack([columns - matrix[0, 2], rows - matrix[1, 2]]), 1)  # (column, row) in the source
    moved = np.stack([_sampled(x[..., c], at[1], at[0], "mirror") for c in range(3)], -1)

    def smooth() -> np.ndarray:
        noise = rng.uniform(-1, 1, size=(height, width))
        return ndimage.gaussian_filter(noise, sigma, mode="reflect", truncate=3) * strength

    dx, dy = smooth(), smooth()
    return np.stack([_sampled(moved[..., c], rows + dy, columns + dx, "reflect") for c in range(3)], -1)


def _sampled(x: np.ndarray, rows: np.ndarray, columns: np.ndarray, mode: str) -> np.ndarray:
    return ndimage.map_coordinates(x, [rows, columns], order=1, mode=mode)
