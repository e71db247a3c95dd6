"""The engine: trainers, data loaders, evaluation and checkpoints behind the API of Dassl.pytorch 0.6.3.

Written anew for current PyTorch; "upstream" in this package means Dassl.pytorch. Files written for upstream
(`from dassl.engine import TrainerX`) run unmodified; the additions are optional. It does not depend on CLIP.
"""

from dassl.left_out import say_what_is_left_out
from dassl.utils.logger import attach_logger

__version__ = "0.6.3"  # the upstream version whose API this is

say_what_is_left_out()
attach_logger("dassl")
