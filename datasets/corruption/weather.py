"""Fog, frost, snow, spatter. Lengths are in pixels of a picture of 224; `scale` is its size over 224."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from .blurs import enlarged, moved_by_line

WATER, MUD = np.array([175, 238, 238]) / 255, np.array([63, 42, 20]) / 255
ICE = np.array([0.80, 0.88, 1.0])


def plasma(size: int, decay: float, rng: np.random.Generator) -> np.ndarray:
    """A random height map [size, size] in [0, 1] by diamonds and squares that wrap around; size: a power of two.

    At each halving of the step the random part is divided by `decay`.
    """
    heights, step, rough = np.zeros((size, size)), size, 100.0

    def wobbled(total: np.ndarray) -> np.ndarray:
        return total / 4 + rough * rng.uniform(-1, 1, total.shape)

    while step >= 2:
        half = step // 2
        corners = heights[::step, ::step]
        square = corners + np.roll(corners, -1, 0)
        square = square + np.roll(square, -1, 1)
        heights[half::step, half::step] = wobbled(square)
        centres = heights[half::step, half::step]
        left = centres + np.roll(centres, 1, 0)
        heights[::step, half::step] = wobbled(left + corners + np.roll(corners, -1, 1))
        up = centres + np.roll(centres, 1, 1)
        heights[half::step, ::step] = wobbled(up + corners + np.roll(corners, -1, 0))
        step, rough = half, rough / decay
    heights -= heights.min()
    return heights / heights.max()


def fog(x: np.ndarray, rng: np.random.Generator, scale: float, strength: float, decay: float) -> np.ndarray:
    """x + strength * plasma, rescaled to the picture's largest value."""
    height, width = x.shape[:2]
    size = 1 << (max(height, width) - 1).bit_length()
    brightest = x.max()
    foggy = x + strength * plasma(size, decay, rng)[:height, :width, None]
    return foggy * brightest / (brightest + strength)


def frost(x: np.ndarray, rng: np.random.Generator, scale: float, kept: float, iced: float) -> np.ndarray:
    """kept * x + iced * ice on a window pane. The published recipe has photographs of frost; this ice is drawn:
    crystals (cells around random points, bright at their borders, of three sizes) where a plasma is high."""
    height, width = x.shape[:2]
    size = 1 << (max(height, width) - 1).bit_length()
    cover = np.clip(1.6 * plasma(size, 1.8, rng)[:height, :width] - 0.2, 0, 1)
    rows, columns = np.mgrid[:height, :width]
    ice = np.zeros((height, width))
    for length, weight in ((36, 0.5), (16, 0.3), (7, 0.2)):
        count = max(3, round(height * width / (length * scale) ** 2))
        angle = rng.uniform(0, np.pi)
        turned = np.array([[np.cos(angle), -np.sin(angle)], [0.4 * np.sin(angle), 0.4 * np.cos(angle)]])  # needles
        points = rng.uniform(0, 1, (count, 2)) * (height, width)
        near, _ = cKDTree(points @ turned.T).query(np.stack([rows, columns], -1) @ turned.T, k=2)
        border = 1 - np.clip((near[..., 1] - near[..., 0]) / (0.5 * length * scale), 0, 1)
        ice += weight * (0.35 + 0.65 * border)
    return kept * x + iced * (cover * ice)[..., None] * ICE


def snow(
    x: np.ndarray, rng: np.random.Generator, scale: float,
    mean: float, deviation: float, zoom: float, least: float, length: float, sigma: float, kept: float,
) -> np.ndarray:  # fmt: skip
    """Flakes: pixels of Gaussian noise above `least`, enlarged and moved, in two layers; the rest turns pale."""
    height, width = x.shape[:2]
    flakes = enlarged(rng.normal(mean, deviation, (height, width)), max(1.0, zoom * scale))
    flakes = np.where(flakes < least, 0, np.clip(flakes, 0, 1))
    flakes = np.floor(flakes * 255) / 255
    flakes = moved_by_line(flakes, length * scale, sigma * scale, rng.uniform(-135, -45))[..., None]
    grey = (x @ (0.299, 0.587, 0.114))[..., None]
    return kept * x + (1 - kept) * np.maximum(x, 1.5 * grey + 0.5) + flakes + flakes[::-1, ::-1]


def spatter(
    x: np.ndarray, rng: np.random.Generator, scale: float,
    mean: float, deviation: float, sigma: float, least: float, strength: float, mud: int,
) -> np.ndarray:  # fmt: skip
    """Drops of water, or splashes of mud, where smoothed noise is above `least`."""
    smooth = ndimage.gaussian_filter(rng.normal(mean, deviation, x.shape[:2]), sigma * scale, mode="nearest")
    if mud:
        splash = ndimage.gaussian_filter((smooth > least).astype(float), strength * scale, mode="nearest")
        splash = np.where(splash < 0.8, 0, splash)[..., None]
        return np.clip(x * (1 - splash) + splash * MUD, 0, 1)
    liquid = np.floor(np.clip(np.where(smooth < least, 0, smooth), 0, 1) * 255)
    gloss = _gloss(liquid, scale) * liquid
    if not gloss.max():
        return x
    return x + strength * (gloss / gloss.max())[..., None] * WATER


def _gloss(liquid: np.ndarray, scale: float) -> np.ndarray:
    """Light and shade on drops [H, W]: a relief of the distance to their edges (at most 20 pixels), equalised."""
    steep = np.hypot(ndimage.sobel(liquid, 0), ndimage.sobel(liquid, 1)) > 100
    far = ndimage.distance_transform_edt(~steep) if steep.any() else np.full(liquid.shape, 20.0)
    far = np.floor(ndimage.uniform_filter(np.minimum(far, 20 * scale), 3))
    counts = np.searchsorted(np.sort(far.ravel()), far, side="right")
    least = counts.min()
    level = np.round((counts - least) / max(1, far.size - least) * 255)
    relief = ndimage.correlate(level, np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], float), mode="mirror")
    return ndimage.uniform_filter(np.clip(relief, 0, 255), 3)
