"""From "method, dataset, seed" to the arguments of train.py: configs, folders and checkpoints of each protocol.

Settings come from the environment, under the names that CoOp's scripts use:
    DATA    folder of the datasets                 (default: data)
    CFG     config name of the method              (default: the published one; for embedded datasets: embedded)
    SHOTS   training images a class                (default: 16)
    OUTPUT  folder that all runs go under          (default: output)
    LOADEP  epoch of the checkpoint to be tested   (default: the last one)
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dassl.utils import InputError

ROOT = Path(__file__).resolve().parent.parent
EMBEDDED = ("digits", "shapes", "shapes_sketch", "shapes_clutter", "shapes_inverted", "textures", "letters", "objects")
UNTRAINED = ("ZeroshotCLIP", "ZeroshotCLIP2")
CONFIG_FOLDER = {"ZeroshotCLIP2": "ZeroshotCLIP"}  # methods that share another's configs
DEFAULT_CFG = {"CoOp": "vit_b16_ctxv1"}
IMAGENET_CFG = {"CoOp": "vit_b16_ep50_ctxv1", "ANPrompt": "vit_b16_imagenet"}


@dataclass(frozen=True)
class Settings:
    """What the environment says, see above."""

    data: str = "data"
    cfg: str = ""
    shots: int = 16
    output: str = "output"
    load_epoch: str = ""
    pairs: tuple[str, ...] = field(default=())

    @classmethod
    def from_environment(cls, env: Mapping[str, str], pairs: list[str]) -> Settings:
        shots = env.get("SHOTS", "16")
        if not shots.isdigit() or int(shots) < 1:
            raise InputError(f"SHOTS is {shots!r}, but must be a whole number of at least 1.")
        return cls(
            data=env.get("DATA", "data"),
            cfg=env.get("CFG", ""),
            shots=int(shots),
            output=env.get("OUTPUT", "output"),
            load_epoch=env.get("LOADEP", ""),
            pairs=tuple(pairs),
        )


def config_name(trainer: str, dataset: str) -> str:
    """The config that a method uses on a dataset when none is named."""
    if dataset in EMBEDDED:
        return "embedded"
    published = DEFAULT_CFG.get(trainer, "vit_b16")
    return IMAGENET_CFG.get(trainer, published) if dataset == "imagenet" else published


def base2new_folder(part: str, trainer: str, dataset: str, seed: int, settings: Settings) -> Path:
    """`part` is train_base or test_new; the layout is CoOp's."""
    cfg = settings.cfg or config_name(trainer, dataset)
    where = Path(settings.output) / "base2new" / part / dataset / f"shots_{settings.shots}"
    return where / trainer / cfg / f"seed{seed}"


def base2new_train(trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: train on the base classes, then test on them."""
    folder = base2new_folder("train_base", trainer, dataset, seed, settings)
    mode = ["--eval-only"] if trainer in UNTRAINED else []
    return _arguments(trainer, dataset, seed, settings, folder, mode, "base")


def base2new_test(trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: test the trained model on the new classes. Raises InputError when it is not trained."""
    mode = ["--eval-only"]
    if trainer not in UNTRAINED:
        trained = base2new_folder("train_base", trainer, dataset, seed, settings)
        mode += ["--model-dir", str(trained), "--load-epoch", settings.load_epoch or last_epoch(trained)]
    return _arguments(
        trainer, dataset, seed, settings, base2new_folder("test_new", trainer, dataset, seed, settings), mode, "new"
    )


PROTOCOLS = {"base2new_train": base2new_train, "base2new_test": base2new_test}


def last_epoch(folder: Path) -> str:
    """Epoch of the newest checkpoint in a run's folder."""
    files = sorted(folder.glob("*/checkpoint"))
    if not files:
        raise InputError(f"{folder} holds no trained model; run base2new_train.sh with the same arguments first.")
    return files[0].read_text().strip().rpartition("-")[2]


def _arguments(
    trainer: str, dataset: str, seed: int, settings: Settings, folder: Path, mode: list[str], classes: str
) -> list[str]:
    dataset_config = ROOT / "configs" / "datasets" / f"{dataset}.yaml"
    if not dataset_config.is_file():
        known = sorted(p.stem for p in dataset_config.parent.glob("*.yaml"))
        near = difflib.get_close_matches(dataset, known, n=3, cutoff=0.4)
        raise InputError(
            f"There is no dataset {dataset!r}; known, nearest first: {', '.join(dict.fromkeys(near + known))}."
        )
    name = settings.cfg or config_name(trainer, dataset)
    config = ROOT / "configs" / "trainers" / CONFIG_FOLDER.get(trainer, trainer) / f"{name}.yaml"
    return [
        "--root", settings.data, "--seed", str(seed), "--trainer", trainer,
        "--dataset-config-file", str(dataset_config.relative_to(ROOT)), "--config-file", str(config.relative_to(ROOT)),
        "--output-dir", str(folder), *mode,
        "DATASET.NUM_SHOTS", str(settings.shots), "DATASET.SUBSAMPLE_CLASSES", classes, *settings.pairs,
    ]  # fmt: skip
