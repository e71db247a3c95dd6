"""Views by tensor operations: on a GPU, many at once, and with a gradient to the picture.

The same parameters as Pillow's views, and pictures that agree with them to about a grey level. Crop, resize and the
geometric operations have their exact gradient; rounding to 8 bits, posterize, solarize, equalize and autocontrast pass
the gradient on as if they changed nothing (BPDA, Athalye et al., ICML 2018).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .augmix import CHAINS, DEEPEST, Operation, View
from .augmix_pil import affine

GEOMETRIC = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")


def tensor_views(picture: Tensor, views: Sequence[View], size: Sequence[int]) -> Tensor:
    """[V, 3, h, w] views in [0, 1] of a picture [3, H, W] with float values 0 .. 255."""
    if not views:
        return picture.new_empty(0, 3, *size)
    crops = torch.stack([_crop(picture, view, size) for view in views])
    if not views[0].chains:
        return crops / 255
    mixed = _run_chains(crops.repeat_interleave(CHAINS, dim=0), [chain for view in views for chain in view.chains])
    keep = crops.new_tensor([view.keep for view in views])[:, None, None, None]
    weights = crops.new_tensor([view.weights for view in views])
    chains = torch.einsum("vk,vkchw->vchw", weights, mixed.view(len(views), CHAINS, *crops.shape[1:]))
    return (keep * crops + (1 - keep) * chains) / 255


def _crop(picture: Tensor, view: View, size: Sequence[int]) -> Tensor:
    """Crop, resize as Pillow does (bilinear, wider where it shrinks), flip: [3, h, w] of whole numbers."""
    box = picture[None, :, view.top : view.top + view.height, view.left : view.left + view.width]
    crop = F.interpolate(box, size=tuple(size), mode="bilinear", align_corners=False, antialias=True)[0]
    return _whole(crop.flip(-1) if view.flip else crop, 0.5)


def _run_chains(x: Tensor, chains: Sequence[Sequence[Operation]]) -> Tensor:
    """[N, 3, h, w], each through its own chain: at each depth, all pictures of one kind of operation at once."""
    for depth in range(DEEPEST):
        groups: dict[str, list[int]] = {}
        for i, chain in enumerate(chains):
            if depth < len(chain):
                name = chain[depth].name
                groups.setdefault("geometric" if name in GEOMETRIC else name, []).append(i)
        for name, rows in groups.items():
            index = torch.tensor(rows, device=x.device)
            done = apply_all(x[index], name, [chains[i][depth] for i in rows])
            x = x.index_copy(0, index, done) if x.requires_grad else x.index_copy_(0, index, done)
    return x


def apply_all(x: Tensor, kind: str, operations: Sequence[Operation]) -> Tensor:
    """One operation each on pictures [N, 3, h, w] of whole numbers 0 .. 255; all of one kind, or all "geometric"."""
    if kind == "geometric":
        return _geometric(x, operations)
    with torch.no_grad():
        amounts = x.new_tensor([amount for _, amount in operations])[:, None, None, None]
        if kind == "posterize":
            step = 2.0 ** (8 - amounts)
            y = (x / step).floor() * step
        elif kind == "solarize":
            y = torch.where(x < amounts, x, 255 - x)
        else:
            y = _by_table(x, _contrast_table(x) if kind == "autocontrast" else _equal_table(x))
    return _straight_through(x, y)


def _straight_through(x: Tensor, y: Tensor) -> Tensor:
    """The value of y with the gradient of x."""
    return x + (y - x).detach() if x.requires_grad else y


def _whole(x: Tensor, add: float) -> Tensor:
    """Whole grey values floor(x + add): add 0.5 rounds; a tiny add cuts off, as Pillow's geometric operations do."""
    return _straight_through(x, (x.detach() + add).floor_().clamp_(0, 255))


def _by_table(x: Tensor, table: Tensor) -> Tensor:
    """table [N * 3, 256] of new grey values, one per channel."""
    return table.gather(1, x.view(len(table), -1).long()).view(x.shape).to(x.dtype)


def _contrast_table(x: Tensor) -> Tensor:
    """Stretches the grey values that occur in a channel to 0 .. 255."""
    flat = x.reshape(x.shape[0] * 3, -1).double()
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    grey = torch.arange(256, device=x.device, dtype=torch.float64)
    # A true division, as in Pillow: torch computes `255 / x` as 255 times the inverse, whose last bit differs.
    scale = torch.full_like(low, 255.0) / (high - low).clamp_min(1)
    table = (grey * scale - low * scale).trunc().clamp(0, 255)
    return torch.where(high > low, table, grey)


def _equal_table(x: Tensor) -> Tensor:
    """Spreads the grey values of a channel so that all are about equally frequent."""
    channels = x.shape[0] * 3
    offset = 256 * torch.arange(channels, device=x.device)[:, None]
    flat = (x.reshape(channels, -1).long() + offset).flatten()
    counts = torch.bincount(flat, minlength=256 * channels).view(channels, 256)
    grey = torch.arange(256, device=x.device)
    last = counts.gather(1, ((counts > 0) * grey).amax(1, keepdim=True))
    step = (counts.sum(1, keepdim=True) - last) // 255
    before = counts.cumsum(1) - counts
    table = ((step // 2 + before) // step.clamp_min(1)).clamp(max=255)
    return torch.where(step > 0, table, grey)


def _geometric(x: Tensor, operations: Sequence[Operation]) -> Tensor:
    """Bilinear; black where the input has no pixel."""
    height, width = x.shape[-2:]
    matrices = [_matrix(operation, height, width) for operation in operations]
    m = torch.tensor(matrices, dtype=torch.float64, device=x.device)[:, :, None, None]
    row = torch.arange(height, dtype=torch.float64, device=x.device)[:, None] + 0.5
    column = torch.arange(width, dtype=torch.float64, device=x.device) + 0.5
    across = m[:, 0] * column + m[:, 1] * row + m[:, 2]
    down = m[:, 3] * column + m[:, 4] * row + m[:, 5]
    inside = (across >= 0) & (across < width) & (down >= 0) & (down < height)
    grid = torch.stack([2 * across / width - 1, 2 * down / height - 1], dim=-1).to(x.dtype)
    y = F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return _whole(y * inside[:, None], 1e-3)


def _matrix(operation: Operation, height: int, width: int) -> tuple[float, ...]:
    """As `affine`, with rotations about the centre."""
    if operation.name != "rotate":
        return affine(operation)
    angle = -math.radians(operation.amount)
    cos, sin, x, y = math.cos(angle), math.sin(angle), width / 2, height / 2
    return cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y
