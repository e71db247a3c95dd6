"""Corrupted test images for any method: `TEST.CORRUPTION.NAME gaussian_noise TEST.CORRUPTION.SEVERITY 3`.

The test (or validation) items of the run keep paths, labels and order; their pictures come from a set on disk that is
made on first use and shared by all methods. Only normalisation is applied to them, as ImageNet-C's pictures are
corrupted at the model's size.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from yacs.config import CfgNode

from dassl.config.domains import OPTIONAL, Domain, choice, whole
from dassl.data.datasets.build import WRAPPERS
from dassl.utils import InputError

from .adversarial import AdversarialItems
from .corruption.recipe import CORRUPTIONS, SEVERITIES
from .corruption.sets import CorruptedSet, make_set
from .reading.paths import image_folder

if TYPE_CHECKING:
    from dassl.data.datasets import DatasetBase

logger = logging.getLogger(__name__)

C = "TEST.CORRUPTION."
CONFIG_DEFAULTS = {
    C + "NAME": "",  # one of `CORRUPTIONS`; "": clean images
    C + "SEVERITY": 1,  # 1 to 5
    C + "SEED": 0,  # of the random numbers; not the run's seed, so that all runs meet the same pictures
    C + "DIR": "",  # folder of the sets; "": <data root>/corrupted
    C + "STORE": "raw",  # raw | png: smaller, and slower to read
}
CONFIG_DOMAINS: dict[str, Domain] = {
    C + "NAME": choice("", *CORRUPTIONS),
    C + "SEVERITY": choice(*SEVERITIES),
    C + "SEED": whole(0),
    C + "DIR": OPTIONAL,
    C + "STORE": choice("raw", "png"),
}


def add_corruption_defaults(cfg: CfgNode) -> None:
    """Adds TEST.CORRUPTION.*."""
    cfg.TEST.CORRUPTION = CfgNode({key.removeprefix(C): value for key, value in CONFIG_DEFAULTS.items()})


def serve(cfg: CfgNode, dataset: DatasetBase) -> DatasetBase:
    """The dataset with corrupted pictures in its test (or validation) split; unchanged without a corruption.

    Raises InputError for a run that also has attacked pictures (TEST.ADV_SET).
    """
    given = cfg.TEST.get("CORRUPTION")
    if given is None or not given.NAME:
        return dataset
    if cfg.TEST.get("ADV_SET", ""):
        raise InputError("TEST.ADV_SET and TEST.CORRUPTION.NAME both give the test pictures; leave one out.")
    split = "val" if cfg.TEST.SPLIT == "val" and dataset.val else "test"
    found = CorruptedSet(make_set(cfg, dataset, split))
    items = list(dataset.val if split == "val" else dataset.test)
    dataset.replace_items(**{split: AdversarialItems(items, found, image_folder(dataset, items))})
    dataset.corruption = found.facts
    text = "Corrupted %s set %s: %s, severity %d, %d images; mean change %.1f grey levels"
    facts = found.facts
    logger.info(text, split, found.key[:12], facts["name"], facts["severity"], len(found), facts["mean_levels"])
    return dataset


WRAPPERS.append(serve)
