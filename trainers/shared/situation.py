"""The kind of a test: on the training classes (base), on new classes, on another dataset, or few-shot."""

from __future__ import annotations

from yacs.config import CfgNode

SOURCES = ("ImageNet", "Shapes")  # training sets of cross-dataset tests; Shapes for the embedded suite


def situation(cfg: CfgNode) -> str:
    """base, new, cd_source, cd_target or fs, from TASK, the dataset and the half of its classes.

    In a test over base and new classes together it is unknown which kind an image is of, so all images are treated
    alike, as TEST.OPEN_WORLD sets.
    """
    if rule := cfg.TEST.get("OPEN_WORLD", ""):
        return rule
    if cfg.TASK == "CD":
        return "cd_source" if cfg.DATASET.NAME in SOURCES else "cd_target"
    return "fs" if cfg.TASK == "FS" else "new" if cfg.DATASET.SUBSAMPLE_CLASSES == "new" else "base"
