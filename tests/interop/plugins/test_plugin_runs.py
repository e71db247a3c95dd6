"""Trainers in the field's idioms on our datasets: wrong labels, attacks, resume, tests of what they learned."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from plugin_files import META, TRAINERS, cfg_file, plugin_arguments, record, trainer_file

from dassl.engine import TRAINER_REGISTRY, build_trainer
from interop.plugins.hosting import hosted
from interop.plugins.loading import load_plugins
from robustness.one_evaluation import evaluate
from robustness.run import Options
from runs.predictor import load_predictor
from train import build_parser, run, setup_cfg

NOISE = {"DATASET.NOISE.TYPE": "sym_other", "DATASET.NOISE.RATE": 0.5}


@pytest.fixture(scope="module")
def hard(tmp_path_factory) -> dict:
    """Wrong labels in training, adversarial images in the test."""
    attack = {"TEST.ADV_SET": "make", "ATTACK.EPS": 64.0, "ATTACK.STEPS": 4}
    return NOISE | attack | {"ATTACK.DIR": tmp_path_factory.mktemp("adv")}


@pytest.fixture(scope="module")
def ours(tiny, hard, tmp_path_factory) -> dict:
    """What CoOp met under the same settings."""
    folder = tmp_path_factory.mktemp("ours") / "run"
    assert tiny.run(folder, "CoOp", (), hard) == 0
    return record(folder)


@pytest.fixture(scope="module", params=TRAINERS)
def finished(request, tiny, hard, tmp_path_factory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp(request.param) / "run"
    assert run(plugin_arguments(tiny, folder, request.param, (), hard | {"TRAIN.CHECKPOINT_FREQ": 1})) == 0
    return request.param, folder


def weights(folder: Path, epoch: int) -> dict[str, torch.Tensor]:
    """Of all registered models."""
    files = sorted(folder.glob(f"*/model.pth.tar-{epoch}"))
    states = {file.parent.name: torch.load(file, weights_only=True)["state_dict"] for file in files}
    return {f"{model}.{key}": tensor for model, state in states.items() for key, tensor in state.items()}


def test_it_meets_the_wrong_labels_and_the_attack_that_ours_meet(finished, ours):
    name, folder = finished
    found = record(folder)
    assert found["trainer"] == name and found["plugins"]["trainer"]["from"].endswith(".py")
    assert found["noise"]["sha256"] == ours["noise"]["sha256"] and found["noise"]["flipped"] > 0
    assert found["adversarial"]["key"] == ours["adversarial"]["key"]
    assert found["items"] == ours["items"]
    log = (folder / "log.txt").read_text()
    assert f"* accuracy: {found['results']['accuracy']:.1f}%" in log and "Finish training" in log


def test_it_learns_and_its_checkpoints_are_the_fields(finished):
    name, folder = finished
    first, last = weights(folder, 1), weights(folder, 3)
    learned = {key for key in last if not torch.equal(first[key], last[key])}
    ctx = "MultiModalPromptLearner.prompt_learner.ctx" if name == "FieldMaPLe" else "prompt_learner.ctx"
    assert ctx in learned and last[ctx].dtype == torch.float32  # PREC fp16, on a CPU
    assert all("prompt_learner" in key or key.startswith("adapter") for key in learned)
    assert (folder / ctx.partition(".")[0] / "checkpoint").read_text() == "model.pth.tar-3\n"


def test_interrupted_and_resumed_ends_with_the_same_numbers(finished, tiny, hard, tmp_path, monkeypatch):
    name, folder = finished
    kind = TRAINER_REGISTRY.get(name)
    after_epoch = kind.after_epoch

    def stop_in_the_second(self):
        after_epoch(self)
        if self.epoch == 1:
            raise KeyboardInterrupt

    arguments = plugin_arguments(tiny, tmp_path / "run", name, (), hard | {"TRAIN.CHECKPOINT_FREQ": 1})
    with monkeypatch.context() as patch:
        patch.setattr(kind, "after_epoch", stop_in_the_second)
        assert run(arguments) == 130
    assert not (tmp_path / "run" / "results.json").exists() and weights(tmp_path / "run", 2)
    assert run(arguments) == 0
    expected = weights(folder, 3)
    assert all(torch.equal(tensor, expected[key]) for key, tensor in weights(tmp_path / "run", 3).items())
    assert record(tmp_path / "run")["results"] == record(folder)["results"]
    assert record(tmp_path / "run")["settings_hash"] == record(folder)["settings_hash"]


def test_what_it_learned_is_tested_on_new_classes(finished, tiny, tmp_path, capsys):
    name, folder = finished
    new = {"DATASET.SUBSAMPLE_CLASSES": "new"}
    test = ("--eval-only", "--model-dir", folder, "--load-epoch", 3)
    assert run(plugin_arguments(tiny, tmp_path / "new", name, test, new)) == 0
    assert record(tmp_path / "new")["classnames"] == ["plain tree", "speckled fish"]
    missing = (*test[:-1], 9)
    assert run(plugin_arguments(tiny, tmp_path / "none", name, missing, new)) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ") and "tar-9" in said and not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", ["FieldCoOp", "FieldMaPLe", "FieldSelfTest"])
def test_white_box_and_transfer_attacks(name, tiny, hard, tmp_path):
    pairs = {"ATTACK.EPS": 64.0, "ATTACK.STEPS": 4, "ATTACK.DIR": hard["ATTACK.DIR"]}
    assert run(plugin_arguments(tiny, tmp_path / "run", name)) == 0
    test = ("--eval-only", "--model-dir", tmp_path / "run", "--load-epoch", 3)
    for mode in "WT":
        arguments = plugin_arguments(tiny, tmp_path / mode, name, test, pairs | {"ATTACK.MODE": mode})
        assert evaluate(arguments, Options()) == 0
    figures = record(tmp_path / "W")["figures"]
    accuracy = record(tmp_path / "run")["results"]["accuracy"]
    assert figures["clean"]["accuracy"] == pytest.approx(accuracy)
    assert figures["white-box"]["accuracy"] < accuracy
    assert figures["transfer"]["accuracy"] == record(tmp_path / "T")["figures"]["transfer"]["accuracy"]


def test_a_trained_plugin_predicts_with_other_class_names(finished, tiny, capsys):
    name, folder = finished
    image = next((tiny.root / "tiny" / "images").glob("1_test*"))
    (own,) = load_predictor(folder).probabilities([image])
    assert own.shape == (3,) and own.sum() == pytest.approx(1)
    best = load_predictor(folder, ["old house", "new house"])(image)
    assert {word for word, _ in best} == {"old house", "new house"}
    assert "Loading CLIP" not in capsys.readouterr().out  # what the plugin prints


def test_it_is_clip_that_it_runs(tiny, tmp_path):
    """With one context, a plugin's own model and ours give the same logits, in whatever precision the plugin asks."""
    size = {"TRAINER.COOP.N_CTX": 4, "TRAINER.COOP.PREC": "fp32"}
    mine = tiny.trainer(tmp_path / "a", "CoOp", size)
    image = next(iter(mine.test_loader))["img"]
    mine.set_model_mode("eval")
    with torch.no_grad():
        expected = mine.model_inference(image)
    load_plugins([trainer_file("FieldCoOp")])
    for precision in ("fp32", "amp", "fp16"):
        pairs = {"TRAINER.FIELDCOOP.PREC": precision}
        arguments = plugin_arguments(tiny, tmp_path / "b", "FieldCoOp", (), pairs)
        cfg = setup_cfg(build_parser().parse_args(arguments))
        with hosted(cfg), torch.no_grad():
            theirs = build_trainer(cfg)
            theirs.model.prompt_learner.ctx.copy_(mine.model.ctx)
            torch.testing.assert_close(theirs.model_inference(image), expected, atol=1e-4, rtol=1e-4)


