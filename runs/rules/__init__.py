"""Rules: changes that a method or a wrapper makes to a merged config. Each is in a file named after its owner.

A rule is a pure function of {dotted key: value} that does not import torch, so that plans of many runs use it too.
`runs/resolve.py` applies each rule once: WHICH_RUN first, LEFT_OUT last, the rules of each in the order given here.
"""

from __future__ import annotations

from . import attack, corruption, names, noise, preprocess, sar, stand_in, text_noise, tower
from .rule import REMOVED, Rule

__all__ = ["IMAGES", "LEFT_OUT", "NOISE", "REMOVED", "WHICH_RUN", "Rule"]

# Rules that settle the names of method and dataset, by which the method's settings for the dataset are found.
WHICH_RUN = (names.RULE, sar.RULE)
# Applied after a checkout's train.py, which may set the older keys.
NOISE = (noise.RULE,)
# Applied once all sources but a checkpoint are merged.
IMAGES = (preprocess.RULE,)
# Rules that remove the keys of unused features, so that a run is the same as before these keys existed.
LEFT_OUT = (attack.RULE, corruption.RULE, text_noise.RULE, tower.RULE, stand_in.RULE)
