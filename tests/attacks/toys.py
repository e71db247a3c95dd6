"""Models small enough that an attack's answer can be written down."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SHAPE = (3, 6, 6)


def linear(classes: int = 3, seed: int = 0, scale: float = 1.0) -> nn.Module:
    """Logits W x + b of flattened pictures, in fp32."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(108, classes))
    model[1].weight.data *= scale
    return model.requires_grad_(False)


def network(classes: int = 5, seed: int = 0, scale: float = 1.0) -> nn.Module:
    """A small convolutional net with curved decision surfaces."""
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 8, 3), nn.GELU(), nn.Flatten(), nn.Linear(128, 32), nn.Tanh(), nn.Linear(32, classes)]
    layers[0].weight.data *= scale
    return nn.Sequential(*layers).requires_grad_(False)


def pictures(count: int = 12, seed: int = 1) -> Tensor:
    """uint8, black and white pixels among them."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(-30, 286, (count, *SHAPE), generator=generator)
    return drawn.clamp(0, 255).to(torch.uint8)


def predicted(model, x: Tensor) -> Tensor:
    return model(x).argmax(1)
