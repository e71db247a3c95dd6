"""Curves and configuration of a training in TensorBoard, Weights & Biases and MLflow, the last two by stand-ins."""

from __future__ import annotations

import importlib.machinery
import sys
import types

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from dassl.engine import build_trainer
from dassl.engine.trackers import configuration
from dassl.utils import InputError


def package(name: str, **contents: object) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    vars(module).update(contents)
    return module


@pytest.fixture
def wandb(monkeypatch):
    """What is said to the package: [(word, arguments)]."""
    said: list[tuple] = []

    class Run:
        def log(self, values):
            said.append(("log", values))

        def define_metric(self, tag, step_metric):
            said.append(("metric", tag, step_metric))

        def finish(self, exit_code):
            said.append(("finish", exit_code))

    def init(**words):
        said.append(("init", words))
        return Run()

    monkeypatch.setitem(sys.modules, "wandb", package("wandb", init=init))
    return said


@pytest.fixture
def mlflow(monkeypatch):
    said: list[tuple] = []

    class Client:
        def get_experiment_by_name(self, name):
            said.append(("experiment", name))

        def create_experiment(self, name):
            return "7"

        def create_run(self, number, run_name):
            said.append(("run", number, run_name))
            return types.SimpleNamespace(info=types.SimpleNamespace(run_id="r"))

        def log_batch(self, run, params):
            assert len(params) <= 100
            said.append(("params", dict(params)))

        def log_metric(self, run, tag, value, step):
            said.append(("metric", tag, value, step))

        def set_terminated(self, run, status):
            said.append(("end", status))

    monkeypatch.setitem(sys.modules, "mlflow", package("mlflow", MlflowClient=Client))
    entities = package("mlflow.entities", Param=lambda key, value: (key, value))
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    return said


def test_tensorboard_has_the_configuration_and_the_result(make_cfg, tmp_path):
    trainer = build_trainer(make_cfg("TRAIN.TENSORBOARD", True, "OPTIM.MAX_EPOCH", 1, "OPTIM.WEIGHT_DECAY", 0.25))
    trainer.train()
    (file,) = (tmp_path / "out" / "tensorboard").iterdir()
    events = EventAccumulator(str(file))
    events.Reload()
    assert "test/accuracy" in events.Tags()["scalars"] and "train/loss" in events.Tags()["scalars"]
    plugin = events.SummaryMetadata("_hparams_/session_start_info").plugin_data
    start = HParamsPluginData.FromString(plugin.content).session_start_info
    values = {key: getattr(value, str(value.WhichOneof("kind"))) for key, value in start.hparams.items()}
    assert values["OPTIM.WEIGHT_DECAY"] == 0.25 and values["TRAINER.NAME"] == "ToyTrainer"
    assert values["INPUT.SIZE"] == "(16, 16)" and values == configuration(trainer)
    experiment = HParamsPluginData.FromString(events.SummaryMetadata("_hparams_/experiment").plugin_data.content)
    assert [info.name.tag for info in experiment.experiment.metric_infos] == ["test/accuracy"]


def test_both_others_get_the_same(make_cfg, tmp_path, wandb, mlflow, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "ours")
    trainer = build_trainer(make_cfg("TRAIN.TRACKERS", ("wandb", "mlflow"), "OPTIM.MAX_EPOCH", 2))
    assert not wandb and not mlflow, "nothing starts before the training"
    trainer.train()
    expected = configuration(trainer)
    assert wandb[0][1] == {
        "project": "mine", "name": "ToyTrainer ToyFolder seed1", "dir": str(tmp_path / "out"), "config": expected
    }  # fmt: skip
    assert mlflow[:2] == [("experiment", "ours"), ("run", "7", "ToyTrainer ToyFolder seed1")]
    params = {key: value for word, *rest in mlflow if word == "params" for key, value in rest[0].items()}
    assert params == {key: str(value) for key, value in expected.items()}
    points = [next(iter(said[1].items())) + (said[1],) for said in wandb if said[0] == "log"]
    logged = [(tag, value, found[f"{tag}.step"]) for tag, value, found in points]
    assert logged == [tuple(rest) for word, *rest in mlflow if word == "metric"] and len(logged) > 8
    tags = [tag for tag, *_ in logged]
    assert {"train/loss", "train/lr", "test/accuracy"} <= set(tags)
    assert [tag for word, tag, *_ in (said for said in wandb if said[0] == "metric")] == list(dict.fromkeys(tags)), (
        "one axis a curve"
    )
    assert wandb[-1] == ("finish", 0) and mlflow[-1] == ("end", "FINISHED")
    assert not (tmp_path / "out" / "tensorboard").exists()


