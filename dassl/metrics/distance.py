"""Distance matrices between two sets of features [m, d] and [n, d]; the results are [m, n]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def euclidean_squared_distance(input1: Tensor, input2: Tensor) -> Tensor:
    """Squared Euclidean distances, through |a|^2 + |b|^2 - 2ab."""
    squares = input1.pow(2).sum(1, keepdim=True) + input2.pow(2).sum(1)
    return torch.addmm(squares, input1, input2.t(), beta=1, alpha=-2)


def cosine_distance(input1: Tensor, input2: Tensor) -> Tensor:
    """1 - cosine similarity."""
    return 1 - F.normalize(input1, dim=1) @ F.normalize(input2, dim=1).t()


def compute_distance_matrix(input1: Tensor, input2: Tensor, metric: str = "euclidean") -> Tensor:
    """Distances by `metric`: euclidean (squared) or cosine."""
    for name, x in (("input1", input1), ("input2", input2)):
        if x.dim() != 2:
            raise ValueError(f"{name} must be [number, dimension], not {x.dim()}-dimensional")
    if input1.shape[1] != input2.shape[1]:
        raise ValueError(f"dimensions differ: {input1.shape[1]} and {input2.shape[1]}")
    functions = {"euclidean": euclidean_squared_distance, "cosine": cosine_distance}
    if metric not in functions:
        raise ValueError(f"metric {metric!r} is not known; known are {', '.join(functions)}")
    return functions[metric](input1, input2)
