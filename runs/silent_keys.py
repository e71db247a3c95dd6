"""Which config keys say nothing about a run's numbers. Without torch: tables ask, too."""

from __future__ import annotations

from collections.abc import Collection, Mapping

# Keys that change where or how fast a run works, but no number in its result.
NO_EFFECT = {
    "OUTPUT_DIR", "RESUME", "VERBOSE", "DATASET.ROOT", "TEST.FEATURE_BANK",
    "DATALOADER.NUM_WORKERS", "DATALOADER.DECODED_CACHE_MB", "DATALOADER.PERSISTENT_WORKERS",
    "TRAIN.PRINT_FREQ", "TRAIN.CHECKPOINT_FREQ", "TRAIN.ROLLING_SECONDS", "TRAIN.TENSORBOARD",
    "TRAIN.WATCH_EVERY", "TEST.COMPUTE_CMAT",
    "MODEL.BACKBONE.SPEC",  # a file is read as its statement says, or refused: the numbers are those of the weights
}  # fmt: skip

# Keys that came when there were runs without them. At this value a run is the one that it was before: it is not named.
LATER = {
    "LANGUAGE.MISSING": "refuse", "LANGUAGE.TOO_LONG": "refuse", "TRAINER.JOAPR.COMPAT": "none",
    "TRAINER.NLPROMPT.COMPAT": "none", "TRAINER.TTC.TAU_TOWER": "original",
}  # fmt: skip


def identifying(config: Mapping[str, object], foreign: Collection[str]) -> dict[str, object]:
    """The part of {dotted key: value} that says which run it is. foreign: keys that only other methods read."""
    return {
        key: value for key, value in config.items()
        if key not in NO_EFFECT and key not in foreign and not (key in LATER and value == LATER[key])
    }  # fmt: skip
