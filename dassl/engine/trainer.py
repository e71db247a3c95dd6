"""All trainer classes under upstream's module path. They are written in base.py, simple.py and loops.py."""

from .base import TrainerBase
from .loops import TrainerX, TrainerXU
from .simple import SimpleNet, SimpleTrainer

__all__ = ["SimpleNet", "SimpleTrainer", "TrainerBase", "TrainerX", "TrainerXU"]
