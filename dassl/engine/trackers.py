"""Where a training's curves and configuration are written beside the log: TensorBoard, Weights & Biases, MLflow.

TRAIN.TENSORBOARD is on by default; TRAIN.TRACKERS names the others, whose packages are imported when they start.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from dassl.config.values import all_keys
from dassl.utils.errors import InputError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)
PROJECT = "robustprompt"  # the project or experiment, where the environment names none
RESULT = "test/accuracy"  # the curve that TensorBoard shows beside the configuration
PARAMS = 100  # that MLflow takes at once

Config = Mapping[str, bool | int | float | str]


class Tracker(Protocol):
    """scalar: a point of a curve. close: called once, also where the training failed or was interrupted."""

    def scalar(self, tag: str, value: float, step: int | None) -> None: ...
    def close(self, failed: bool) -> None: ...


class WeightsAndBiases:
    """A run of the project in WANDB_PROJECT; wandb's other variables count too, such as WANDB_MODE=offline."""

    def __init__(self, folder: str, name: str, config: Config) -> None:
        import wandb

        project = os.environ.get("WANDB_PROJECT", PROJECT)
        self.run = wandb.init(project=project, name=name, dir=folder, config=dict(config))
        self.tags: set[str] = set()

    def scalar(self, tag: str, value: float, step: int | None) -> None:
        axis = f"{tag}.step"  # of its own: wandb drops a point whose step is below that of another curve
        if tag not in self.tags:
            self.tags.add(tag)
            self.run.define_metric(tag, step_metric=axis)
        self.run.log({tag: value, axis: step or 0})

    def close(self, failed: bool) -> None:
        self.run.finish(exit_code=int(failed))


class MLflow:
    """A run of the experiment in MLFLOW_EXPERIMENT_NAME, kept where MLFLOW_TRACKING_URI says."""

    def __init__(self, folder: str, name: str, config: Config) -> None:
        import mlflow
        from mlflow.entities import Param

        self.client = mlflow.MlflowClient()
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self.client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else self.client.create_experiment(experiment)
        self.run = self.client.create_run(number, run_name=name).info.run_id
        params = [Param(key, str(value)[:500]) for key, value in config.items()]
        for first in range(0, len(params), PARAMS):
            self.client.log_batch(self.run, params=params[first : first + PARAMS])

    def scalar(self, tag: str, value: float, step: int | None) -> None:
        self.client.log_metric(self.run, tag, value, step=step or 0)

    def close(self, failed: bool) -> None:
        self.client.set_terminated(self.run, "FAILED" if failed else "FINISHED")


TRACKERS: dict[str, type[WeightsAndBiases] | type[MLflow]] = {"wandb": WeightsAndBiases, "mlflow": MLflow}


def check_trackers(names: Iterable[str]) -> None:
    """Raises InputError for a tracker whose package is not installed."""
    for name in names:
        if not _installed(name):
            raise InputError(
                f"TRAIN.TRACKERS has {name}, but this Python has no package {name}: run `python -m pip install {name}`."
            )


def start_trackers(names: Iterable[str], trainer: Any) -> dict[str, Tracker]:
    """{name: a tracker} of a training that begins. Raises InputError for one that does not start: no server, no key."""
    cfg = trainer.cfg
    title = f"{cfg.TRAINER.NAME} {cfg.DATASET.NAME} seed{cfg.SEED}"
    found: dict[str, Tracker] = {}
    for name in dict.fromkeys(names):
        try:
            found[name] = TRACKERS[name](trainer.output_dir, title, configuration(trainer))
        except Exception as error:  # of a package that this project does not know from within
            close_trackers(found, failed=True)
            raise InputError(
                f"TRAIN.TRACKERS has {name}, which does not start ({_first(error)}); see to it, or leave {name} out."
            ) from error
    return found


def write_point(trackers: dict[str, Tracker], tag: str, value: float, step: int | None) -> None:
    """A point of a curve to all trackers. One that fails is left out from then on: a training is worth more."""
    for name in list(trackers):
        try:
            trackers[name].scalar(tag, value, step)
        except Exception as error:
            del trackers[name]
            logger.warning("Warning: %s takes no more points (%s); the training goes on without", name, _first(error))


def close_trackers(trackers: dict[str, Tracker], failed: bool) -> None:
    """Close all, once. failed: the training did not come to its end."""
    while trackers:
        name, tracker = trackers.popitem()
        try:
            tracker.close(failed)
        except Exception as error:
            logger.warning("Warning: %s could not be closed (%s)", name, _first(error))


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__


def write_configuration(writer: SummaryWriter, config: Config) -> None:
    """The tab HPARAMS of TensorBoard, in the writer's own file."""
    from torch.utils.tensorboard.summary import hparams

    file = writer._get_file_writer()
    for summary in hparams(dict(config), {RESULT: 0.0}):  # of the result its name alone is written here
        file.add_summary(summary)


def configuration(trainer: Any) -> dict[str, bool | int | float | str]:
    """{dotted key: value} of a trainer's config without keys of other methods; lists as texts."""
    own = getattr(trainer, "config_defaults", None)
    found: dict[str, bool | int | float | str] = {}
    for key in all_keys(trainer.cfg):
        if own is not None and key.startswith("TRAINER.") and key.count(".") > 1 and key not in own:
            continue
        value: Any = trainer.cfg
        for part in key.split("."):
            value = value[part]
        found[key] = value if isinstance(value, (bool, int, float, str)) else str(value)
    return found


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # None, or a module without a spec, stands in sys.modules
        return False
