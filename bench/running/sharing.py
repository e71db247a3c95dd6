"""Which runs share the features of a frozen tower: these follow each other, so that what one has encoded is still in
the cache when the next reads it, however little the cache may hold."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence

from runs.config_names import UNTRAINED

from ..suites.suite import Run

# What the features of training crops and of test images depend on, beside seed and precision.
SHARED = ("MODEL.BACKBONE.", "INPUT.", "DATASET.NAME", "DATASET.NUM_SHOTS", "DATASET.SUBSAMPLE_CLASSES", "USE_CUDA")


def features_of(run: Run) -> tuple[int, str]:
    """The same for runs that train on the same crops of the same images under the same tower."""
    settings = json.loads(run.resolved[0].text).items()
    found = {key: value for key, value in settings if key.startswith(SHARED)}
    precision = [value for key, value in settings if key.endswith(".PREC")]  # each method has a key of its own
    return run.seed, json.dumps([found, precision], sort_keys=True)


def in_turn(runs: Sequence[Run]) -> list[Run]:
    """The runs, those that share features one after another. Groups and the runs in them keep their order."""
    groups = defaultdict(list)
    for run in runs:
        groups[features_of(run)].append(run)
    return [run for group in groups.values() for run in group]


def tower_epochs(runs: Sequence[Run]) -> tuple[int, int]:
    """Passes over a run's training images that the image tower makes, one an epoch: each run alone, and with the bank,
    where of runs that share features the longest one's epochs are encoded. Not counted: tests, and JoAPR's further
    crops."""
    trained = [run for run in runs if run.method not in UNTRAINED]
    groups: dict[object, int] = defaultdict(int)
    for run in trained:
        if run.shares_crops:
            key = features_of(run)
            groups[key] = max(groups[key], run.epochs)
    alone = sum(run.epochs for run in trained if not run.shares_crops)
    return sum(run.epochs for run in trained), alone + sum(groups.values())
