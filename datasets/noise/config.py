"""The config keys of label noise: DATASET.NOISE.*, and the flags of earlier label-noise code."""

from __future__ import annotations

from yacs.config import CfgNode

from dassl.config import add_keys
from dassl.config.domains import FLAG, OPTIONAL, POSITIVE, SEED, choice, number, whole

from .models import LABEL_MODELS

SWAPS = ("fp_swap_sym", "fp_swap_pair", "fp_swap_repeat")
TYPES = (*LABEL_MODELS, *SWAPS)
N = "DATASET.NOISE."
CONFIG_DEFAULTS = {
    N + "TYPE": "",  # one of TYPES; empty: clean
    N + "RATE": 0.0,
    N + "SEED": -1,  # negative: the run's
    N + "MANIFEST": "",  # a file in place of type, rate and seed
    N + "VAL": False,  # True: wrong labels in the validation set too, by the same model
    N + "IDN.FEATURE": "pixel64",  # pixel64 | clip_vitb32
    N + "IDN.STD": 0.1,
    N + "IDN.TEMP": 1.0,
    # flags of earlier label-noise code, which `runs/rules/noise.py` translates to the above
    "DATASET.NOISE_LABEL": True,  # False: clean labels, for any rate
    "DATASET.NOISE_TYPE": "",  # sym | asym | pair | idn
    "DATASET.NOISE_RATE": 0.0,
    "DATASET.NUM_FP": 0,  # images of other classes among the shots of each class
    # memorisation curves and label filter
    "TRAIN.WATCH_EVERY": -1,  # epochs between points of the memorisation curves; 0: none; negative: the method's, or 1
    "TRAINER.FILTER": "",  # cleanlab: items whose labels look wrong to zero-shot CLIP are not trained on
}
ALIASES = {
    "sym": "sym_other",
    "symmetric": "sym_other",
    "asym": "pair_next",
    "pair": "pair_next",
    "pairflip": "pair_next",
    "idn": "idn",
}


RATE = number(0, below=1)
CONFIG_DOMAINS = {
    N + "TYPE": choice("", *TYPES),
    N + "RATE": RATE,
    N + "SEED": SEED,
    N + "MANIFEST": OPTIONAL,
    N + "VAL": FLAG,
    N + "IDN.FEATURE": choice("pixel64", "clip_vitb32"),
    N + "IDN.STD": POSITIVE,
    N + "IDN.TEMP": POSITIVE,
    "DATASET.NOISE_LABEL": FLAG,
    "DATASET.NOISE_TYPE": choice("", *ALIASES, *TYPES),
    "DATASET.NOISE_RATE": RATE,
    "DATASET.NUM_FP": whole(0),
    "TRAIN.WATCH_EVERY": whole(),
    "TRAINER.FILTER": choice("", "cleanlab"),
}


def add_noise_defaults(cfg: CfgNode) -> None:
    """Adds the config keys of `CONFIG_DEFAULTS`."""
    add_keys(cfg, CONFIG_DEFAULTS)
