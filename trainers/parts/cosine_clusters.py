"""K-means by cosine, as TAC clusters class features."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from clipkit import InputError, normalize

TOLERANCE = 1e-4  # it ends when the summed squared movement of the centres is below


def cosine_centres(points: Tensor, k: int, seed: int, key: str) -> Tensor:
    """[k, d], normalised centres of points [N, d].

    Start: k different points. A point goes to the centre of largest cosine; a centre is the plain mean of its points,
    and stays where it has none. key: the config key that asks for k. Raises InputError for fewer points than that.
    """
    if len(points) < k:
        raise InputError(f"{key} is {k}, but there are only {len(points)} classes to cluster; lower it.")
    draw = np.random.RandomState(seed % 2**32)
    centres = points[torch.from_numpy(draw.choice(len(points), k, replace=False)).to(points.device)]
    while True:
        nearest = (normalize(points) @ normalize(centres).t()).argmax(dim=1)
        means = [points[nearest == i].mean(0) if bool((nearest == i).any()) else centres[i] for i in range(k)]
        moved = (torch.stack(means) - centres).norm(dim=1).sum() ** 2
        centres = torch.stack(means)
        if moved < TOLERANCE:
            return normalize(centres)