# ---------------------------------------------------------------------- what cannot be is said

READS_BY_ITSELF = """
import torch
from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY
from trainers.coop import CoOp


class Images(torch.utils.data.Dataset):
    def __init__(self, items):
        self.items = items
    def __len__(self):
        return len(self.items)

@TRAINER_REGISTRY.register()
class {name}(CoOp):
    def build_model(self):
        super().build_model()
        {loaders}

    def model_inference(self, image):
        return super().model_inference(image).detach()
"""
OWN_TEST_LOADER = "self.test_loader = torch.utils.data.DataLoader(Images(self.dm.dataset.test))"
OWN_DATASET = "self.dm.dataset = DATASET_REGISTRY.get(self.cfg.DATASET.NAME)(self.cfg)"


@pytest.mark.parametrize(
    ("name", "loaders", "pairs", "said"),
    [
        ("OwnLoader", OWN_TEST_LOADER, "attack", "reads its test images itself (Images)"),
        ("NoManager", "del self.dm", "noise", "has no self.dm"),
        ("OwnDataset", OWN_DATASET, "noise", "so DATASET.NOISE would have no effect"),
        ("NoGradient", "pass", "white-box", "gives logits without a gradient"),
    ],
)
def test_who_would_miss_noise_or_attack_is_refused(name, loaders, pairs, said, tiny, hard, tmp_path, capsys):
    file = tmp_path / f"{name.lower()}.py"
    file.write_text(READS_BY_ITSELF.format(name=name, loaders=loaders))
    attack = {key: value for key, value in hard.items() if key not in NOISE}
    settings = {"attack": attack, "noise": NOISE, "white-box": {**attack, "ATTACK.MODE": "W"}}[pairs]
    if pairs == "white-box":
        assert tiny.run(tmp_path / "trained", name, ("--plugin", file)) == 0
        del settings["TEST.ADV_SET"]
        test = ("--plugin", file, "--eval-only", "--model-dir", tmp_path / "trained", "--load-epoch", 3)
        code = evaluate(tiny.arguments(tmp_path / "run", name, test, settings), Options())
    else:
        code = tiny.run(tmp_path / "run", name, ("--plugin", file), settings)
    assert code == 2 and said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_half_precision_is_no_ground_for_an_attack(tiny, tmp_path, monkeypatch):
    """As a plugin's fp16 model is on a GPU."""
    from attacks import PixelModel
    from dassl.utils import InputError

    load_plugins([trainer_file("FieldCoOp")])
    cfg = setup_cfg(build_parser().parse_args(plugin_arguments(tiny, tmp_path / "run", "FieldCoOp")))
    with hosted(cfg):
        trainer = build_trainer(cfg)
    trainer.model.image_encoder.half()
    with pytest.raises(InputError, match="half precision"), PixelModel(trainer):
        pass


def test_the_log_says_that_there_is_no_gpu(finished):
    name, folder = finished
    if not torch.cuda.is_available():
        assert f"No GPU: tensors that {name} sends to one" in (folder / "log.txt").read_text()
    assert "plugin_clip" not in sys.modules["clip"].__name__


def test_second_derivatives_through_the_blocks_of_a_fork(tiny, tmp_path, monkeypatch):
    """The same weights as with attention by plain matrix products from the start."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    flags = ("--plugin", META, "--plugin-cfg", cfg_file("FieldMaPLe"))
    arguments = [tiny.arguments(tmp_path / name, "FieldMeta", flags, {"OPTIM.MAX_EPOCH": 2}) for name in ("a", "b")]
    assert run(arguments[0]) == 0
    with sdpa_kernel(SDPBackend.MATH):
        assert run(arguments[1]) == 0
    fused, plain = weights(tmp_path / "a", 2), weights(tmp_path / "b", 2)
    assert fused.keys() == plain.keys() and len(fused) > 3
    for key, tensor in fused.items():
        torch.testing.assert_close(tensor, plain[key], rtol=5e-3, atol=1e-4)
