"""A weakly augmented copy of a picture's views: a small affine map, and small changes of colour, blur and noise."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF

from dassl.utils import stream_seed

DEGREES, SHIFT, SCALE = 5.0, 0.04, 0.08
COLOUR, HUE, BLUR, GRAIN = 0.08, 0.02, (0.5, 1.2), 0.02


def weak_views(views: Tensor, seed: int) -> Tensor:
    """[n, 3, h, w] of the views [n, 3, h, w] in [0, 1] of one image, all by the same draw; differentiable in them.

    Always rotated by up to 5 degrees, moved by up to 4 % and scaled by up to 8 %; then, each with probability 0.5,
    brightness, contrast and saturation (8 %) and hue (2 %), a blur of five pixels, and Gaussian grain of up to 0.02.
    seed: of the draw, the image's own.
    """
    draw = np.random.default_rng(stream_seed(seed, "weak"))
    height, width = views.shape[-2:]
    x = TF.affine(
        views,
        angle=draw.uniform(-DEGREES, DEGREES),
        translate=[round(draw.uniform(-SHIFT, SHIFT) * size) for size in (width, height)],
        scale=draw.uniform(1 - SCALE, 1 + SCALE),
        shear=[0.0, 0.0],
        interpolation=InterpolationMode.BILINEAR,
    )
    if draw.random() < 0.5:
        for change in (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation):
            x = change(x, draw.uniform(1 - COLOUR, 1 + COLOUR))
        x = TF.adjust_hue(x, draw.uniform(-HUE, HUE))
    if draw.random() < 0.5:
        x = TF.gaussian_blur(x, [5, 5], [draw.uniform(*BLUR)])
    if draw.random() < 0.5:
        grain = draw.standard_normal(tuple(x.shape), dtype=np.float32) * np.float32(draw.uniform(0, GRAIN))
        x = x + torch.from_numpy(grain).to(x)
    return x.clamp(0, 1)
