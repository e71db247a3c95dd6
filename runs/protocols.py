"""The protocols: each is a function from method, dataset and seed to train.py's arguments (config, folder, checkpoint).

Settings come from the environment, with the names in CoOp's scripts:
    DATA    folder of the datasets                 (default: data)
    CFG     config name of the method              (default: the published one; for embedded datasets: embedded)
    SHOTS   training images per class              (default: 16; few_shot takes several: "1 2 4", or all;
                                                    real_noise_* take -1: every image)
    OUTPUT  folder that all runs go under          (default: output)
    LOADEP  epoch of the checkpoint to be tested   (default: the last one)
    SOURCE  what (noise_)xd_train trained on       (default: imagenet; for embedded datasets: shapes)
    PLUGIN  trainer and dataset files from outside, with ":" between them; PLUGIN_CFG: files with their config keys
            (docs/plugins.md)
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dassl.utils import InputError

from . import noise_protocols as noise
from .arguments import Settings, arguments, last_epoch, test_mode, train_mode
from .conditions import few_shot_folder
from .config_names import (
    EMBEDDED,
    KNOWN_CLASSES_ONLY,
    MIX_INS,
    OF_NEW_CLASSES,
    PUBLISHED,
    UNTRAINED,
    config_name,
    method_name,
)
from .corruption_protocol import PROTOCOLS as CORRUPTION_PROTOCOLS
from .corruption_protocol import spread as corruptions
from .settled import check_pairs
from .targets import dataset_config, default_source, expand
from .text_noise_protocol import PROTOCOLS as TEXT_NOISE_PROTOCOLS
from .text_noise_protocol import spread as text_noises
from .tta_protocol import PROTOCOLS as TEST_TIME_PROTOCOLS
from .tta_protocol import check_online
from .words import check_config, check_method

__all__ = ["EMBEDDED", "PROTOCOLS", "UNTRAINED", "Settings", "config_name", "few_shot_folder", "last_epoch", "plan"]

ALL_SHOTS = ("1", "2", "4", "8", "16")


def plan(
    protocol: str, trainer: str, where: str, seed: int, env: Mapping[str, str], pairs: list[str]
) -> list[list[str]]:
    """The runs of a script in order, as train.py's arguments. where: the datasets, see `targets.expand`."""
    check_protocol(protocol)
    trainer = method_name(trainer)
    for added, hosts in MIX_INS.items():
        if trainer.endswith(added) and trainer not in PUBLISHED:
            host = trainer.removesuffix(added)
            raise InputError(f"{added} has no scripts for the host {host!r}; it has them for {', '.join(hosts)}.")
    counts: Sequence[str] = [env.get("SHOTS", "16")]
    if protocol == "few_shot":
        counts = ALL_SHOTS if counts == ["all"] else counts[0].split() or counts
        if any("," in count for count in counts):
            raise InputError(f"SHOTS is {env['SHOTS']!r}, but several counts have spaces between them: SHOTS='1 2 4'.")
    check_online(protocol, trainer)
    whole = protocol in noise.ON_REAL
    several = [Settings.from_environment({**env, "SHOTS": k}, pairs, whole) for k in counts]
    if protocol in SPREAD:
        several = [replace(several[0], pairs=own) for own in SPREAD[protocol](pairs)]
    _check_names(protocol, trainer, several[0])
    if trainer in KNOWN_CLASSES_ONLY and protocol in OF_NEW_CLASSES:
        raise InputError(f"{trainer} can only predict its training classes, so it has no {protocol}.")
    check_pairs(protocol, pairs, several[0].output)
    find = noise.datasets_of if protocol in noise.PROTOCOLS else expand
    runs = []
    for dataset in find(protocol, where, several[0].source, several[0].plugins):
        for settings in several:
            settings = replace(settings, script=protocol)
            first = PROTOCOLS[protocol](trainer, dataset, seed, settings)
            check_config(settings.cfg, first)
            runs += [first, *noise.second_test(protocol, trainer, dataset, seed, settings, first)]
    return [list(run) for run in dict.fromkeys(map(tuple, runs))]  # untrained methods have one run for all shots


def check_protocol(name: str) -> None:
    """Raises InputError for an unknown protocol; it lists the known ones, the most similar first."""
    if name not in PROTOCOLS:
        near = difflib.get_close_matches(name, PROTOCOLS, n=len(PROTOCOLS), cutoff=0)
        raise InputError(f"There is no protocol {name!r}; there are, the nearest first: {', '.join(near)}.")


def _check_names(protocol: str, trainer: str, settings: Settings) -> None:
    """Raises InputError for an unknown method, source or noise type, else reported as a missing folder later."""
    check_method(trainer, settings.plugins)
    if settings.source:
        dataset_config(settings.source, settings.plugins)
    if protocol in noise.MADE and settings.pairs:
        from datasets.noise.config import TYPES  # imported here, since the package imports torch

        if (kind := settings.pairs[0]) not in TYPES:
            raise InputError(f"TYPE of the noise is {kind!r}, but must be one of {', '.join(TYPES)}.")


# ---------------------------------------------------------------------- base-to-new


def base2new_folder(part: str, trainer: str, dataset: str, seed: int, settings: Settings) -> Path:
    """The folder of a base-to-new run, in CoOp's layout. part: train_base or test_new."""
    where = Path(settings.output) / "base2new" / part / dataset / f"shots_{settings.shots}"
    return where / trainer / settings.config(trainer, dataset) / f"seed{seed}"


