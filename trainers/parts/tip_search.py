"""Tip-Adapter's search for alpha and beta, and the published start values and ranges of each dataset."""

from __future__ import annotations

import torch
from torch import Tensor

FIRST, BETAS, ALPHAS = 0.1, 200, 20
CHUNK = 2048  # images at a time

# dataset: (start values of beta and alpha, ends of their search ranges)
PUBLISHED = {
    "Caltech101": (1.0, 3.0, 12.0, 5.0),
    "DescribableTextures": (1.0, 2.0, 13.0, 13.0),
    "EuroSAT": (1.0, 2.0, 12.0, 10.0),
    "FGVCAircraft": (1.0, 5.0, 30.0, 30.0),
    "Food101": (1.0, 1.17, 10.0, 10.0),
    "ImageNet": (1.0, 1.17, 7.0, 3.0),
    "OxfordFlowers": (1.0, 10.0, 50.0, 50.0),
    "OxfordPets": (1.0, 1.17, 7.0, 3.0),
    "StanfordCars": (1.0, 3.0, 20.0, 10.0),
    "SUN397": (1.0, 1.17, 12.0, 10.0),
    "UCF101": (1.0, 3.0, 7.0, 3.0),
}


def grid(end: float, count: int) -> list[float]:
    """`count` values from 0.1 on in equal steps; `end` would be the next one."""
    return [FIRST + i * (end - FIRST) / count for i in range(count)]


def best_of_grid(
    zero_shot: Tensor, nearness: Tensor, labels: Tensor, label: Tensor, beta_end: float, alpha_end: float
) -> tuple[float, float, float]:
    """(beta, alpha, accuracy in percent) of the best pair of the grid; of several best the first, beta by beta.

    zero_shot: [n, C] logits. nearness: [n, N] cosines to the keys. labels: [N, C], one-hot. label: [n].
    """
    betas, alphas = grid(beta_end, BETAS), grid(alpha_end, ALPHAS)
    right = torch.zeros(len(betas), len(alphas), dtype=torch.long)
    for z, near, y in zip(zero_shot.split(CHUNK), nearness.split(CHUNK), label.split(CHUNK), strict=True):
        for i, beta in enumerate(betas):
            votes = torch.exp(-beta * (1 - near)) @ labels
            counts = [((z + alpha * votes).argmax(dim=1) == y).sum() for alpha in alphas]
            right[i] += torch.stack(counts).cpu()
    i, j = (right == right.max()).nonzero()[0].tolist()
    return betas[i], alphas[j], 100.0 * right[i, j].item() / len(label)
