"""Whole runs of the toy trainer: log lines, files, hooks, tests."""

import math
import os
import re

import pytest
import torch
import toy
from torch import nn

from dassl.data import DataManager
from dassl.data.data_manager import build_data_loader
from dassl.engine import TRAINER_REGISTRY, SimpleTrainer, TrainerBase, TrainerX, TrainerXU, build_trainer
from dassl.utils import InputError, setup_logger

LINE = re.compile(
    r"epoch \[(\d)/4\] batch \[(\d)/2\] time \d+\.\d{3} \(\d+\.\d{3}\) data \d+\.\d{3} \(\d+\.\d{3}\) "
    r"loss \d+\.\d{4} \(\d+\.\d{4}\) acc \d+\.\d{4} \(\d+\.\d{4}\) lr (\d\.\d{4}e[+-]\d\d) eta \d+:\d\d:\d\d"
)


def test_whole_run(make_cfg, tmp_path):
    cfg = make_cfg("TRAIN.TENSORBOARD", True, "DATASET.NUM_SHOTS", 4, "TRAIN.CHECKPOINT_FREQ", 3)
    cfg.freeze()
    setup_logger(cfg.OUTPUT_DIR)
    trainer = build_trainer(cfg)
    trainer.train()
    log = (tmp_path / "out" / "log.txt").read_text()
    lines = log.splitlines()

    found = [LINE.fullmatch(line) for line in lines if line.startswith("epoch ")]
    assert [(m[1], m[2]) for m in found] == [(str(e), str(b)) for e in (1, 2, 3, 4) for b in (1, 2)]
    # the last line of an epoch shows the next epoch's rate
    cosine = [0.05 * (1 + math.cos(math.pi * e / 4)) for e in range(4)]
    rates = [1e-5, cosine[0], cosine[0], cosine[1], cosine[1], cosine[2], cosine[2], cosine[3]]
    assert [m[3] for m in found] == [f"{r:.4e}" for r in rates]

    order = ["Loading trainer: ToyTrainer", "Loading dataset: ToyFolder", "Creating a 4-shot dataset"]
    order += ["Building transform_train", "Building transform_test", "Loading evaluator: Classification"]
    order += [
        "No checkpoint found, train from scratch",
        f"Initialize tensorboard (log_dir={cfg.OUTPUT_DIR}/tensorboard)",
    ]
    order += [f"Checkpoint saved to {cfg.OUTPUT_DIR}/prompt_learner/model.pth.tar-4", "Finish training"]
    order += ["Deploy the last-epoch model", "Evaluate on the *test* set", "=> result", "* total: 8"]
    positions = [lines.index(line) for line in order]
    assert positions == sorted(positions)
    assert re.fullmatch(r"Elapsed: \d+:\d\d:\d\d", lines[-1])
    accuracy = re.findall(r"\* accuracy: ([\.\deE+-]+)%", log[log.index("Finish training") :])  # as the parser reads it
    assert accuracy == [f"{trainer.evaluator.results['accuracy']:.1f}"]
    assert trainer.evaluator.results["accuracy"] > 50

    assert sorted(os.listdir(tmp_path / "out")) == ["log.txt", "prompt_learner", "tensorboard"]
    files = sorted(os.listdir(tmp_path / "out" / "prompt_learner"))
    assert files == ["checkpoint", "model.pth.tar-3", "model.pth.tar-4"]
    assert os.listdir(tmp_path / "out" / "tensorboard")[0].startswith("events.out.tfevents.")


def test_second_run_tests_only(make_cfg, capsys):
    first = build_trainer(make_cfg())
    first.train()
    capsys.readouterr()
    second = build_trainer(make_cfg())
    second.train()
    out = capsys.readouterr().out
    assert f"Found checkpoint at {make_cfg().OUTPUT_DIR} (will resume training)\n" in out
    assert "epoch [" not in out
    assert "Finish training\n" in out
    assert second.evaluator.results == first.evaluator.results


def test_best_val(make_cfg, monkeypatch, capsys):
    scores = iter([50.0, 70.0, 70.0, 60.0])
    real_test = toy.ToyTrainer.test
    monkeypatch.setattr(
        toy.ToyTrainer, "test", lambda self, split=None: next(scores) if split == "val" else real_test(self, split)
    )
    trainer = build_trainer(make_cfg("TEST.FINAL_MODEL", "best_val"))
    trainer.train()
    assert trainer.best_result == 70.0
    out = capsys.readouterr().out
    assert out.count("model-best.pth.tar\n") == 2
    assert "Deploy the model with the best val performance\n" in out
    assert "to prompt_learner (epoch=2, val_result=70.0)\n" in out


def test_no_test(make_cfg, capsys):
    trainer = build_trainer(make_cfg("TEST.NO_TEST", True, "TEST.FINAL_MODEL", "best_val"))
    trainer.train()
    assert "Evaluate" not in capsys.readouterr().out


