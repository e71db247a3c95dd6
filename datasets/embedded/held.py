"""What the third stage must not change: the features of rendered pictures, and of pictures in their neighbourhood."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from clip.model import CLIP
from torch import Tensor

from .clip_trainer import MEAN, STD
from .fast_clip import encode_image
from .pairs import draw_scenes
from .render import render

_BATCH = 256
_SHARP = 100.0  # the logit scale of the model


def disguised(x: Tensor, g: torch.Generator) -> Tensor:
    """Pictures [B, 3, H, W] in 0..1 (H and W multiples of 3) in other colours, tones and grains, each by chance.

    Random filters (Xu et al. 2021, "Robust and Generalizable Visual Representation Learning via Random Convolutions")
    make a wide neighbourhood without a list of looks.
    """
    n, _, height, width = x.shape

    def some(share: float) -> Tensor:
        return (torch.rand(n, 1, 1, 1, generator=g) < share).float()

    kernel = torch.randn(n, 1, 3, 3, generator=g)
    kernel = kernel / kernel.flatten(1).norm(dim=1).view(n, 1, 1, 1)
    channels = F.pad(x, (1, 1, 1, 1), mode="replicate").transpose(0, 1)
    filtered = F.conv2d(channels, kernel, groups=n).transpose(0, 1)
    strength = torch.rand(n, 1, 1, 1, generator=g) * some(0.5)
    x = (1 - strength) * x + strength * (filtered - filtered.mean((2, 3), keepdim=True) + 0.5)
    mix = torch.eye(3) + some(0.5)[:, 0] * 0.6 * torch.randn(n, 3, 3, generator=g)
    x = (mix @ (x - 0.5).flatten(2)).view(n, 3, height, width) + 0.5
    bend = some(0.4) * (torch.rand(n, 1, 1, 1, generator=g) * 2 - 1)  # a tone curve, up to one that folds
    x = x.clamp(0, 1)
    x = x + bend * torch.sin(math.pi * x)
    coarse = F.interpolate(F.avg_pool2d(x, 3), scale_factor=3.0)
    mosaic = some(0.2)
    return ((1 - mosaic) * x + mosaic * coarse).clamp(0, 1)


class Held:
    """Pictures [N, 3, 48, 48] (uint8) and the features [N, d] that a model gave them before it learned more."""

    @torch.no_grad()
    def __init__(self, clip: CLIP, count: int, anchors: Tensor, seed: int, dtype: torch.dtype) -> None:
        """Draws `count` training scenes: a quarter as they are, a quarter with sign noise, as attacks have, and a half
        disguised. anchors [K, d]: normalised features of texts over which the pictures' answers are to stay."""
        generator = torch.Generator().manual_seed(seed)
        pictures, features = [], []
        for low in range(0, count, _BATCH):
            scene, _ = draw_scenes(min(_BATCH, count - low), 1.0, generator)
            x = render(scene, generator)[0]
            n = len(x) // 4
            strength = 4 / 255 * torch.rand(n, 1, 1, 1, generator=generator)
            x[:n] += strength * torch.randn(n, *x.shape[1:], generator=generator).sign()
            x[2 * n :] = disguised(x[2 * n :], generator)
            pictures.append((x.clamp(0, 1) * 255).round().to(torch.uint8))
            features.append(F.normalize(_encode(clip, pictures[-1], dtype), dim=-1))
        self.pictures, self.features, self.anchors = torch.cat(pictures), torch.cat(features), anchors

    def loss(self, clip: CLIP, chosen: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Of the chosen pictures: mean cosine distance of features now and before, and mean KL of answers before to
        answers now."""
        before, now = self.features[chosen], _encode(clip, self.pictures[chosen], dtype)
        distance = 1 - F.cosine_similarity(now, before, dim=-1)
        answers = (_SHARP * F.normalize(now, dim=-1) @ self.anchors.t()).log_softmax(-1)
        wanted = (_SHARP * before @ self.anchors.t()).softmax(-1)
        return distance.mean(), F.kl_div(answers, wanted, reduction="batchmean")


def _encode(clip: CLIP, pictures: Tensor, dtype: torch.dtype) -> Tensor:
    return encode_image(clip, (pictures.float() / 255 - MEAN) / STD, None, dtype)
