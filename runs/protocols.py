"""From "method, dataset, seed" to the arguments of train.py: configs, folders and checkpoints of each protocol.

Settings come from the environment, under the names that CoOp's scripts use:
    DATA    folder of the datasets                 (default: data)
    CFG     config name of the method              (default: the published one; for embedded datasets: embedded)
    SHOTS   training images a class                (default: 16; few_shot takes several: "1 2 4", or all)
    OUTPUT  folder that all runs go under          (default: output)
    LOADEP  epoch of the checkpoint to be tested   (default: the last one)
    SOURCE  what xd_train trained on               (default: imagenet; for embedded datasets: shapes)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from dassl.utils import InputError

from .config_names import CONFIG_FOLDER, EMBEDDED, PUBLISHED, SAR_HOSTS, UNTRAINED, config_name, method_name
from .targets import dataset_config, default_source, expand

__all__ = ["EMBEDDED", "PROTOCOLS", "UNTRAINED", "Settings", "config_name", "plan"]

ALL_SHOTS = ("1", "2", "4", "8", "16")


@dataclass(frozen=True)
class Settings:
    """What the environment says, see above."""

    data: str = "data"
    cfg: str = ""
    shots: int = 16
    output: str = "output"
    load_epoch: str = ""
    pairs: tuple[str, ...] = field(default=())
    source: str = ""

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
            source=env.get("SOURCE", ""),
        )

    def config(self, trainer: str, dataset: str, task: str = "B2N") -> str:
        """CFG, or the config that the method takes for this."""
        return self.cfg or config_name(trainer, dataset, task, self.shots)


def plan(
    protocol: str, trainer: str, where: str, seed: int, env: Mapping[str, str], pairs: list[str]
) -> list[list[str]]:
    """What a script runs, one after another: train.py's arguments, a run each. `where`: see `targets.expand`."""
    if protocol not in PROTOCOLS:
        raise InputError(f"There is no protocol {protocol!r}; there are {', '.join(PROTOCOLS)}.")
    trainer = method_name(trainer)
    if trainer.endswith("SAR") and trainer not in PUBLISHED:
        raise InputError(f"SAR has no scripts for the host {trainer[:-3]!r}; it has them for {', '.join(SAR_HOSTS)}.")
    counts = [env.get("SHOTS", "16")]
    if protocol == "few_shot":
        counts = ALL_SHOTS if counts == ["all"] else counts[0].replace(",", " ").split() or counts
    several = [Settings.from_environment({**env, "SHOTS": k}, pairs) for k in counts]
    runs = [
        PROTOCOLS[protocol](trainer, dataset, seed, settings)
        for dataset in expand(protocol, where, several[0].source)
        for settings in several
    ]
    return [list(arguments) for arguments in dict.fromkeys(map(tuple, runs))]  # without training, one count of shots


# ---------------------------------------------------------------------- base-to-new


def base2new_folder(part: str, trainer: str, dataset: str, seed: int, settings: Settings) -> Path:
    """`part` is train_base or test_new; the layout is CoOp's."""
    where = Path(settings.output) / "base2new" / part / dataset / f"shots_{settings.shots}"
    return where / trainer / settings.config(trainer, dataset) / f"seed{seed}"


