"""Rules: what a method or a wrapper makes of a config that has been read. Each has a file here, named after its owner.

A rule is a pure function of {dotted key: value}, without torch, so that a plan of many runs can apply it too.
`runs/resolve.py` applies each once: first those of WHICH_RUN, last those of LEFT_OUT, each in the order given here.
"""

from __future__ import annotations

from . import attack, names, noise, sar, stand_in, tower
from .rule import REMOVED, Rule

__all__ = ["LEFT_OUT", "NOISE", "REMOVED", "WHICH_RUN", "Rule"]

# Which method and dataset it is; the method's settings for the dataset are looked up by these.
WHICH_RUN = (names.RULE, sar.RULE)
# After a checkout's train.py, which may set the older keys.
NOISE = (noise.RULE,)
# Keys of what the run does not have: without them it is the run that it was before there were such keys.
LEFT_OUT = (attack.RULE, tower.RULE, stand_in.RULE)
