"""JoAPR's config keys, and its published settings: warm-up epochs W, alpha_1, alpha_2 by dataset, kind and rate of the
label noise."""

from __future__ import annotations

import logging

from yacs.config import CfgNode

from dassl.config.domains import NOT_NEGATIVE, POSITIVE, choice, whole
from datasets.noise.config import ALIASES
from datasets.noise.manifest import read_manifest

from ..context import context_defaults
from ..label_noise.robust_losses import NAME
from ..shared.domains import declare

logger = logging.getLogger(__name__)

NODE = "TRAINER.JOAPR"
N = NODE + "."
CONFIG_DEFAULTS = {
    **context_defaults(NODE, prec="amp"),
    N + "RATE_INDEPENDENT": False,
    N + "W": 1,  # epochs of warm-up
    N + "ALPHA1": 0.5,  # weight of the confidence penalty in the warm-up
    N + "ALPHA2": 1.0,  # weight of the term for uniform mean predictions, after the warm-up
    N + "WINDOW": 5,  # rounds that an item's loss is averaged over
    N + "THRESH_STD": True,  # False: variances in place of standard deviations, as released
    N + "COMPAT": "none",  # none | released: THRESH_STD False, and items are weighted by other items' probabilities
    N + "SHARPEN": 2.0,  # exponent
    N + "MIX_ALPHA": 0.001,
    "LOSS.NAME": "",
}
CONFIG_DOMAINS = declare(
    CONFIG_DEFAULTS,
    {
        "W": whole(0),
        "ALPHA1": NOT_NEGATIVE,
        "ALPHA2": NOT_NEGATIVE,
        "WINDOW": whole(1),
        "SHARPEN": POSITIVE,
        "MIX_ALPHA": POSITIVE,
        "COMPAT": choice("none", "released"),
        "LOSS.NAME": NAME,
    },
)

KEYS = ("W", "ALPHA1", "ALPHA2")
ANY_RATE = (1, 0.5, 1.0)
PAIR = ("pair_next", "fp_swap_pair", "asym_semantic")  # the other types count as symmetric
PLAIN = {
    "ImageNet": (1, 0.5, 1.0),
    "SUN397": (1, 0.5, 1.0),
    "StanfordCars": (1, 0.5, 1.0),
    "Caltech101": (1, 0.5, 0.5),
    "OxfordPets": (1, 0.2, 1.0),
    "DescribableTextures": (1, 0.2, 1.0),
    "FGVCAircraft": (150, 0.1, 1.0),
    "OxfordFlowers": (20, 0.5, 1.0),
    "UCF101": (20, 0.5, 1.0),
    "EuroSAT": (10, 0.2, 1.0),
}
# (dataset, key, value, lowest rate for symmetric noise, lowest rate for pair noise); above 1: never
AT_HIGH_RATES = (
    ("DescribableTextures", "ALPHA1", 0.1, 2.0, 0.75),
    ("FGVCAircraft", "ALPHA1", 0.5, 0.75, 0.75),
    ("OxfordFlowers", "W", 1, 0.75, 0.5),
    ("UCF101", "W", 1, 0.75, 0.375),
    ("EuroSAT", "W", 1, 0.5, 0.625),
    ("EuroSAT", "ALPHA1", 0.1, 0.75, 0.75),
)


def published(cfg: CfgNode) -> dict[str, object]:
    """{dotted key: value} for the dataset and noise of `cfg`, and the settings of COMPAT."""
    released = {"THRESH_STD": False} if cfg.TRAINER.JOAPR.COMPAT == "released" else {}
    return {N + key: value for key, value in (_of_dataset(cfg) | released).items()}


def say_if_all_warm_up(cfg: CfgNode) -> None:
    """Log a line if no epoch is left after the warm-up."""
    if cfg.TRAINER.JOAPR.W >= cfg.OPTIM.MAX_EPOCH:
        logger.info("All %d epochs are warm-up: %sW is %d", cfg.OPTIM.MAX_EPOCH, N, cfg.TRAINER.JOAPR.W)


def _of_dataset(cfg: CfgNode) -> dict[str, float]:
    """{"W": ..., "ALPHA1": ..., "ALPHA2": ...}; empty for datasets without published ones."""
    if cfg.TRAINER.JOAPR.RATE_INDEPENDENT:
        return dict(zip(KEYS, ANY_RATE, strict=True))
    if cfg.DATASET.NAME not in PLAIN:
        return {}
    kind, rate = _noise(cfg)
    high = {
        key: value
        for dataset, key, value, symmetric, pair in AT_HIGH_RATES
        if dataset == cfg.DATASET.NAME and rate >= (pair if kind in PAIR else symmetric) - 1e-9
    }
    return dict(zip(KEYS, PLAIN[cfg.DATASET.NAME], strict=True)) | high


def _noise(cfg: CfgNode) -> tuple[str, float]:
    """Type and rate."""
    dataset = cfg.DATASET
    if "NOISE" not in dataset:  # on upstream Dassl: the flags of a fork that has label noise
        kind = dataset.get("NOISE_TYPE", "")
        return ALIASES.get(kind, kind), dataset.get("NOISE_RATE", 0.0)
    if dataset.NOISE.MANIFEST:
        noise = read_manifest(dataset.NOISE.MANIFEST).noise
        return noise["type"], noise["rate"]
    return dataset.NOISE.TYPE, dataset.NOISE.RATE
