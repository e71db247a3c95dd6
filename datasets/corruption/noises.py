"""Noise in single pixels. x [H, W, 3] in [0, 1]; the strengths do not depend on the size of the picture."""

from __future__ import annotations

import numpy as np


def gaussian_noise(x: np.ndarray, rng: np.random.Generator, scale: float, deviation: float) -> np.ndarray:
    """x + N(0, deviation²) in every pixel and channel."""
    return x + rng.normal(scale=deviation, size=x.shape)


def shot_noise(x: np.ndarray, rng: np.random.Generator, scale: float, photons: float) -> np.ndarray:
    """Poisson noise: a white pixel has `photons` photons on average."""
    return rng.poisson(np.clip(x, 0, 1) * photons) / photons


def impulse_noise(x: np.ndarray, rng: np.random.Generator, scale: float, share: float) -> np.ndarray:
    """A share of all values is set to 0 or 1, with equal probability."""
    hit, white = rng.random(x.shape) < share, rng.random(x.shape) < 0.5
    return np.where(hit, white.astype(x.dtype), x)


def speckle_noise(x: np.ndarray, rng: np.random.Generator, scale: float, deviation: float) -> np.ndarray:
    """x + x N(0, deviation²)."""
    return x + x * rng.normal(scale=deviation, size=x.shape)
