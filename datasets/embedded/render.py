"""Batched rendering of scenes at 48 pixels: about a thousand images a second on one core.

A `Scene` holds the parameters of B images as tensors; `render` turns it into RGB. Training pairs (pairs.py) and the
downstream sets (suite.py) fill scenes from different distributions: that difference is the suite's domain shift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from .atlas import atlas
from .patterns import field
from .vocab import FIELDS

IMAGE_SIZE = 48


@dataclass
class Scene:
    """Parameters of B images. Colours are RGB in 0..1, lengths are fractions of the image side, angles radians."""

    mask: Tensor  # [B] index into the atlas; -1: the pattern fills the image (textures)
    pattern: Tensor  # [B] index into vocab.FIELDS
    colours: Tensor  # [B, 4, 3] figure, second colour of its pattern, background, second background
    scale: Tensor  # [B] side of the mask's square
    centre: Tensor  # [B, 2] offset from the image centre
    angle: Tensor  # [B]
    shear: Tensor  # [B]
    aspect: Tensor  # [B] width over height
    warp: Tensor  # [B] amplitude of the elastic warp
    period: Tensor  # [B] of the pattern
    pattern_angle: Tensor  # [B] relative to the figure
    seed: Tensor  # [B] 0..1, varies irregular patterns and their phase
    background: Tensor  # [B] 0..1, how much of the second background shows
    clutter: Tensor  # [B] number of small figures behind the main one, 0..3
    hatch: Tensor  # [B] 0..1, strength of pencil hatching over the whole image
    blur: Tensor  # [B] standard deviation in pixels
    noise: Tensor  # [B] standard deviation of the pixel noise
    contrast: Tensor  # [B] 1 leaves the image alone
    stroke: Tensor  # [B] atlas index of an outline drawn over the figure in its second colour; -1: none

    def __len__(self) -> int:
        return len(self.mask)

    def __getitem__(self, index: Tensor | slice) -> Scene:
        return Scene(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


def blank(n: int) -> Scene:
    """A plain scene of n images to start from: upright, centred, no shift of any kind."""
    zeros, ones = torch.zeros(n), torch.ones(n)
    names = ("angle", "shear", "warp", "pattern_angle", "seed", "background", "clutter", "hatch", "blur", "noise")
    return Scene(
        mask=torch.full((n,), -1), stroke=torch.full((n,), -1), pattern=torch.zeros(n, dtype=torch.long),
        colours=torch.zeros(n, 4, 3), centre=torch.zeros(n, 2), scale=0.7 * ones, aspect=ones.clone(),
        period=0.2 * ones, contrast=ones.clone(),
        **{name: zeros.clone() for name in names},
    )  # fmt: skip


def _smooth_field(n: int, channels: int, cells: int, generator: torch.Generator) -> Tensor:
    """Random field [n, channels, 48, 48] of standard deviation about 1 that varies over 1/cells of the image."""
    coarse = torch.randn(n, channels, cells + 1, cells + 1, generator=generator)
    return F.interpolate(coarse, size=(IMAGE_SIZE, IMAGE_SIZE), mode="bicubic", align_corners=True)


def _to_figure(xy: Tensor, scene: Scene) -> Tensor:
    """Image coordinates [B, H, W, 2] (-0.5..0.5) -> coordinates of the figure's square (-1..1 inside it)."""
    shifted = xy - scene.centre[:, None, None, :]
    cos, sin = torch.cos(scene.angle)[:, None, None], torch.sin(scene.angle)[:, None, None]
    x = cos * shifted[..., 0] + sin * shifted[..., 1]
    y = -sin * shifted[..., 0] + cos * shifted[..., 1]
    x = x + scene.shear[:, None, None] * y
    half = (scene.scale / 2)[:, None, None]
    root = scene.aspect.sqrt()[:, None, None]
    return torch.stack((x / (half * root), y * root / half), dim=-1)


def _sample_masks(index: Tensor, where: Tensor) -> Tensor:
    """Values [B, H, W] in 0..1 of atlas masks `index` at `where` [B, H, W, 2] (-1..1)."""
    masks = atlas()[0][index].float().div_(255).unsqueeze(1)
    return F.grid_sample(masks, where, mode="bilinear", padding_mode="zeros", align_corners=False)[:, 0]


def _pattern(scene: Scene, uv: Tensor) -> Tensor:
    """Pattern values [B, H, W]; uv [B, H, W, 2] are image lengths in the figure's frame."""
    out = torch.zeros(uv.shape[:3])
    cos, sin = torch.cos(scene.pattern_angle)[:, None, None], torch.sin(scene.pattern_angle)[:, None, None]
    phase = torch.stack((torch.frac(scene.seed * 7.0), torch.frac(scene.seed * 13.0)), dim=-1)[:, None, None, :]
    x, y = uv[..., 0], uv[..., 1]
    turned = torch.stack((cos * x + sin * y, -sin * x + cos * y), dim=-1) / scene.period[:, None, None, None]
    for k, name in enumerate(FIELDS):
        if name == "solid":
            continue
        rows = (scene.pattern == k).nonzero()[:, 0]
        if len(rows):
            # A ramp and a spiral have a centre; the others start anywhere.
            shift = 0.0 if name in ("shaded", "swirled", "ringed") else phase[rows]
            at = turned[rows] + shift
            out[rows] = field(name, at[..., 0], at[..., 1], scene.seed[rows])
    return out


