"""Every method once more, in the plainest way: the equations over the stock CLIP modules, nothing cut, shared or kept.

The trainers are tested against these (tests/trainers/test_paper_losses.py) and timed beside them
(`python -m speed.methods`).
"""

from .base import PlainMethod
from .build import METHODS, plain_of, same_draw
from .deep import gaussian_average

__all__ = ["METHODS", "PlainMethod", "gaussian_average", "plain_of", "same_draw"]