def base2new_train(trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: train on the base classes, then test on them."""
    folder = base2new_folder("train_base", trainer, dataset, seed, settings)
    cfg = settings.config(trainer, dataset)
    pairs = ["DATASET.NUM_SHOTS", str(settings.shots), "DATASET.SUBSAMPLE_CLASSES", "base"]
    return _arguments(trainer, dataset, seed, settings, cfg, folder, _train(trainer), pairs)


def base2new_test(trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: test the trained model on the new classes. Raises InputError when it is not trained."""
    trained = base2new_folder("train_base", trainer, dataset, seed, settings)
    folder = base2new_folder("test_new", trainer, dataset, seed, settings)
    cfg = settings.config(trainer, dataset)
    mode = _test(trainer, trained, settings, f"base2new_train.sh {dataset} {seed}")
    pairs = ["DATASET.NUM_SHOTS", str(settings.shots), "DATASET.SUBSAMPLE_CLASSES", "new"]
    return _arguments(trainer, dataset, seed, settings, cfg, folder, mode, pairs)


# ---------------------------------------------------------------------- cross-dataset, domain generalisation


def source_folder(trainer: str, source: str, seed: int, settings: Settings) -> Path:
    """Where a method is trained for other datasets; the layout is CoOp's."""
    cfg = settings.config(trainer, source, "CD")
    return Path(settings.output) / source / trainer / f"{cfg}_{settings.shots}shots" / f"seed{seed}"


def target_folder(trainer: str, source: str, target: str, seed: int, settings: Settings) -> Path:
    """Where its test on a target lands: CoOp's layout for ImageNet, `evaluation_<source>` for any other source."""
    cfg = settings.config(trainer, source, "CD")
    where = Path(settings.output) / ("evaluation" if source == "imagenet" else f"evaluation_{source}")
    return where / trainer / f"{cfg}_{settings.shots}shots" / target / f"seed{seed}"


def xd_train(trainer: str, source: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: train on all classes of the source dataset, and test on them."""
    folder = source_folder(trainer, source, seed, settings)
    cfg = settings.config(trainer, source, "CD")
    pairs = ["DATASET.NUM_SHOTS", str(settings.shots), "TASK", "CD"]
    return _arguments(trainer, source, seed, settings, cfg, folder, _train(trainer), pairs)


def xd_test(trainer: str, target: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: test the trained model on all classes of another dataset, or of a shifted variant."""
    source = settings.source or default_source(target)
    trained = source_folder(trainer, source, seed, settings)
    folder = target_folder(trainer, source, target, seed, settings)
    cfg = settings.config(trainer, source, "CD")
    mode = _test(trainer, trained, settings, f"xd_train.sh {source} {seed}")
    return _arguments(trainer, target, seed, settings, cfg, folder, mode, ["TASK", "CD"])


# ---------------------------------------------------------------------- few-shot


def few_shot_folder(trainer: str, dataset: str, seed: int, settings: Settings) -> Path:
    """A method without training has 0 shots, whatever SHOTS says."""
    cfg = settings.config(trainer, dataset, "FS")
    shots = 0 if trainer in UNTRAINED else settings.shots
    return Path(settings.output) / "few_shot" / dataset / f"shots_{shots}" / trainer / cfg / f"seed{seed}"


def few_shot(trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: train on SHOTS images of each of all classes, then test on them."""
    folder = few_shot_folder(trainer, dataset, seed, settings)
    shots = 0 if trainer in UNTRAINED else settings.shots
    cfg = settings.config(trainer, dataset, "FS")
    pairs = ["DATASET.NUM_SHOTS", str(shots), "TASK", "FS"]
    return _arguments(trainer, dataset, seed, settings, cfg, folder, _train(trainer), pairs)


# ---------------------------------------------------------------------- label noise


def noise_train(trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: train on all classes with wrong labels, then test on them.

    `settings.pairs` begin with the noise's type and rate.
    """
    if len(settings.pairs) < 2:
        raise InputError("TYPE and RATE of the noise are needed, for example: noise_train.sh digits 1 sym_other 0.5")
    kind, rate, *pairs = settings.pairs
    try:
        percent = round(1000 * float(rate))
    except ValueError as error:
        raise InputError(f"RATE is {rate!r}, but must be a number such as 0.5.") from error
    cfg = settings.config(trainer, dataset, "FS")
    folder = Path(settings.output) / "noise" / dataset / f"{kind}_r{percent:04d}" / f"shots_{settings.shots}"
    noise = [] if trainer in UNTRAINED else ["DATASET.NOISE.TYPE", kind, "DATASET.NOISE.RATE", rate]
    pairs = ["DATASET.NUM_SHOTS", str(settings.shots), "TASK", "FS", *noise, *pairs]
    own = replace(settings, pairs=())
    return _arguments(trainer, dataset, seed, own, cfg, folder / trainer / cfg / f"seed{seed}", _train(trainer), pairs)


PROTOCOLS = {
    "base2new_train": base2new_train,
    "base2new_test": base2new_test,
    "xd_train": xd_train,
    "xd_test": xd_test,
    "dg_test": xd_test,  # they differ in what `all` stands for
    "few_shot": few_shot,
    "noise_train": noise_train,
}


# ---------------------------------------------------------------------- shared


def last_epoch(folder: Path, script: str = "base2new_train.sh with the same arguments") -> str:
    """Epoch of the newest checkpoint in a finished run's folder. Raises InputError, naming the script to run."""
    files = sorted(folder.glob("*/checkpoint"))
    if not files:
        raise InputError(f"{folder} holds no trained model; run {script} first.")
    if (folder / "config.yaml").is_file() and not (folder / "results.json").is_file():
        raise InputError(
            f"The training in {folder} is not finished; run {script} again, it goes on from its last checkpoint "
            "(LOADEP=EPOCH tests a checkpoint as it is)."
        )
    return files[0].read_text().strip().rpartition("-")[2]


def _train(trainer: str) -> list[str]:
    """Options of a training run; a method without training is tested at once."""
    return ["--eval-only"] if trainer in UNTRAINED else []


def _test(trainer: str, trained: Path, settings: Settings, script: str) -> list[str]:
    if trainer in UNTRAINED:
        return ["--eval-only"]
    epoch = settings.load_epoch or last_epoch(trained, script)
    return ["--eval-only", "--model-dir", str(trained), "--load-epoch", epoch]


def _arguments(
    trainer: str, dataset: str, seed: int, settings: Settings, cfg: str, folder: Path, mode: list[str], pairs: list[str]
) -> list[str]:
    config = Path("configs", "trainers", CONFIG_FOLDER.get(trainer, trainer), f"{cfg}.yaml")
    return [
        "--root", settings.data, "--seed", str(seed), "--trainer", trainer,
        "--dataset-config-file", str(dataset_config(dataset)), "--config-file", str(config),
        "--output-dir", str(folder), *mode, *pairs, *settings.pairs,
    ]  # fmt: skip