def test_eval_only_equals_end_of_training(make_cfg, tmp_path, capsys):
    trained = build_trainer(make_cfg())
    trained.train()
    trainer = build_trainer(make_cfg("OUTPUT_DIR", str(tmp_path / "eval")))
    trainer.load_model(make_cfg().OUTPUT_DIR, epoch=4)
    assert "(epoch=4, val_result=none)\n" in capsys.readouterr().out
    assert trainer.test() == trained.evaluator.results["accuracy"]
    assert trainer.evaluator.results == trained.evaluator.results
    assert not (tmp_path / "eval").exists()
    with pytest.raises(FileNotFoundError, match="model.pth.tar-9"):
        trainer.load_model(make_cfg().OUTPUT_DIR, epoch=9)
    with pytest.raises(FileNotFoundError, match="model-best"):
        trainer.load_model(make_cfg().OUTPUT_DIR)
    trainer.load_model("")
    assert "skipped" in capsys.readouterr().out


def test_the_test_set_does_not_stand_in_for_validation_images(make_cfg, capsys):
    trainer = build_trainer(make_cfg("TEST.SPLIT", "val"))
    trainer.test()
    assert "Evaluate on the *val* set\n" in capsys.readouterr().out
    trainer.val_loader = None
    with pytest.raises(InputError, match="ToyFolder has none; take TEST.SPLIT test"):
        trainer.test(split="val")
    assert "Evaluate" not in capsys.readouterr().out


def test_hooks_in_order(make_cfg):
    calls = []

    class Recorder(toy.ToyTrainer):
        pass

    names = [
        "check_cfg",
        "build_data_loader",
        "build_model",
        "before_train",
        "before_epoch",
        "run_epoch",
        "after_epoch",
    ]
    for name in [*names, "after_train", "test"]:

        def hook(self, *args, _name=name, **kwargs):
            calls.append(_name)
            if _name == "check_cfg":
                assert not hasattr(self, "cfg")
                assert self.get_model_names() == []
            return getattr(super(Recorder, self), _name)(*args, **kwargs)

        setattr(Recorder, name, hook)
    Recorder(make_cfg("OPTIM.MAX_EPOCH", 2)).train()
    assert calls == [*names, *names[-3:], "after_train", "test"]


def test_attributes_that_methods_read(make_cfg):
    trainer = build_trainer(make_cfg())
    assert trainer.dm.dataset.classnames == toy.CLASSES
    assert (trainer.start_epoch, trainer.epoch, trainer.max_epoch) == (0, 0, 4)
    assert trainer.best_result == -math.inf
    assert trainer.device == torch.device("cpu")
    assert trainer.get_current_lr() == 1e-5
    batch = next(iter(trainer.train_loader_x))
    assert len(TrainerX.parse_batch_train(trainer, batch)) == 3
    assert len(trainer.parse_batch_test(batch)) == 2


def test_model_registration():
    class Early(TrainerBase):
        def __init__(self):
            self.register_model("m", nn.Linear(1, 1))

    with pytest.raises(AttributeError):
        Early()
    trainer = TrainerBase()
    trainer.register_model("a", nn.Linear(1, 1))
    trainer.register_model("b", nn.Linear(1, 1))
    with pytest.raises(AssertionError):
        trainer.register_model("a", nn.Linear(1, 1))
    assert trainer.get_model_names() == ["a", "b"]
    assert trainer.get_model_names("b") == ["b"]
    with pytest.raises(AssertionError):
        trainer.get_model_names("c")
    trainer.set_model_mode("eval", "a")
    assert (trainer._models["a"].training, trainer._models["b"].training) == (False, True)
    with pytest.raises(KeyError):
        trainer.set_model_mode("evaluate")
    with pytest.raises(FloatingPointError, match="Loss is infinite or NaN"):
        trainer.model_backward(torch.tensor(float("nan")))
    trainer.write_scalar("tag", 1.0)  # no writer: nothing happens


def test_prograd():
    """Where the two gradients oppose each other, the opposing part is taken away; elsewhere nothing changes."""
    a = torch.tensor([1.0, 2.0])
    for b, expected in (([1.0, 0.0], [1.0, 2.0]), ([-2.0, 0.0], [0.0, 2.0]), ([0.0, 0.0], [1.0, 2.0])):
        model = nn.Linear(2, 1, bias=False)
        nn.init.zeros_(model.weight)
        trainer = TrainerBase()
        trainer.register_model("m", model, torch.optim.SGD(model.parameters(), lr=1.0))
        weight = model.weight[0]
        trainer.prograd_backward_and_update(weight @ a, weight @ torch.tensor(b), lambda_=1)
        torch.testing.assert_close(-model.weight.detach()[0], torch.tensor(expected))


def test_trainer_without_models_only_tests(make_cfg, capsys):
    class Zeroshot(TrainerX):
        def build_model(self):
            self.model = lambda image: torch.eye(4)[image.flatten(2).mean(2).argmax(1)]

    trainer = Zeroshot(make_cfg())
    trainer.train()
    out = capsys.readouterr().out
    assert "Nothing to train" in out
    assert "* accuracy: 75.0%" in out  # grey images have no brightest channel of their own


