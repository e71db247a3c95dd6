"""The config keys of label noise: DATASET.NOISE.*, and the flags of earlier label-noise code."""

from __future__ import annotations

import logging

from yacs.config import CfgNode

from dassl.config import add_keys
from dassl.config.domains import FLAG, OPTIONAL, POSITIVE, SEED, choice, number, whole
from dassl.utils import InputError

from .models import LABEL_MODELS

logger = logging.getLogger(__name__)

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
    # flags of earlier label-noise code, which are translated to the above
    "DATASET.NOISE_LABEL": True,  # False: clean, whatever the rate says
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


def take_aliases(cfg: CfgNode) -> None:
    """NOISE_TYPE, NOISE_RATE, NOISE_LABEL and NUM_FP become DATASET.NOISE.*, with a line that says to what.

    Raises InputError where noise is given twice, or asked for and forbidden, and for a count of wrong images that is
    none of the shots.
    """
    dataset, noise = cfg.DATASET, cfg.DATASET.NOISE
    given = dataset.NOISE_TYPE or dataset.NOISE_RATE or dataset.NUM_FP
    made = noise.TYPE or noise.RATE or noise.MANIFEST
    if made and not dataset.NOISE_LABEL:
        raise InputError(
            "DATASET.NOISE_LABEL is False, which stands for clean labels, but DATASET.NOISE.* asks for wrong ones; "
            "leave one of the two out."
        )
    if not given or not dataset.NOISE_LABEL:
        dataset.NOISE_TYPE, dataset.NOISE_RATE, dataset.NUM_FP, dataset.NOISE_LABEL = "", 0.0, 0, True
        return
    if made:
        raise InputError("Label noise is given twice, as DATASET.NOISE.* and in the older spelling; leave one out.")
    if dataset.NUM_FP:
        if dataset.NOISE_RATE:
            raise InputError("DATASET.NUM_FP and DATASET.NOISE_RATE both say how many labels are wrong; leave one out.")
        if not dataset.NUM_FP < dataset.NUM_SHOTS:
            raise InputError(
                f"DATASET.NUM_FP is {dataset.NUM_FP}, but counts wrong images among the DATASET.NUM_SHOTS of a class, "
                f"here {dataset.NUM_SHOTS}, of which some must be right; set both."
            )
        pair = ALIASES.get(dataset.NOISE_TYPE, "") == "pair_next"
        noise.TYPE, noise.RATE = SWAPS[pair], dataset.NUM_FP / dataset.NUM_SHOTS
    else:
        kind = dataset.NOISE_TYPE or "sym"
        noise.TYPE, noise.RATE = ALIASES.get(kind, kind), dataset.NOISE_RATE
    dataset.NOISE_TYPE, dataset.NOISE_RATE, dataset.NUM_FP = "", 0.0, 0
    logger.info("Label noise: DATASET.NOISE.TYPE %s, DATASET.NOISE.RATE %g", noise.TYPE, noise.RATE)
