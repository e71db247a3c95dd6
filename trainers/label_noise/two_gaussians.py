"""A one-dimensional mixture of two Gaussians: the small losses of right labels and the large ones of wrong labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TwoGaussians:
    """Weights, means and variances [2], float64; component 0 has the lower mean."""

    weight: Tensor
    mean: Tensor
    variance: Tensor

    def log_density(self, x: Tensor) -> Tensor:
        """[N] -> [N, 2], with the components' weights."""
        off = (x[:, None] - self.mean) ** 2 / self.variance
        return self.weight.log() - 0.5 * (off + self.variance.log() + math.log(2 * math.pi))

    def posterior(self, x: Tensor) -> Tensor:
        """[N] -> [N]: the probability of the component with the lower mean."""
        return self.log_density(x.double()).softmax(dim=1)[:, 0]


def fit_two_gaussians(x: Tensor, iterations: int = 10, tolerance: float = 1e-2, floor: float = 5e-4) -> TwoGaussians:
    """Expectation maximisation on x [N], from the split of the sorted values that leaves the least squares.

    It ends after `iterations` rounds, or once the mean log-likelihood moves by less than `tolerance`. `floor` is added
    to the variances. Nothing is drawn at random.
    """
    x = x.double()
    share = (x[:, None] > best_split(x)).double()
    responsibility = torch.cat([1 - share, share], dim=1)
    mixture, before = _maximise(x, responsibility, floor), -math.inf
    for _ in range(iterations):
        log_density = mixture.log_density(x)
        likelihood = log_density.logsumexp(dim=1).mean().item()
        mixture = _maximise(x, log_density.softmax(dim=1), floor)
        if abs(likelihood - before) < tolerance:
            break
        before = likelihood
    order = mixture.mean.argsort(stable=True)
    return TwoGaussians(mixture.weight[order], mixture.mean[order], mixture.variance[order])


def _maximise(x: Tensor, responsibility: Tensor, floor: float) -> TwoGaussians:
    mass = responsibility.sum(dim=0) + 10 * torch.finfo(x.dtype).eps
    mean = (responsibility * x[:, None]).sum(dim=0) / mass
    variance = (responsibility * (x[:, None] - mean) ** 2).sum(dim=0) / mass + floor
    return TwoGaussians(mass / len(x), mean, variance)


def to_unit_range(x: Tensor) -> Tensor:
    """x moved and scaled to [0, 1]; zeros where all values are the same."""
    low, high = x.min(), x.max()
    return (x - low) / (high - low) if high > low else torch.zeros_like(x)


def best_split(x: Tensor) -> float:
    """2-means in one dimension: the value up to which x [N] belongs to the lower cluster."""
    ordered = x.sort().values
    if len(x) < 2:
        return ordered[-1].item()
    count = torch.arange(1, len(x), device=x.device)
    lower = ordered.cumsum(0)[:-1]
    between = lower**2 / count + (ordered.sum() - lower) ** 2 / (
        len(x) - count
    )  # largest where the squared distances are least
    return ordered[:-1][between.argmax()].item()


def clean_threshold(mixture: TwoGaussians, std: bool = True) -> float | None:
    """The x at which the lower Gaussian, without weights, is twice as dense as the upper one; None: there is none.

    std False: variances stand where the formula has standard deviations, as in the released code of JoAPR.
    """
    (mu_c, mu_n), variance = mixture.mean.tolist(), mixture.variance.tolist()
    s_c, s_n = (math.sqrt(v) if std else v for v in variance)
    a = s_n**2 - s_c**2
    b = 2 * (mu_n * s_c**2 - mu_c * s_n**2)
    c = mu_c**2 * s_n**2 - mu_n**2 * s_c**2 + 2 * s_n**2 * s_c**2 * math.log(2 * s_c / s_n)
    discriminant = b**2 - 4 * a * c
    if discriminant < 0:
        return None
    root = math.sqrt(discriminant)
    if b > 0:  # the root (-b + sqrt) / 2a in a form without cancellation, valid for a = 0 too
        return 2 * c / (-b - root)
    return (-b + root) / (2 * a) if a else None