def test_a_training_that_breaks_off_is_ended_as_failed(make_cfg, wandb, mlflow, monkeypatch):
    trainer = build_trainer(make_cfg("TRAIN.TRACKERS", ("wandb", "mlflow")))

    def stop():
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "before_epoch", stop)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert wandb[-1] == ("finish", 1) and mlflow[-1] == ("end", "FAILED")


def test_a_tracker_that_does_not_start_is_told_and_the_others_are_ended(make_cfg, wandb, mlflow, monkeypatch):
    def refuse(**words):
        raise RuntimeError("no server at x.\nmany lines")

    monkeypatch.setattr(sys.modules["wandb"], "init", refuse)
    trainer = build_trainer(make_cfg("TRAIN.TRACKERS", ("mlflow", "wandb")))
    with pytest.raises(
        InputError, match=r"has wandb, which does not start \(RuntimeError: no server at x\); see to it"
    ):
        trainer.train()
    assert mlflow[-1] == ("end", "FAILED")


def test_a_tracker_that_fails_in_between_does_not_end_the_training(make_cfg, wandb, mlflow, monkeypatch, capsys):
    trainer = build_trainer(make_cfg("TRAIN.TRACKERS", ("wandb", "mlflow"), "OPTIM.MAX_EPOCH", 2))
    scalar = type(trainer).write_scalar

    def failing(self, tag, value, step=None):
        if tag == "test/accuracy":
            monkeypatch.setattr(self._trackers["wandb"].run, "log", lambda values: 1 / 0, raising=False)
        scalar(self, tag, value, step)

    monkeypatch.setattr(type(trainer), "write_scalar", failing)
    trainer.train()
    assert "wandb takes no more points (ZeroDivisionError: division by zero)" in capsys.readouterr().out
    assert mlflow[-1] == ("end", "FINISHED") and trainer.evaluator.results["accuracy"] >= 0


def test_a_missing_package_is_told_before_the_data_is_read(make_cfg, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    cfg = make_cfg("TRAIN.TRACKERS", ("wandb",), "DATASET.ROOT", "nowhere")
    with pytest.raises(InputError, match="has no package wandb: run `python -m pip install wandb`"):
        build_trainer(cfg)


def test_trackers_of_a_method_change_no_number_and_no_name(tiny, tmp_path, wandb, capsys):
    import json

    assert (
        tiny.run(tmp_path / "plain") == 0 and tiny.run(tmp_path / "tracked", pairs={"TRAIN.TRACKERS": "['wandb']"}) == 0
    )
    plain, tracked = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("plain", "tracked"))
    assert plain["results"] == tracked["results"] and plain["settings_hash"] == tracked["settings_hash"]
    config = wandb[0][1]["config"]
    assert "TRAINER.COOP.N_CTX" in config and not any(key.startswith("TRAINER.MAPLE.") for key in config)
    capsys.readouterr()
    assert tiny.run(tmp_path / "wrong", pairs={"TRAIN.TRACKERS": "['comet']"}) == 2
    assert "TRAIN.TRACKERS" in (err := capsys.readouterr().err) and "wandb" in err and err.count("\n") == 1
