"""The config keys of label noise, ours and the older ones of the field."""

from __future__ import annotations

import logging

from dassl.config import add_keys
from dassl.utils import InputError

from .noise_models import LABEL_MODELS

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
    # the field's own flags, which `take_aliases` turns into the above
    "DATASET.NOISE_LABEL": True,  # False: clean, whatever the rate says
    "DATASET.NOISE_TYPE": "",  # sym | asym | pair | idn
    "DATASET.NOISE_RATE": 0.0,
    "DATASET.NUM_FP": 0,  # images of other classes among the shots of each class
    # what a run on wrong labels looks at, and leaves out
    "TRAIN.WATCH_EVERY": -1,  # epochs between points of the memorisation curves; 0: none; negative: the method's, or 1
    "TRAINER.FILTER": "",  # cleanlab: items whose labels look wrong to zero-shot CLIP are not trained on
}
ALIASES = {"sym": "sym_other", "symmetric": "sym_other", "asym": "pair_next", "pair": "pair_next", "idn": "idn"}


def add_noise_defaults(cfg) -> None:
    """Adds the config keys of `CONFIG_DEFAULTS`."""
    add_keys(cfg, CONFIG_DEFAULTS)


def take_aliases(cfg) -> None:
    """NOISE_TYPE, NOISE_RATE, NOISE_LABEL and NUM_FP become DATASET.NOISE.*, with a line that says to what.

    Raises InputError where both spellings are given, and for an unknown type.
    """
    dataset, noise = cfg.DATASET, cfg.DATASET.NOISE
    given = dataset.NOISE_TYPE or dataset.NOISE_RATE or dataset.NUM_FP
    if not given or not dataset.NOISE_LABEL:
        dataset.NOISE_TYPE, dataset.NOISE_RATE, dataset.NUM_FP, dataset.NOISE_LABEL = "", 0.0, 0, True
        return
    if noise.TYPE or noise.RATE or noise.MANIFEST:
        raise InputError("Label noise is given twice, as DATASET.NOISE.* and in the older spelling; leave one out.")
    if dataset.NUM_FP:
        if dataset.NUM_SHOTS < 1:
            raise InputError("DATASET.NUM_FP counts wrong images among DATASET.NUM_SHOTS; give that too.")
        pair = dataset.NOISE_TYPE in ("asym", "pair", "pairflip")
        noise.TYPE, noise.RATE = SWAPS[pair], dataset.NUM_FP / dataset.NUM_SHOTS
    else:
        kind = dataset.NOISE_TYPE or "sym"
        noise.TYPE, noise.RATE = ALIASES.get(kind, kind), dataset.NOISE_RATE
    dataset.NOISE_TYPE, dataset.NOISE_RATE, dataset.NUM_FP = "", 0.0, 0
    logger.info("Label noise: DATASET.NOISE.TYPE %s, DATASET.NOISE.RATE %g", noise.TYPE, noise.RATE)
