"""The downstream sets: how each one's scenes differ from the training pairs, and which images a set holds.

Everything here is a fixed function of GENERATOR_VERSION: change the version when an image changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .atlas import atlas
from .render import IMAGE_SIZE, Scene, blank, render
from .styles import STYLES
from .vocab import CLASSES, COLOURS, DIGITS, FIELDS, LETTERS, SHAPES

GENERATOR_VERSION = 4


@dataclass(frozen=True)
class Shift:
    """How far a set is from the training pairs. Amounts are 0..1 unless stated; training's own range is about 0.5."""

    palette: float = 0.5  # colours are pulled from the named ones towards any RGB
    rotation: float = 0.35  # standard deviation, radians
    shear: float = 0.15
    warp: float = 0.5
    background: float = 0.5  # a second background colour, in blotches
    clutter: int = 0  # small figures around the main one, at most
    blur: float = 0.6  # largest standard deviation, pixels
    noise: float = 0.03
    contrast: float = 0.9
    hatch: float = 0.0
    size: tuple[float, float] = (0.65, 1.1)
    period: tuple[float, float] = (0.16, 0.26)
    ink: bool = False  # dark ink on light paper or the reverse, instead of colours
    # (style of the whole image, see styles.py; its share in the blend with the plain image). The classes take these in
    # turn, so that what a prompt learns about the look of some classes does not hold for the others.
    looks: tuple[tuple[str, float], ...] = (("plain", 1.0),)


@dataclass(frozen=True)
class Spec:
    """One dataset: its folder and class key in vocab.CLASSES, registry name, shift, and images per class."""

    stem: str
    name: str
    classes: str
    shift: Shift
    train: int
    val: int
    test: int


# Shapes is the source of transfer, so its shift is smaller than that of its variants.
_SHAPES = Shift(
    warp=0.3, rotation=0.25, blur=0.3, noise=0.01,
    looks=(("mosaic_11", 1.0), ("negative", 1.0), ("solarized", 1.0), ("negative_solarized", 1.0)),
)  # fmt: skip
_CLUTTER = Shift(clutter=4, background=0.8, looks=(("mosaic_12", 1.0),))
_INVERTED = Shift(looks=(("negative", 1.0),), contrast=0.65)
SPECS = {
    spec.stem: spec
    for spec in (
        Spec("digits", "Digits", "digits",
             Shift(looks=(("solarized", 1.0), ("mosaic_7", 1.0), ("negative_solarized", 1.0))), 60, 12, 100),
        Spec("shapes", "Shapes", "shapes", _SHAPES, 24, 6, 30),
        Spec("shapes_sketch", "ShapesSketch", "shapes", Shift(ink=True, hatch=0.3), 0, 0, 30),
        Spec("shapes_clutter", "ShapesClutter", "shapes", _CLUTTER, 0, 0, 30),
        Spec("shapes_inverted", "ShapesInverted", "shapes", _INVERTED, 0, 0, 30),
        Spec("textures", "Textures", "textures",
             Shift(palette=1.0, period=(0.13, 0.3), looks=(
                 ("contour", 0.65), ("negative_solarized", 1.0), ("mosaic_11", 1.0), ("relief", 0.75))), 32, 8, 70),
        Spec("letters", "Letters", "letters",
             Shift(ink=True, shear=0.25, looks=(
                 ("contour", 1.0), ("relief", 1.0), ("negative_solarized", 1.0), ("mosaic_8", 1.0))), 24, 6, 40),
        Spec("objects", "Objects", "objects",
             Shift(ink=True, warp=0.4, hatch=0.1, looks=(
                 ("relief", 1.0), ("contour", 0.9), ("mosaic_9", 1.0), ("mosaic_15_relief", 1.0))), 30, 8, 55),
    )
}  # fmt: skip


def _scene(spec: Spec, labels: Tensor, g: torch.Generator) -> Scene:
    """Scenes of one split: labels [N] of the set's classes."""
    shift, n = spec.shift, len(labels)
    _, index = atlas()
    scene = blank(n)
    names = [CLASSES[spec.classes][i] for i in labels.tolist()]
    normal = lambda: torch.randn(n, generator=g).clamp(-2, 2)  # noqa: E731
    between = lambda low, high: low + (high - low) * torch.rand(n, generator=g)  # noqa: E731

    size = between(*shift.size)
    scene.scale, scene.period = size, between(*shift.period)
    scene.angle, scene.shear = shift.rotation * normal(), shift.shear * normal()
    scene.aspect, scene.warp = torch.exp(0.12 * normal()), shift.warp * between(0.4, 1.0)
    scene.pattern_angle, scene.seed = between(0, 2 * math.pi), torch.rand(n, generator=g)
    scene.centre = 0.07 * torch.stack((normal(), normal()), dim=1)
    scene.background, scene.blur = between(0, shift.background), between(0, shift.blur)
    scene.noise, scene.contrast = between(0, shift.noise), shift.contrast * between(0.8, 1.0)
    scene.clutter = torch.randint(min(1, shift.clutter), shift.clutter + 1, (n,), generator=g)
    scene.hatch = between(0, shift.hatch)
    scene.colours = _colours(n, shift, spec.classes == "shapes", g)

    if spec.classes == "textures":
        scene.pattern = torch.tensor([FIELDS.index(name) for name in names])
        scene.angle, scene.scale = between(0, 2 * math.pi), torch.ones(n)
    elif spec.classes == "letters":
        face = torch.randint(len(index["glyph"]), (n,), generator=g)
        scene.mask = index["glyph"][face, torch.tensor([10 + LETTERS.index(name) for name in names])]
        scene.scale = 1.3 * size
    elif spec.classes == "objects":
        scene.mask = index["thin"][torch.tensor([SHAPES.index(name) for name in names])]
    else:
        pattern, shape = zip(*(name.split() for name in names), strict=True)
        shapes = torch.tensor([SHAPES.index(s) for s in shape])
        scene.mask = index["filled"][shapes]
        scene.pattern = torch.tensor([FIELDS.index(p) for p in pattern])
        if shift.ink:
            scene.stroke = index["thin"][shapes]
    return scene