def test_trainer_xu(make_cfg):
    class Both(TrainerXU):
        build_model = toy.ToyTrainer.build_model
        seen = 0

        def build_data_loader(self):
            super().build_data_loader()
            source = self.dm.dataset.val
            self.train_loader_u = build_data_loader(
                self.cfg, "RandomSampler", source, 4, tfm=self.dm.train_loader_x.dataset.transform
            )

        def forward_backward(self, batch_x, batch_u):
            x, label, u = self.parse_batch_train(batch_x, batch_u)
            assert (x.shape[0], label.shape[0], u.shape[0]) == (8, 8, 4)
            Both.seen += 1
            self.model_backward_and_update(self.model(x).square().mean())

    for count, expected in (("train_x", 2), ("smaller_one", 2), ("train_u", 2)):
        Both.seen = 0
        trainer = Both(make_cfg("OPTIM.MAX_EPOCH", 1, "TRAIN.COUNT_ITER", count, "TEST.NO_TEST", True))
        trainer.output_dir += count
        trainer.cfg.RESUME = trainer.output_dir
        trainer.train()
        assert Both.seen == expected
    with pytest.raises(InputError, match="COUNT_ITER"):
        trainer = Both(make_cfg("TRAIN.COUNT_ITER", "both", "OUTPUT_DIR", make_cfg().OUTPUT_DIR + "x"))
        trainer.train()
    with pytest.raises(InputError, match="train_u"):
        next(TrainerXU._batches(build_trainer(make_cfg())))


def test_unknown_trainer(make_cfg):
    assert "ToyTrainer" in TRAINER_REGISTRY.registered_names()
    with pytest.raises(ValueError, match=r"do you mean \[ToyTrainer\]"):
        build_trainer(make_cfg("TRAINER.NAME", "ToyTrain"))


def test_custom_data_manager(make_cfg):
    """PTNL and others subclass DataManager and build_data_loader."""

    class Manager(DataManager):
        pass

    class Trainer(toy.ToyTrainer):
        def build_data_loader(self):
            super().build_data_loader()
            self.dm = Manager(self.cfg)

    assert isinstance(Trainer(make_cfg()).dm, Manager)
    assert issubclass(Trainer, SimpleTrainer)


def test_draws_during_a_test(make_cfg):
    """Inference that draws (attacks, test-time views) repeats itself, and training does not notice it."""

    class Noisy(toy.ToyTrainer):
        def model_inference(self, image):
            return super().model_inference(image) + torch.randn(image.shape[0], 4)

    trainer = Noisy(make_cfg())
    state = torch.get_rng_state()
    trainer.test()
    first = trainer.evaluator._y_pred
    torch.rand(3)
    trainer.test()
    assert trainer.evaluator._y_pred == first
    torch.set_rng_state(state)
    trainer.test(split="val")
    assert torch.equal(torch.get_rng_state(), state)
    assert trainer.evaluator._y_pred != first


def test_what_a_test_goes_through_is_a_hook(make_cfg):
    """A method with the images in another form changes no loader for it."""

    class Doubled(toy.ToyTrainer):
        def test_batches(self, split):
            assert split == "val"
            return [*super().test_batches(split)] * 2

    trainer = Doubled(make_cfg())
    loaders = trainer.val_loader, trainer.test_loader
    trainer.test("val")
    assert trainer.evaluator._total == 2 * len(trainer.dm.dataset.val)
    assert (trainer.val_loader, trainer.test_loader) == loaders


def test_the_draws_of_a_test_are_asked_from_the_trainer(make_cfg):
    """A pass of one's own over the test images draws what the test draws; the generator goes on as before."""
    trainer = toy.ToyTrainer(make_cfg())
    drawn = []
    trainer.model_inference = lambda image: drawn.append(torch.rand(3)) or torch.zeros(len(image), 4)
    trainer.test()
    state = torch.get_rng_state()
    with trainer.test_draws():
        assert torch.equal(torch.rand(3), drawn[0])
    assert torch.equal(torch.get_rng_state(), state)
    with trainer.test_draws("val"):
        assert not torch.equal(torch.rand(3), drawn[0])


def test_some_training_items_are_kept(make_cfg):
    trainer = toy.ToyTrainer(make_cfg())
    data, old = trainer.dm.dataset, trainer.train_loader_x
    kept, names = [data.train_x[i] for i in (5, 0, 2)], list(data.classnames)
    trainer.keep_training_items([5, 0, 2])
    assert data.train_x == kept and data.classnames == names
    loader = trainer.train_loader_x
    assert loader is trainer.dm.train_loader_x and loader.dataset.transform is old.dataset.transform
    assert loader.dataset.data_source == kept


def test_other_items_take_the_place_of_a_list(make_cfg):
    data = DataManager(make_cfg()).dataset
    train, test = list(data.train_x), data.test
    data.replace_items(val=train[:3])
    assert (data.val, data.train_x, data.test) == (train[:3], train, test)
