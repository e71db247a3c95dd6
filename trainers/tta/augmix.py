"""Parameters of the random views of a picture, all drawn in advance, so that every backend makes the same views.

A view is a random resized crop, flipped or not, and where AugMix is on (Hendrycks et al., ICLR 2020, severity 1) mixed
with three chains of operations on that crop: m z + (1 - m) sum_k w_k chain_k(z). TPT (Shu et al., NeurIPS 2022) uses
AugMix on all data sets except ImageNet and its variants.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

OPERATIONS = (
    "autocontrast", "equalize", "posterize", "rotate", "solarize", "shear_x", "shear_y", "translate_x", "translate_y",
)  # fmt: skip
CHAINS, DEEPEST = 3, 3
ASPECT = (3 / 4, 4 / 3)


class Operation(NamedTuple):
    """amount: degrees (rotate), threshold (solarize), factor (shear), pixels (translate), bits (posterize), else 0."""

    name: str
    amount: float


@dataclass(frozen=True)
class View:
    """A crop box in pixels of the picture, and how the crop is mixed with its chains; without chains it is not
    mixed."""

    top: int
    left: int
    height: int
    width: int
    flip: bool
    keep: float = 1.0  # m, the weight of the crop itself
    weights: tuple[float, ...] = ()  # w, one a chain, adding up to 1
    chains: tuple[tuple[Operation, ...], ...] = ()


def draw_views(
    seed: int,
    count: int,
    picture: Sequence[int],
    size: Sequence[int],
    augmix: bool,
    scale: Sequence[float] = (0.08, 1.0),
    flip: float = 0.5,
) -> list[View]:
    """The parameters of `count` random views; the first k of them are those of count = k.

    seed: of a generator of their own. picture: (height, width) that is cropped. size: (height, width) of a view.
    scale: range of the crop's share of the area. flip: probability of a horizontal flip.
    """
    generator = np.random.default_rng(seed)
    views = []
    for _ in range(count):
        box = _crop(generator, *picture, scale)
        flipped = bool(generator.random() < flip)
        if not augmix:
            views.append(View(*box, flipped))
            continue
        weights = tuple(generator.dirichlet([1.0] * CHAINS).tolist())
        keep = generator.beta(1.0, 1.0)
        chains = tuple(
            tuple(_operation(generator, size) for _ in range(generator.integers(1, DEEPEST + 1))) for _ in range(CHAINS)
        )
        views.append(View(*box, flipped, keep, weights, chains))
    return views


def _crop(generator: np.random.Generator, height: int, width: int, scale: Sequence[float]) -> tuple[int, int, int, int]:
    """(top, left, height, width): area uniform in `scale`, aspect log-uniform; after ten misses the largest that fits
    in the middle."""
    for _ in range(10):
        area = height * width * generator.uniform(*scale)
        aspect = math.exp(generator.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(generator.integers(0, height - h + 1)), int(generator.integers(0, width - w + 1)), h, w
    h, w = min(height, round(width / ASPECT[0])), min(width, round(height * ASPECT[1]))
    return (height - h) // 2, (width - w) // 2, h, w


def _operation(generator: np.random.Generator, size: Sequence[int]) -> Operation:
    """One of the nine, with its level u ~ U(0.1, 1) turned into an amount at severity 1."""
    name = OPERATIONS[generator.integers(len(OPERATIONS))]
    if name in ("autocontrast", "equalize"):
        return Operation(name, 0)
    u = generator.uniform(0.1, 1.0)
    if name == "posterize":
        return Operation(name, 4 - int(0.4 * u))
    if name == "solarize":
        return Operation(name, 256 - int(25.6 * u))
    sign = -1 if generator.random() < 0.5 else 1
    if name == "rotate":
        return Operation(name, sign * int(3 * u))
    if name.startswith("shear"):
        return Operation(name, sign * 0.03 * u)
    length = size[1] if name == "translate_x" else size[0]
    return Operation(name, sign * int(length / 30 * u))