def _colours(n: int, shift: Shift, outlined: bool, g: torch.Generator) -> Tensor:
    """[n, 4, 3]: figure, second colour of its pattern, background, second background."""
    rgb = torch.tensor(list(COLOURS.values()))
    order = torch.rand(n, len(rgb), generator=g).argsort(1)[:, :4]
    free = torch.rand(n, 4, 3, generator=g)
    colours = (1 - shift.palette) * rgb[order] + shift.palette * free
    for a, b in ((0, 2), (0, 1)):
        close = (colours[:, a] - colours[:, b]).norm(dim=1) < 0.5
        push = torch.where(colours[:, a].mean(1) > 0.5, -0.5, 0.5)
        colours[close, b] = (colours[close, b] + push[close, None]).clamp(0, 1)
    if not shift.ink:
        return colours
    # One hue: a figure of light and dark values; the second background is close to the first.
    flip = torch.rand(n, generator=g) < 0.3
    dark = 0.1 + 0.2 * torch.rand(n, generator=g)
    light = 0.75 + 0.2 * torch.rand(n, generator=g)
    ink, paper = torch.where(flip, light, dark), torch.where(flip, dark, light)
    middle = 0.65 * paper + 0.35 * ink
    first, second = (paper, ink) if outlined else (ink, middle)
    grey = torch.stack((first, second, paper, middle), dim=1)
    return grey[..., None] + 0.08 * (free[:, :1] - 0.5)


def _digits(split: str, draws: str) -> tuple[Tensor, Tensor]:
    """scikit-learn's 8x8 scans enlarged to 40 and padded to 48 pixels: [N, 3, 48, 48], labels [N].

    There are no more than 174 scans of some digits: other draws have a third of the training scans, the validation
    scans and the few that no split holds for their test images.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    spec = SPECS["digits"]
    order = np.random.default_rng(0).permutation(len(data.target))
    rows: list[int] = []
    for label in range(len(DIGITS)):
        mine = [i for i in order if data.target[i] == label]
        sizes = np.cumsum([spec.test, spec.val, spec.train])
        test, val, train, left = (part.tolist() for part in np.split(mine, sizes))
        if draws:
            kept = 2 * len(train) // 3
            train, test = train[:kept], train[kept:] + val + left
        rows += {"train": train, "val": val, "test": test}[split]
    scans = torch.from_numpy(data.images[rows] / 16).float()[:, None]
    large = torch.nn.functional.interpolate(scans, size=(40, 40), mode="bicubic", align_corners=False).clamp(0, 1)
    pad = (IMAGE_SIZE - 40) // 2
    images = torch.nn.functional.pad(large, (pad, pad, pad, pad)).expand(-1, 3, -1, -1)
    return images, torch.from_numpy(data.target[rows])


def draw_split(stem: str, split: str, batch: int = 240, draws: str = "") -> Iterator[tuple[Tensor, Tensor]]:
    """Images uint8 [N, 48, 48, 3] and labels [N] of a split ("train", "val", "test") in batches, ordered by class.

    draws: a name gives other images of the same kind; models and settings are chosen on those, not on the set's own.
    """
    spec = SPECS[stem]
    g = torch.Generator().manual_seed(int.from_bytes(f"{stem}/{split}{draws}".encode(), "big") % (2**61 - 1))
    if stem == "digits":
        images, labels = _digits(split, draws)
        yield _to_bytes(_styled(images, labels, spec.shift.looks, g)), labels
        return
    labels = torch.arange(len(CLASSES[spec.classes])).repeat_interleave(getattr(spec, split))
    for part in labels.split(batch):
        images, _ = render(_scene(spec, part, g), g)
        yield _to_bytes(_styled(images, part, spec.shift.looks, g)), part


def _styled(images: Tensor, labels: Tensor, looks: tuple[tuple[str, float], ...], g: torch.Generator) -> Tensor:
    """The images in the look of their class."""
    out = images.clone()
    for turn, (style, strength) in enumerate(looks):
        rows = labels % len(looks) == turn
        if rows.any():
            out[rows] = torch.lerp(images[rows], STYLES[style](images[rows], g).clamp(0, 1), strength)
    return out


def _to_bytes(images: Tensor) -> Tensor:
    return (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
