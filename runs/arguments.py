"""Shared by all protocols: settings from the environment, and the making of train.py's arguments."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dassl.utils import InputError
from interop.plugins.names import OURS, label_of, plain
from interop.plugins.places import PROJECT, config_of

from .about import option
from .config_names import CONFIG_FOLDER, UNTRAINED, config_name
from .targets import dataset_config, name_in
from .words import check_folder, is_whole


@dataclass(frozen=True)
class Settings:
    """The settings of a protocol from the environment (see `runs/protocols.py`) and the command line."""

    data: str = "data"
    cfg: str = ""
    shots: int = 16
    output: str = "output"
    load_epoch: str = ""
    pairs: tuple[str, ...] = field(default=())
    source: str = ""
    plugins: tuple[str, ...] = ()  # files of trainers and datasets from outside
    plugin_cfg: tuple[str, ...] = ()  # files that add their config keys
    doubles: tuple[str, ...] = ()  # names that both this project and a plugin have; here they mean this project's
    # For results.json alone, see `runs/about.py`: the script or step, the suite, and the folder of all its runs.
    script: str = ""
    suite: str = ""
    top: str = ""

    @classmethod
    def from_environment(cls, env: Mapping[str, str], pairs: list[str], whole: bool = False) -> Settings:
        """Read the settings from `env`. whole: SHOTS may be -1, every image.

        Raises InputError for wrong SHOTS or LOADEP, and for DATA or OUTPUT that cannot be a folder.
        """
        shots, epoch = env.get("SHOTS", "16"), env.get("LOADEP", "")
        if not (is_whole(shots, 1) or whole and shots == "-1"):
            more = ", or -1 for every image" if whole else ""
            raise InputError(f"SHOTS is {shots!r}, but must be a whole number of at least 1{more}.")
        if epoch and not is_whole(epoch, 1):
            raise InputError(f"LOADEP is {epoch!r}, but must be the epoch of a checkpoint, a whole number from 1.")
        folders = {"DATA": env.get("DATA", "data"), "OUTPUT": env.get("OUTPUT", "output")}
        for name, folder in folders.items():
            check_folder(folder, name)
        return cls(
            data=folders["DATA"],
            cfg=env.get("CFG", ""),
            shots=int(shots),
            output=folders["OUTPUT"],
            load_epoch=epoch,
            pairs=tuple(pairs),
            source=env.get("SOURCE", ""),
            plugins=files(env.get("PLUGIN", "")),
            plugin_cfg=files(env.get("PLUGIN_CFG", "")),
        )

    def config(self, trainer: str, dataset: str, task: str = "B2N") -> str:
        """The name of the method's config: CFG, the name of the file that CFG gives, or the published one."""
        return Path(self.cfg).stem if is_file(self.cfg) else self.cfg or config_name(trainer, dataset, task, self.shots)


def files(text: str) -> tuple[str, ...]:
    """Split paths that have ":" between them, as in PATH."""
    return tuple(path for path in text.split(os.pathsep) if path)


def is_file(cfg: str) -> bool:
    """Whether CFG is the path of a YAML file, and not the name of a config."""
    return cfg.endswith((".yaml", ".yml"))


def last_epoch(folder: Path, script: str = "base2new_train.sh with the same arguments") -> str:
    """The epoch of the newest checkpoint in a finished run's folder. Raises InputError that names the script to run."""
    files = sorted(folder.glob("*/checkpoint"))
    if not files:
        raise InputError(f"{folder} holds no trained model; run {script} first.")
    if (folder / "config.yaml").is_file() and not (folder / "results.json").is_file():
        raise InputError(
            f"The training in {folder} is not finished; run {script} again, it goes on from its last checkpoint "
            "(LOADEP=EPOCH tests a checkpoint as it is)."
        )
    return files[0].read_text().strip().rpartition("-")[2]


def train_mode(trainer: str) -> list[str]:
    """The options of a training run; a method without training is only tested."""
    return ["--eval-only"] if trainer in UNTRAINED else []


def test_mode(trainer: str, trained: Path, settings: Settings, script: str) -> list[str]:
    """The options of a test. trained: the folder of the training run; script: what makes it, for errors. Raises
    InputError if the method is trained and that folder has no finished training."""
    if trainer in UNTRAINED:
        return ["--eval-only"]
    epoch = settings.load_epoch or last_epoch(trained, script)
    return ["--eval-only", "--model-dir", str(trained), "--load-epoch", epoch]


def arguments(
    trainer: str, dataset: str, seed: int, settings: Settings, cfg: str, folder: Path, mode: list[str],
    pairs: list[str], about: Mapping[str, object] | None = None,
) -> list[str]:  # fmt: skip
    """The arguments of train.py. about: values for results.json that differ from the usual: `source`, the config name
    of the training dataset (None without training) if it is not `dataset`; fields of `runs.about.CELL`."""
    if is_file(settings.cfg):
        config = Path(settings.cfg)
    else:
        own = plain(trainer)
        name = f"{CONFIG_FOLDER.get(own, own)}/{cfg}.yaml"
        config = config_of("trainers", name, settings.plugins, label_of(trainer))
    plugins = [x for file in settings.plugins for x in ("--plugin", file)]
    plugins += [x for file in settings.plugin_cfg for x in ("--plugin-cfg", file)]
    dataset_file = dataset_config(dataset, settings.plugins)
    usual = {"source": dataset, "target": dataset, "shots": settings.shots}
    told = option(
        settings.script, settings.suite, cfg, settings.output, settings.top, folder, **{**usual, **(about or {})}
    )
    return [
        "--root", settings.data, "--seed", str(seed), "--trainer", spelled(trainer, settings), *plugins,
        "--dataset-config-file", str(dataset_file), "--config-file", str(config),
        "--output-dir", str(folder), *mode, *told, *_whose(dataset, dataset_file, settings), *pairs, *settings.pairs,
    ]  # fmt: skip


def spelled(name: str, settings: Settings) -> str:
    """A registered name, with the label of this project if plugins have the same name."""
    return f"{name}@{OURS}" if name in settings.doubles else name


def _whose(dataset: str, file: Path, settings: Settings) -> list[str]:
    """The config pair with the dataset's labelled name, if plugins have a dataset of the same name; else none."""
    if "@" not in dataset and not settings.doubles:
        return []
    named = name_in(PROJECT / file)
    name = f"{named}@{label_of(dataset)}" if label_of(dataset) else spelled(named, settings)
    return [] if name == named else ["DATASET.NAME", name]
