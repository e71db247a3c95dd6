"""Training pairs: random scenes, and captions that are true of them.

What a caption may leave open (colour, pattern, size, ...) is kept beside it, so that the loss can tell a wrong
caption from one that belongs to another image but happens to be true of this one too.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor

from .atlas import atlas
from .captions import Captioner
from .render import Scene, blank, render
from .vocab import COLOURS, DIGITS, FIELDS, HELD_OUT, LETTERS, NOUNS, PATTERNS, SHAPES, TEXTURES

# Columns of the attribute tables; -1 in an image: not shown; -1 in a caption: not said.
ATTRIBUTES = ("noun", "colour", "pattern", "size", "background", "outline", "clutter", "blur")
_RGB = torch.tensor(list(COLOURS.values()))
_ALLOWED = torch.tensor([[(p, s) not in HELD_OUT for p in PATTERNS] for s in SHAPES])  # [shape, pattern]


@dataclass
class Pairs:
    """A batch of B pairs; captions[i] belongs to image i."""

    images: Tensor  # [B, 3, 48, 48] in 0..1
    coverage: Tensor  # [B, 48, 48] where the figure is
    captions: list[str]
    shown: Tensor  # [B, 8] attributes of the images
    said: Tensor  # [B, 8] attributes that the captions state


def _uniform(n: int, low: float, high: float, g: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=g)


def _some(n: int, probability: float, g: torch.Generator) -> Tensor:
    return (torch.rand(n, generator=g) < probability).float()


def draw_scenes(n: int, hardness: float, g: torch.Generator) -> tuple[Scene, Tensor]:
    """n random training scenes and their attributes [n, 8]; half shapes, the rest glyphs and textures.

    hardness 0..1 scales clutter, blur, noise, rotation and warp (0: clean, upright pictures).
    """
    _, index = atlas()
    scene = blank(n)
    shown = torch.full((n, len(ATTRIBUTES)), -1)
    kind = torch.randperm(n, generator=g) % 20  # 0..10 shapes, 11..15 glyphs, 16..19 textures: exact shares
    is_shape, is_glyph, is_texture = kind < 11, (kind >= 11) & (kind < 16), kind >= 16
    outlined = (kind < 4) & is_shape

    shape = torch.randint(len(SHAPES), (n,), generator=g)
    glyph = torch.randint(len(DIGITS) + len(LETTERS), (n,), generator=g)
    extra_digit = torch.rand(n, generator=g) < 0.25  # digits a little more often than single letters
    glyph = torch.where(extra_digit, glyph % len(DIGITS), glyph)
    texture = torch.randint(len(TEXTURES), (n,), generator=g)
    weights = _ALLOWED[shape].float()
    weights[:, 0] = 0.5
    pattern = torch.multinomial(weights, 1, generator=g)[:, 0]
    face = torch.randint(len(index["glyph"]), (n,), generator=g)
    width = torch.randint(len(index["outline"]), (n,), generator=g)

    noun = torch.where(is_glyph, len(SHAPES) + glyph, len(NOUNS) - len(TEXTURES) + texture)
    noun = torch.where(is_shape, shape, noun)
    filled = torch.where(outlined, index["outline"][width, shape], index["filled"][shape])
    scene.mask = torch.where(is_shape, filled, torch.where(is_glyph, index["glyph"][face, glyph], -1))
    field_of = torch.tensor([FIELDS.index(t) for t in TEXTURES])
    scene.pattern = torch.where(is_texture, field_of[texture], torch.where(is_shape & ~outlined, pattern, 0))

    # Colours: four different names, each with some jitter.
    order = torch.rand(n, len(COLOURS), generator=g).argsort(1)[:, :4]
    jitter = 0.07 * torch.randn(n, 4, 3, generator=g)
    scene.colours = (_RGB[order] + jitter).clamp(0, 1)
    plain = (outlined | is_glyph) & (torch.rand(n, generator=g) < 0.5)  # dark on light or light on dark
    dark, light = _uniform(n, 0.0, 0.25, g), _uniform(n, 0.75, 1.0, g)
    flip = torch.rand(n, generator=g) < 0.4
    ink, paper = torch.where(flip, light, dark), torch.where(flip, dark, light)
    scene.colours[plain, 0] = ink[plain, None].expand(-1, 3)
    scene.colours[plain, 2] = paper[plain, None].expand(-1, 3)
    # Figure and ground, and the two colours of a pattern, must differ in brightness or hue.
    for a, b in ((0, 2), (0, 1)):
        close = (scene.colours[:, a] - scene.colours[:, b]).norm(dim=1) < 0.42
        push = torch.where(scene.colours[:, a].mean(1) > 0.5, -0.45, 0.45)
        scene.colours[close, b] = (scene.colours[close, b] + push[close, None]).clamp(0, 1)
    grey = torch.rand(n, generator=g) < 0.12
    scene.colours[grey] = scene.colours[grey].mean(2, keepdim=True).expand(-1, -1, 3)
    for a, b in ((0, 2), (0, 1)):
        close = grey & ((scene.colours[:, a] - scene.colours[:, b]).abs().amax(1) < 0.3)
        push = torch.where(scene.colours[:, a].mean(1) > 0.5, -0.4, 0.4)
        scene.colours[close, b] = (scene.colours[close, b] + push[close, None]).clamp(0, 1)
    drawn_over = is_shape & ~outlined & (torch.rand(n, generator=g) < 0.12)
    scene.stroke = torch.where(drawn_over, index["outline"][width, shape], -1)
    plain = plain | grey
    repainted = (scene.colours[:, 2] - (_RGB[order[:, 2]] + jitter[:, 2])).abs().amax(1) > 0.3

    size = _uniform(n, 0.62, 1.15, g)
    scene.scale = torch.where(is_glyph, 1.3, 1.0) * size
    room = (0.5 - 0.37 * size).clamp_min(0.02)
    scene.centre = room[:, None] * (2 * torch.rand(n, 2, generator=g) - 1)
    turn = 0.15 + 0.35 * hardness
    scene.angle = turn * torch.randn(n, generator=g).clamp(-2, 2) * torch.where(is_glyph, 0.5, 1.0)
    scene.angle = torch.where(is_texture, _uniform(n, 0, 2 * math.pi, g), scene.angle)
    scene.shear = 0.2 * hardness * torch.randn(n, generator=g).clamp(-2, 2)
    scene.aspect = torch.exp(0.12 * torch.randn(n, generator=g).clamp(-2, 2))
    scene.warp = _uniform(n, 0, 0.15 + 0.35 * hardness, g) * torch.where(is_glyph, 0.6, 1.0)
    scene.period = torch.where(is_texture, _uniform(n, 0.13, 0.26, g), (0.2 * size.sqrt()) * _uniform(n, 0.85, 1.3, g))
    scene.pattern_angle = _uniform(n, 0, 2 * math.pi, g)
    scene.seed = torch.rand(n, generator=g)
    scene.scale = torch.where(is_texture, 1.0, scene.scale)
    scene.centre = torch.where(is_texture[:, None], 0.3 * (scene.centre > 0).float() - 0.15, scene.centre)

    hard = hardness * (torch.rand(n, generator=g) < 0.75)
    scene.background = torch.where(torch.rand(n, generator=g) < 0.6, hard * _uniform(n, 0.1, 0.6, g), 0.0)
    cluttered = is_shape * _some(n, 0.3 * hardness, g)
    scene.clutter = cluttered * torch.randint(1, 4, (n,), generator=g)
    blurred = _some(n, 0.2 * hardness, g)
    scene.blur = torch.where(blurred > 0, _uniform(n, 0.8, 1.5, g), hard * _uniform(n, 0, 0.5, g))
    scene.noise = hard * _uniform(n, 0, 0.07, g)
    scene.contrast = 1 - hard * _uniform(n, 0, 0.35, g)

    shown[:, 0] = noun
    shown[:, 1] = torch.where(plain, -1, order[:, 0])
    shown[:, 2] = torch.where(is_shape & ~outlined, pattern, -1)
    shown[:, 3] = torch.where(is_texture | ((size > 0.8) & (size < 0.97)), -1, (size > 0.88).long())
    shown[:, 4] = torch.where(plain | is_texture | repainted | (scene.background > 0.3), -1, order[:, 2])
    shown[:, 5] = outlined.long()
    shown[:, 6] = cluttered.long()
    shown[:, 7] = blurred.long()
    return scene, shown


def draw_pairs(n: int, hardness: float, captioner: Captioner, g: torch.Generator, rng: random.Random) -> Pairs:
    """One training batch of n rendered image-caption pairs."""
    scene, shown = draw_scenes(n, hardness, g)
    images, coverage = render(scene, g)
    captions, said = [], []
    for row in shown.tolist():
        text, stated = captioner.caption(row, rng)
        captions.append(text)
        said.append(stated)
    return Pairs(images, coverage, captions, shown, torch.tensor(said))
