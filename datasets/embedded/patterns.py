"""Patterns as analytic functions of rotated coordinates: `field(name, u, v, seed)` in [0, 1].

u, v [B, H, W] count periods of the pattern; seed [B] is a random number in 0..1 that varies irregular patterns.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

_TAU = 2 * math.pi
_SHARP = 6.0  # slope of the soft edges


def _hash(i: Tensor, j: Tensor, seed: Tensor, salt: float) -> Tensor:
    """A repeatable random number in 0..1 for each integer cell."""
    return torch.frac(torch.sin(i * 12.9898 + j * 78.233 + (seed[:, None, None] + salt) * 37.719) * 4375.8545).abs()


def _soft(x: Tensor) -> Tensor:
    return torch.sigmoid(_SHARP * x)


def _line(u: Tensor, width: float = 0.7) -> Tensor:
    return _soft(2 * (torch.cos(_TAU * u) - width))


def _noise(u: Tensor, v: Tensor, seed: Tensor) -> Tensor:
    """Smooth noise of about unit period, roughly -1..1: a sum of six waves."""
    total = torch.zeros_like(u)
    for k in range(6):
        angle = _TAU * torch.frac(seed * (3.7 + k) + 0.17 * k)[:, None, None]
        phase = _TAU * torch.frac(seed * (11.3 + 2 * k))[:, None, None]
        freq = 0.35 + 0.17 * k
        total = total + torch.sin(_TAU * freq * (u * torch.cos(angle) + v * torch.sin(angle)) + phase) / (1 + 0.4 * k)
    return total / 2.2


def _striped(u, v, s):
    return _soft(torch.sin(_TAU * u))


def _dotted(u, v, s):
    d = torch.hypot(torch.frac(u + 64) - 0.5, torch.frac(v + 64) - 0.5)
    return _soft(3 * (0.3 - d))


def _checkered(u, v, s):
    return _soft(2 * torch.sin(math.pi * u) * torch.sin(math.pi * v))


def _speckled(u, v, s):
    """Small dots of random size at random places, no lattice."""
    u, v = 1.7 * u, 1.7 * v
    i, j = torch.floor(u), torch.floor(v)
    x = u - i - 0.3 - 0.4 * _hash(i, j, s, 0.1)
    y = v - j - 0.3 - 0.4 * _hash(i, j, s, 0.5)
    radius = 0.34 * _hash(i, j, s, 0.9) + 0.05
    present = (_hash(i, j, s, 0.3) < 0.6).float()
    return present * _soft(3 * (radius - torch.hypot(x, y)))


def _shaded(u, v, s):
    return torch.sigmoid(0.9 * u)  # one slow ramp, for any period


def _grid(u, v, s):
    return torch.maximum(_line(u), _line(v))


def _zigzag(u, v, s):
    return _soft(torch.sin(_TAU * (u + 1.6 * (torch.frac(0.6 * v + 64) - 0.5).abs())))


def _wavy(u, v, s):
    return _soft(torch.sin(_TAU * (u + 0.32 * torch.sin(_TAU * 0.6 * v))))


def _marbled(u, v, s):
    return 1 - _soft(3 * (torch.sin(_TAU * (0.35 * u + 0.7 * _noise(0.6 * u, 0.6 * v, s))).abs() - 0.35))


def _cracked(u, v, s):
    """Borders of random cells (Voronoi): where the two nearest seeds are equally far."""
    u, v = 0.8 * u, 0.8 * v
    i, j = torch.floor(u), torch.floor(v)
    nearest = torch.full_like(u, 9.0)
    second = torch.full_like(u, 9.0)
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            ci, cj = i + di, j + dj
            d = torch.hypot(ci + _hash(ci, cj, s, 0.2) - u, cj + _hash(ci, cj, s, 0.7) - v)
            second = torch.minimum(second, torch.maximum(nearest, d))
            nearest = torch.minimum(nearest, d)
    return _soft(6 * (0.12 - (second - nearest)))


def _ringed(u, v, s):
    return _soft(torch.sin(_TAU * torch.hypot(u - 0.6 + s[:, None, None], v - 0.3)))


def _scaly(u, v, s):
    row = torch.floor(v)
    x = torch.frac(u + 0.5 * torch.remainder(row, 2) + 64) - 0.5
    y = torch.frac(v + 64)
    return _soft(3 * (torch.hypot(x, 0.8 * y) - 0.45)) * (1 - 0.5 * y)


def _woven(u, v, s):
    u, v = 0.6 * u, 0.6 * v
    across = torch.remainder(torch.floor(u) + torch.floor(v), 2)
    return across * _soft(torch.sin(_TAU * 2.5 * v)) + (1 - across) * _soft(torch.sin(_TAU * 2.5 * u))


def _bricked(u, v, s):
    row = torch.floor(v)
    return torch.maximum(_line(0.5 * u + 0.5 * torch.remainder(row, 2), 0.9), _line(v, 0.75))


def _swirled(u, v, s):
    r, angle = torch.hypot(u, v), torch.atan2(v, u)
    return _soft(torch.sin(2 * angle + _TAU * 0.7 * r))


def _cloudy(u, v, s):
    return (0.5 + 0.6 * _noise(0.45 * u, 0.45 * v, s)).clamp(0, 1)


def _honeycombed(u, v, s):
    """Borders of a hexagonal lattice: distance to the nearer of two interleaved rectangular lattices' centres."""
    h = math.sqrt(3)
    ax, ay = torch.frac(u + 64) - 0.5, (torch.frac(v / h + 64) - 0.5) * h
    bx, by = torch.frac(u + 64.5) - 0.5, (torch.frac(v / h + 64.5) - 0.5) * h

    def hexagon(x: Tensor, y: Tensor) -> Tensor:
        return torch.maximum(x.abs(), 0.5 * x.abs() + 0.5 * h * y.abs())

    return _soft(4 * (torch.minimum(hexagon(ax, ay), hexagon(bx, by)) - 0.41))


_TABLE: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "solid": lambda u, v, s: torch.zeros_like(u),
    "striped": _striped,
    "dotted": _dotted,
    "checkered": _checkered,
    "speckled": _speckled,
    "shaded": _shaded,
    "grid": _grid,
    "zigzag": _zigzag,
    "wavy": _wavy,
    "marbled": _marbled,
    "cracked": _cracked,
    "ringed": _ringed,
    "scaly": _scaly,
    "woven": _woven,
    "bricked": _bricked,
    "swirled": _swirled,
    "cloudy": _cloudy,
    "honeycombed": _honeycombed,
}


def field(name: str, u: Tensor, v: Tensor, seed: Tensor) -> Tensor:
    """The pattern `name` at u, v (periods), [B, H, W] in [0, 1]; 1 is where the second colour goes."""
    return _TABLE[name](u, v, seed)
