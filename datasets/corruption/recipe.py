"""The 15 corruptions of ImageNet-C and the 4 extra ones, with the published strength of each of the five severities.

Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR 2019.
Three things differ, see docs/corruptions.md: frost is drawn, since the published photographs would be a download; the
edges of drops in spatter are found in another way; and pictures are not compressed as JPEG once more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from dassl.utils import InputError

from . import blurs, digital, noises, weather

VERSION = 1  # to be raised when any corrupted picture changes
SIZE = 224  # of the published pictures, in whose pixels all lengths are
SEVERITIES = (1, 2, 3, 4, 5)


class Corruption(NamedTuple):
    """A corruption: its function of (x [H, W, 3] in [0, 1], generator, scale, *strength), the strength at each
    severity, and its group. enlarged: a smaller picture is corrupted at the published size, and made small again: its
    drops or flakes would be less than a pixel."""

    function: Callable[..., np.ndarray]
    strengths: tuple[tuple[float, ...], ...]
    group: str
    enlarged: bool = False


def _one(*values: float) -> tuple[tuple[float, ...], ...]:
    return tuple((value,) for value in values)


ELASTIC = ((488, 170.8, 24.4), (488, 19.52, 48.8), (12.2, 2.44, 4.88), (17.08, 2.44, 4.88), (29.28, 2.44, 4.88))
SNOW = (
    (0.1, 0.3, 3, 0.5, 10, 4, 0.8), (0.2, 0.3, 2, 0.5, 12, 4, 0.7), (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
    (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65), (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
)  # fmt: skip
SPATTER = (
    (0.65, 0.3, 4, 0.69, 0.6, 0), (0.65, 0.3, 3, 0.68, 0.6, 0), (0.65, 0.3, 2, 0.68, 0.5, 0),
    (0.65, 0.3, 1, 0.65, 1.5, 1), (0.67, 0.4, 1, 0.65, 1.5, 1),
)  # fmt: skip
CORRUPTIONS = {
    "gaussian_noise": Corruption(noises.gaussian_noise, _one(0.08, 0.12, 0.18, 0.26, 0.38), "noise"),
    "shot_noise": Corruption(noises.shot_noise, _one(60, 25, 12, 5, 3), "noise"),
    "impulse_noise": Corruption(noises.impulse_noise, _one(0.03, 0.06, 0.09, 0.17, 0.27), "noise"),
    "defocus_blur": Corruption(blurs.defocus_blur, ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)), "blur"),
    "glass_blur": Corruption(blurs.glass_blur, ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)), "blur"),
    "motion_blur": Corruption(blurs.motion_blur, ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)), "blur"),
    "zoom_blur": Corruption(
        blurs.zoom_blur, ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)), "blur"
    ),
    "snow": Corruption(weather.snow, SNOW, "weather", True),
    "frost": Corruption(weather.frost, ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)), "weather"),
    "fog": Corruption(weather.fog, ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)), "weather"),
    "brightness": Corruption(digital.brightness, _one(0.1, 0.2, 0.3, 0.4, 0.5), "weather"),
    "contrast": Corruption(digital.contrast, _one(0.4, 0.3, 0.2, 0.1, 0.05), "digital"),
    "elastic_transform": Corruption(digital.elastic_transform, ELASTIC, "digital"),
    "pixelate": Corruption(digital.pixelate, _one(0.6, 0.5, 0.4, 0.3, 0.25), "digital"),
    "jpeg_compression": Corruption(digital.jpeg_compression, _one(25, 18, 15, 10, 7), "digital"),
    "speckle_noise": Corruption(noises.speckle_noise, _one(0.15, 0.2, 0.35, 0.45, 0.6), "extra"),
    "gaussian_blur": Corruption(blurs.gaussian_blur, _one(1, 2, 3, 4, 6), "extra"),
    "spatter": Corruption(weather.spatter, SPATTER, "extra", True),
    "saturate": Corruption(digital.saturate, ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)), "extra"),
}


def corrupt(picture: np.ndarray, name: str, severity: int, seed: int) -> np.ndarray:
    """The picture, uint8 [H, W, 3] of any size, corrupted: uint8 of the same shape.

    severity: 1 to 5. The same seed gives the same pixels. Raises InputError for an unknown corruption or severity.
    """
    if name not in CORRUPTIONS:
        raise InputError(f"There is no corruption {name!r}; there are {', '.join(CORRUPTIONS)}.")
    if severity not in SEVERITIES:
        raise InputError(f"The severity of a corruption is 1 to 5, not {severity}.")
    kind = CORRUPTIONS[name]
    height, width = picture.shape[:2]
    scale = min(height, width) / SIZE
    if kind.enlarged and scale < 1:
        large = Image.fromarray(picture).resize((round(width / scale), round(height / scale)), Image.Resampling.BICUBIC)
        done = Image.fromarray(_applied(kind, np.asarray(large), 1, severity, seed))
        return np.asarray(done.resize((width, height), Image.Resampling.BOX))
    return _applied(kind, picture, scale, severity, seed)


def _applied(kind: Corruption, picture: np.ndarray, scale: float, severity: int, seed: int) -> np.ndarray:
    found = kind.function(picture / 255, np.random.default_rng(seed), scale, *kind.strengths[severity - 1])
    return np.clip(found * 255, 0, 255).astype(np.uint8)  # cut, not rounded, as published
