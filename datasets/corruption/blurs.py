"""Blurs. Lengths are in pixels of a picture of 224; `scale` is its size over 224."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

FINE = 8  # a pixel is cut into 8 x 8 for the edge of a scaled disk


def gaussian_blur(x: np.ndarray, rng: np.random.Generator, scale: float, sigma: float) -> np.ndarray:
    """Convolution with a Gaussian, cut at four deviations; beyond the edge the outermost pixels are repeated."""
    return ndimage.gaussian_filter(x, (sigma * scale, sigma * scale, 0), mode="nearest")


def disk(radius: float, soft: float, scale: float) -> np.ndarray:
    """The kernel of a lens out of focus, [K, K], sum 1: pixels within `radius`, softened by a Gaussian of 3 (radius up
    to 8) or 5 pixels. For a picture of another size than 224, edge pixels count by their share within the radius."""
    reach = 8 if radius <= 8 else int(radius)
    if scale == 1:
        at = np.arange(-reach, reach + 1)
        kernel = (at[:, None] ** 2 + at**2 <= radius**2).astype(float)
    else:
        reach = int(np.ceil(reach * scale))
        at = (np.arange((2 * reach + 1) * FINE) + 0.5) / FINE - reach - 0.5
        inside = at[:, None] ** 2 + at**2 <= (radius * scale + 0.5 * scale) ** 2
        kernel = inside.reshape(2 * reach + 1, FINE, 2 * reach + 1, FINE).mean((1, 3))
    kernel /= kernel.sum()
    half = 1 if radius <= 8 else 2
    line = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * (soft * scale) ** 2))
    line /= line.sum()
    for axis in (0, 1):
        kernel = ndimage.correlate1d(kernel, line, axis=axis, mode="mirror")
    return kernel


def defocus_blur(x: np.ndarray, rng: np.random.Generator, scale: float, radius: float, soft: float) -> np.ndarray:
    """Convolution with `disk`; beyond the edge the outermost pixels are mirrored."""
    return ndimage.correlate(x, disk(radius, soft, scale)[:, :, None], mode="mirror")


def glass_blur(
    x: np.ndarray, rng: np.random.Generator, scale: float, sigma: float, reach: int, rounds: int
) -> np.ndarray:
    """A Gaussian blur, `rounds` of swaps of each pixel with one at most `reach` away, and the same blur again.

    As published, values are first cut to 8 bits, and pixels are swapped one after the other from the lower right, so
    that a swap affects later ones.
    """
    levels = np.floor(np.clip(gaussian_blur(x, rng, scale, sigma), 0, 1) * 255)
    height, width = x.shape[:2]
    edge = max(1, round(reach * scale))
    place = list(range(height * width))  # where each pixel comes from
    for _ in range(rounds):
        moves = rng.integers(-reach, reach, size=(height, width, 2)) * scale
        if scale != 1:
            moves = np.floor(moves + rng.random(moves.shape))  # rounded at random, so that the mean move is kept
        moves = np.clip(moves, -edge, edge - 1 if scale == 1 else edge).astype(int)
        away = (moves[..., 1] * width + moves[..., 0]).tolist()
        for row in range(height - edge - 1, edge, -1):
            for column in range(width - edge - 1, edge, -1):
                here = row * width + column
                there = here + away[row][column]
                place[here], place[there] = place[there], place[here]
    moved = levels.reshape(-1, x.shape[2])[place].reshape(x.shape)
    return gaussian_blur(moved / 255, rng, scale, sigma)


def moved_by_line(x: np.ndarray, length: float, sigma: float, angle: float) -> np.ndarray:
    """x [H, W, ...], blurred along one direction: half a Gaussian from the pixel on, 2 length + 1 whole steps.

    angle: in degrees, 0 to the right, clockwise. Beyond the edge the outermost pixels are repeated.
    """
    steps = np.arange(2 * max(1, round(length)) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    across, down = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    found = np.zeros_like(x)
    for step, weight in zip(steps, weights, strict=True):
        dx, dy = int(np.ceil(step * across - 0.5)), int(np.ceil(step * down - 0.5))
        rows = np.clip(np.arange(x.shape[0]) + dy, 0, x.shape[0] - 1)
        columns = np.clip(np.arange(x.shape[1]) + dx, 0, x.shape[1] - 1)
        found += weight * x[rows[:, None], columns]
    return found


def motion_blur(x: np.ndarray, rng: np.random.Generator, scale: float, length: float, sigma: float) -> np.ndarray:
    """A camera that moves along one line, at most 45 degrees from the horizontal."""
    return moved_by_line(x, length * scale, max(sigma * scale, 1e-3), rng.uniform(-45, 45))


def enlarged(x: np.ndarray, factor: float) -> np.ndarray:
    """The middle of x [H, W, ...], enlarged by linear interpolation to the size of x."""
    if factor == 1:
        return x
    height, width = x.shape[:2]
    h, w = int(np.ceil(height / factor)), int(np.ceil(width / factor))
    top, left = (height - h) // 2, (width - w) // 2
    zoom = (factor, factor, 1)[: x.ndim]
    big = ndimage.zoom(x[top : top + h, left : left + w], zoom, order=1)
    down, right = (big.shape[0] - height) // 2, (big.shape[1] - width) // 2
    return big[down : down + height, right : right + width]


def zoom_blur(x: np.ndarray, rng: np.random.Generator, scale: float, most: float, step: float) -> np.ndarray:
    """The mean of the picture and of itself enlarged by 1, 1 + step, ... below `most`."""
    factors = np.arange(1, most, step)
    return (x + sum(enlarged(x, factor) for factor in factors)) / (len(factors) + 1)
