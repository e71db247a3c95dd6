"""Plain reference implementations: each method's equations over the stock CLIP modules, without optimisations.

The trainers are tested against them (tests/trainers/test_paper_losses.py) and timed beside them
(`python -m speed.methods`).
"""

from .base import PlainMethod
from .build import METHODS, plain_of, same_draw
from .deep import gaussian_average

__all__ = ["METHODS", "PlainMethod", "gaussian_average", "plain_of", "same_draw"]