def base2new_train(trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: train on the base classes, then test on them."""
    folder = base2new_folder("train_base", trainer, dataset, seed, settings)
    cfg = settings.config(trainer, dataset)
    pairs = ["DATASET.NUM_SHOTS", str(settings.shots), "DATASET.SUBSAMPLE_CLASSES", "base"]
    return arguments(trainer, dataset, seed, settings, cfg, folder, train_mode(trainer), pairs)


def base2new_test(trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: test the trained model on the new classes. Raises InputError if it is not trained."""
    trained = base2new_folder("train_base", trainer, dataset, seed, settings)
    folder = base2new_folder("test_new", trainer, dataset, seed, settings)
    cfg = settings.config(trainer, dataset)
    mode = test_mode(trainer, trained, settings, f"base2new_train.sh {dataset} {seed}")
    pairs = ["DATASET.NUM_SHOTS", str(settings.shots), "DATASET.SUBSAMPLE_CLASSES", "new"]
    return arguments(trainer, dataset, seed, settings, cfg, folder, mode, pairs)


# ---------------------------------------------------------------------- cross-dataset, domain generalisation


def source_folder(trainer: str, source: str, seed: int, settings: Settings) -> Path:
    """The folder of the training on a source for tests on other datasets, in CoOp's layout."""
    cfg = settings.config(trainer, source, "CD")
    return Path(settings.output) / source / trainer / f"{cfg}_{settings.shots}shots" / f"seed{seed}"


def target_folder(trainer: str, source: str, target: str, seed: int, settings: Settings) -> Path:
    """The folder of the test on a target: CoOp's layout for ImageNet, `evaluation_<source>` for any other source."""
    cfg = settings.config(trainer, source, "CD")
    where = Path(settings.output) / ("evaluation" if source == "imagenet" else f"evaluation_{source}")
    return where / trainer / f"{cfg}_{settings.shots}shots" / target / f"seed{seed}"


def xd_train(trainer: str, source: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: train on all classes of the source dataset, and test on them."""
    folder = source_folder(trainer, source, seed, settings)
    cfg = settings.config(trainer, source, "CD")
    pairs = ["DATASET.NUM_SHOTS", str(settings.shots), "TASK", "CD"]
    return arguments(trainer, source, seed, settings, cfg, folder, train_mode(trainer), pairs)


def xd_test(trainer: str, target: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: test the trained model on all classes of another dataset, or of a shifted variant."""
    source = settings.source or default_source(target)
    trained = source_folder(trainer, source, seed, settings)
    folder = target_folder(trainer, source, target, seed, settings)
    cfg = settings.config(trainer, source, "CD")
    mode = test_mode(trainer, trained, settings, f"xd_train.sh {source} {seed}")
    return arguments(trainer, target, seed, settings, cfg, folder, mode, ["TASK", "CD"], {"source": source})


# ---------------------------------------------------------------------- few-shot


def few_shot(trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: train on SHOTS images of each of all classes, then test on them."""
    folder = few_shot_folder(trainer, dataset, seed, settings)
    shots = 0 if trainer in UNTRAINED else settings.shots
    cfg = settings.config(trainer, dataset, "FS")
    pairs = ["DATASET.NUM_SHOTS", str(shots), "TASK", "FS"]
    return arguments(trainer, dataset, seed, settings, cfg, folder, train_mode(trainer), pairs, {"shots": shots})


# ---------------------------------------------------------------------- base and new classes together


def open_world_folder(trainer: str, dataset: str, seed: int, settings: Settings) -> Path:
    """The folder of a test over base and new classes together."""
    where = Path(settings.output) / "open_world" / dataset / f"shots_{settings.shots}"
    return where / trainer / settings.config(trainer, dataset) / f"seed{seed}"


def open_world_test(trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: test the model trained on the base classes on all images, with all classes as candidates.

    The saved outputs have all logits, which the figures of this protocol need. A method with a rule of its own for new
    classes uses it for all images, since some classes are new to it; the logits of its other rule are saved, too.
    """
    trained = base2new_folder("train_base", trainer, dataset, seed, settings)
    folder = open_world_folder(trainer, dataset, seed, settings)
    mode = test_mode(trainer, trained, settings, f"base2new_train.sh {dataset} {seed}")
    pairs = ["DATASET.NUM_SHOTS", str(settings.shots), "DATASET.SUBSAMPLE_CLASSES", "all"]
    pairs += ["TEST.OPEN_WORLD", "new", "TEST.OUTPUTS", "logits"]
    return arguments(trainer, dataset, seed, settings, settings.config(trainer, dataset), folder, mode, pairs)


PROTOCOLS = {
    "base2new_train": base2new_train,
    "base2new_test": base2new_test,
    "open_world_test": open_world_test,
    "xd_train": xd_train,
    "xd_test": xd_test,
    "dg_test": xd_test,  # only the meaning of `all` differs
    "few_shot": few_shot,
    **noise.PROTOCOLS,
    **TEST_TIME_PROTOCOLS,
    **CORRUPTION_PROTOCOLS,
    **TEXT_NOISE_PROTOCOLS,
}
# {protocol of several tests: function that makes the pairs of each test from the pairs of the script}
SPREAD = {"corruption_test": corruptions, "text_noise_test": text_noises}