def _add_clutter(image: Tensor, scene: Scene, xy: Tensor, generator: torch.Generator) -> Tensor:
    """Small filled figures at the rim, under the main one."""
    filled = atlas()[1]["filled"]
    n = len(scene)
    for k in range(3):
        pick = filled[torch.randint(len(filled), (n,), generator=generator)]
        turn = 2 * math.pi * torch.rand(n, generator=generator)
        distance = 0.33 + 0.15 * torch.rand(n, generator=generator)
        side = 0.16 + 0.16 * torch.rand(n, generator=generator)
        colour = torch.rand(n, 3, generator=generator)
        rows = (scene.clutter > k).nonzero()[:, 0]
        if not len(rows):
            break
        small = blank(len(rows))
        small.angle, small.scale = 3 * turn[rows], side[rows]
        small.centre = (distance[:, None] * torch.stack((torch.cos(turn), torch.sin(turn)), -1))[rows]
        alpha = _sample_masks(pick[rows], _to_figure(xy[rows], small))[:, None]
        image[rows] = image[rows] * (1 - alpha) + alpha * colour[rows][:, :, None, None]
    return image


def _blur(image: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur with its own sigma (pixels) for each image; 0 leaves an image alone."""
    rows = (sigma > 0.15).nonzero()[:, 0]
    if not len(rows):
        return image
    taps = torch.arange(-3, 4, dtype=torch.float32)
    kernel = torch.exp(-(taps**2) / (2 * sigma[rows, None] ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)  # [3R, 7]
    flat = image[rows].reshape(1, -1, IMAGE_SIZE, IMAGE_SIZE)
    groups = flat.shape[1]
    flat = F.conv2d(F.pad(flat, (3, 3, 0, 0), mode="replicate"), kernel[:, None, None, :], groups=groups)
    flat = F.conv2d(F.pad(flat, (0, 0, 3, 3), mode="replicate"), kernel[:, None, :, None], groups=groups)
    image[rows] = flat.view(len(rows), 3, IMAGE_SIZE, IMAGE_SIZE)
    return image


def render(scene: Scene, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """RGB [B, 3, 48, 48] in 0..1 and the figure's coverage [B, 48, 48] (all ones for textures)."""
    n = len(scene)
    axis = (torch.arange(IMAGE_SIZE, dtype=torch.float32) + 0.5) / IMAGE_SIZE - 0.5
    xy = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1).expand(n, -1, -1, -1)
    wobble = _smooth_field(n, 2, 4, generator).permute(0, 2, 3, 1)
    warped = xy + 0.1 * scene.warp[:, None, None, None] * wobble
    local = _to_figure(warped, scene)
    coverage = torch.ones(n, IMAGE_SIZE, IMAGE_SIZE)
    figures = (scene.mask >= 0).nonzero()[:, 0]
    if len(figures):
        coverage[figures] = _sample_masks(scene.mask[figures], local[figures])
    # The pattern turns and stretches with the figure, but its period is a length in the image.
    value = _pattern(scene, 0.5 * local * scene.scale[:, None, None, None])[:, None]

    colour = scene.colours[:, :, :, None, None]
    mix = torch.sigmoid(1.5 * _smooth_field(n, 1, 3, generator)) * scene.background[:, None, None, None]
    image = colour[:, 2] * (1 - mix) + colour[:, 3] * mix
    image = _add_clutter(image, scene, xy, generator)
    figure = colour[:, 0] * (1 - value) + colour[:, 1] * value
    image = image * (1 - coverage[:, None]) + figure * coverage[:, None]
    stroked = (scene.stroke >= 0).nonzero()[:, 0]
    if len(stroked):
        line = _sample_masks(scene.stroke[stroked], local[stroked])[:, None]
        image[stroked] = image[stroked] * (1 - line) + colour[stroked, 1] * line

    hatched = (scene.hatch > 0).nonzero()[:, 0]
    if len(hatched):
        line = torch.sin(2 * math.pi * (warped[hatched, ..., 0] * 8 + warped[hatched, ..., 1] * 9))
        image[hatched] += 0.5 * (scene.hatch[hatched, None, None] * line)[:, None] * (1 - 0.5 * coverage[hatched, None])
    image = 0.5 + (image - 0.5) * scene.contrast[:, None, None, None]
    image = _blur(image, scene.blur)
    image = image + scene.noise[:, None, None, None] * torch.randn(image.shape, generator=generator)
    return image.clamp_(0, 1), coverage
