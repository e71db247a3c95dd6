"""Lists the config keys that do not identify a run. It does not import torch, since tables use it too."""

from __future__ import annotations

from collections.abc import Collection, Mapping

# Keys that change where a run writes or how fast it is, but no number in its result.
NO_EFFECT = {
    "OUTPUT_DIR", "RESUME", "VERBOSE", "DATASET.ROOT", "TEST.FEATURE_BANK", "TRAIN.FEATURE_BANK",
    "DATALOADER.NUM_WORKERS", "DATALOADER.DECODED_CACHE_MB", "DATALOADER.PERSISTENT_WORKERS",
    "TRAIN.PRINT_FREQ", "TRAIN.CHECKPOINT_FREQ", "TRAIN.ROLLING_SECONDS", "TRAIN.TENSORBOARD", "TRAIN.TRACKERS",
    "TRAIN.WATCH_EVERY", "TEST.COMPUTE_CMAT", "TEST.OUTPUTS", "TEST.CORRUPTION.DIR", "TEST.CORRUPTION.STORE",
    "MODEL.BACKBONE.SPEC",  # it only says how to read a file; the numbers depend on the weights
}  # fmt: skip

# Keys that were added later, with the value that means the former behaviour; at that value they do not identify a run.
LATER = {
    "INPUT.RESIZE_MODE": "shortest",
    "LANGUAGE.WRONG_RATE": 0.0,
    "LANGUAGE.MISSING": "refuse", "LANGUAGE.TOO_LONG": "refuse", "TRAINER.JOAPR.COMPAT": "none",
    "TRAINER.NLPROMPT.COMPAT": "none", "TRAINER.TTC.TAU_TOWER": "original", "TRAINER.CTPT.TWO_STEP": False,
    "TRAINER.TPS.FILM": False, "TRAINER.TTA.PROMPTS": "own", "TRAINER.STREAM.WITH": "",
    "ATTACK.KAPPA": 0.0, "ATTACK.PACKAGE": "torchattacks",
    "TRAINER.ZERO.VOTER_BACKBONE": "", "TRAIN_ATTACK.OBJECTIVE": "host", "TRAIN_ATTACK.LAMBDA": 1.5,
    "TEST.OPEN_WORLD": "", "TRAIN.COMPILE": False,
    "DATASET.FOLDER.EXIF": True, "DATASET.FOLDER.SKIP_BAD": False,
    "DATASET.FEWSHOT_FILE": "",
}  # fmt: skip


def identifying(config: Mapping[str, object], foreign: Collection[str]) -> dict[str, object]:
    """The part of {dotted key: value} that identifies a run. foreign: keys that only other methods read."""
    return {
        key: value for key, value in config.items()
        if key not in NO_EFFECT and key not in foreign and not (key in LATER and value == LATER[key])
    }  # fmt: skip
