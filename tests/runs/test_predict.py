"""Predictions from a run's folder: the run's own test again, where the dataset is not."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import METHODS, NAMES, make_clip, make_tiny
from PIL import Image
from processes import forked

import predict
from clipkit import InputError as BackboneInputError
from dassl.evaluation import Classification
from dassl.utils import InputError
from runs.defaults import default_cfg
from runs.image_files import find_images
from runs.predictions import Prediction, render
from runs.predictor import Predictor, load_predictor
from runs.trained_run import read_run

ROOT = Path(__file__).resolve().parents[2]
ALL = ("ZeroshotCLIP", *METHODS)
BASE, NEW = NAMES[:3], NAMES[3:]


class KeptLogits:
    """The logits that runs of train.py gave in their tests."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.batches: list[torch.Tensor] = []
        process = Classification.process

        def kept(evaluator, logits, labels):
            self.batches.append(logits.detach().float().cpu())
            process(evaluator, logits, labels)

        patch.setattr(Classification, "process", kept)

    def probabilities(self) -> torch.Tensor:
        """[N, C] of the last test since the last call."""
        found, self.batches = torch.cat(self.batches).softmax(1), []
        return found


@pytest.fixture(scope="module")
def tested():
    with pytest.MonkeyPatch.context() as patch:
        yield KeptLogits(patch)


@pytest.fixture(scope="module")
def runs(tiny, tested, tmp_path_factory):
    """A function from a method to the folder of its finished run; the dataset of these runs is gone by then."""
    done: dict[str, Path] = {}

    def finished(method: str) -> Path:
        if method not in done:
            folder = tmp_path_factory.mktemp(method)
            make_tiny(folder)
            flags = ("--eval-only",) if method == "ZeroshotCLIP" else ()
            pairs = {"OPTIM.MAX_EPOCH": 2, "DATASET.ROOT": folder}
            assert tiny.run(folder / "run", method, flags, pairs) == 0
            torch.save(tested.probabilities(), folder / "probabilities")
            (folder / "tiny" / "images").rename(folder / "photos")
            shutil.rmtree(folder / "tiny")
            done[method] = folder / "run"
        return done[method]

    return finished


def photos(run: Path, classes: list[str] = BASE, part: str = "test") -> dict[str, int]:
    """Images of the run's dataset, in the order of its test set, with their labels among `classes`."""
    labels = [NAMES.index(name) for name in classes]
    files = {str(run.parent / "photos" / f"{c}_{part}_{i}.png"): n for n, c in enumerate(labels) for i in range(4)}
    assert all(Path(file).is_file() for file in files)
    return files


def accuracy(predictor, files: dict[str, int]) -> float:
    guesses = predictor.probabilities(list(files)).argmax(1)
    return 100.0 * (guesses == torch.tensor(list(files.values()))).float().mean().item()


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


@pytest.mark.parametrize("method", ALL)
def test_predictions_repeat_the_run_s_own_accuracy(method, runs):
    folder = runs(method)
    predictor = load_predictor(folder)
    assert predictor.classnames == BASE
    files = photos(folder)
    assert accuracy(predictor, files) == pytest.approx(results(folder)["results"]["accuracy"], abs=1e-4)
    probabilities = predictor.probabilities(list(files))
    assert probabilities.shape == (12, 3) and torch.allclose(probabilities.sum(1), torch.ones(12))
    assert torch.allclose(probabilities, torch.load(folder.parent / "probabilities"), atol=1e-6)


@pytest.mark.parametrize("method", ALL)
def test_new_classes_get_the_test_on_new_classes(method, runs, tested, tiny, tmp_path):
    """As train.py --eval-only does it on the new classes."""
    folder = runs(method)
    flags = ("--eval-only",) if method == "ZeroshotCLIP" else ("--eval-only", "--model-dir", folder, "--load-epoch", 2)
    pairs = {"OPTIM.MAX_EPOCH": 2, "DATASET.SUBSAMPLE_CLASSES": "new"}
    assert tiny.run(tmp_path / "new", method, flags, pairs) == 0
    expected = tested.probabilities()
    predictor = load_predictor(folder, classes=NEW)
    files = photos(folder, NEW)
    assert accuracy(predictor, files) == pytest.approx(results(tmp_path / "new")["results"]["accuracy"], abs=1e-4)
    followed = load_predictor(tmp_path / "new")  # the folder of a test: its weights are the training run's
    assert followed.classnames == NEW
    for p in (predictor, followed):
        assert torch.allclose(p.probabilities(list(files)), expected, atol=1e-6)


def test_one_image_many_images_and_pil_images(runs):
    predictor = load_predictor(str(runs("CoOp")))
    files = list(photos(runs("CoOp")))
    many = predictor(files, top=2)
    assert len(many) == 12 and all(len(best) == 2 and best[0][1] >= best[1][1] for best in many)
    one = predictor(files[3])
    assert sorted(name for name, _ in one) == sorted(BASE) and sum(p for _, p in one) == pytest.approx(1.0)
    assert predictor(Path(files[3]), top=1) == one[:1] and predictor(Image.open(files[3])) == one
    row = predictor.probabilities(files)[3]
    for name, p in one:
        assert row[BASE.index(name)].item() == pytest.approx(p, abs=1e-5)
    assert predictor([]) == [] and predictor.probabilities([]).shape == (0, 3)


def test_prediction_leaves_the_global_random_state_alone(runs):
    predictor = load_predictor(runs("CoOp"))
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    predictor(list(photos(runs("CoOp"))))
    assert torch.equal(torch.rand(3), expected)


def test_an_earlier_checkpoint_and_another_order_of_classes(tiny, tmp_path):
    assert tiny.run(tmp_path / "run", pairs={"TRAIN.CHECKPOINT_FREQ": 1, "OPTIM.LR": 5.0}) == 0
    first, last = load_predictor(tmp_path / "run", load_epoch=1), load_predictor(tmp_path / "run")
    assert (first.epoch, last.epoch) == (1, 3)
    image = next((tiny.root / "tiny" / "images").glob("0_test*"))
    assert not torch.allclose(first.probabilities(image), last.probabilities(image), atol=1e-4)
    turned = load_predictor(tmp_path / "run", classes=BASE[::-1])
    assert torch.allclose(turned.probabilities(image).flip(1), last.probabilities(image), atol=1e-5)


def test_the_best_on_validation_is_taken_where_the_run_took_it(tiny, tmp_path):
    assert tiny.run(tmp_path / "run", pairs={"TEST.FINAL_MODEL": "best_val", "OPTIM.LR": 5.0}) == 0
    predictor = load_predictor(tmp_path / "run")
    assert predictor.epoch is None
    files = {str(tiny.root / "tiny" / "images" / f"{c}_test_{i}.png"): c for c in range(3) for i in range(4)}
    assert accuracy(predictor, files) == pytest.approx(results(tmp_path / "run")["results"]["accuracy"], abs=1e-4)


def test_class_specific_contexts_keep_their_classes(tiny, tmp_path):
    assert tiny.run(tmp_path / "run", pairs={"TRAINER.COOP.CSC": True, "TRAINER.COOP.N_CTX": 4}) == 0
    assert load_predictor(tmp_path / "run").classnames == BASE
    with pytest.raises(InputError, match="CSC"):
        load_predictor(tmp_path / "run", classes=["a", "b", "c"])


# ---------------------------------------------------------------------- classes without descriptions


@pytest.fixture(scope="module")
def described(tiny, tmp_path_factory) -> Path:
    """A run of ANPrompt with sentences for its own five classes and no other."""
    folder = tmp_path_factory.mktemp("described")
    sentences = {name: {"main": [f"{name} {i}." for i in range(6)], "noise": [f"a {name} {i}." for i in range(4)]}
                 for name in NAMES}  # fmt: skip
    facts = {"version": 1, "dataset": "tiny", "sources": {"main": {}, "noise": {}}, "classes": sentences}
    (folder / "cache.json").write_text(json.dumps(facts))
    keys = {f"TRAINER.ANPROMPT.CACHE_{role}": folder / "cache.json" for role in ("MAIN", "NOISE")}
    assert tiny.run(folder / "run", "ANPrompt", pairs={"OPTIM.MAX_EPOCH": 1, **keys}) == 0
    return folder / "run"


def test_templates_stand_in_for_missing_descriptions(described, tiny, caplog):
    image = str(tiny.root / "tiny" / "images" / "0_test_0.png")
    mixed = load_predictor(described, classes=[*NEW, "brass lamp"])
    for source in ("main", "noise"):
        assert f"has no {source} sentences for 1 of 3 classes (brass lamp)" in caplog.text
    weak = mixed.trainer.weak_noise
    known = load_predictor(described, classes=NEW).trainer
    assert weak.sentences(NEW) == known.weak_noise.sentences(NEW)  # the others' draws stay
    main, noise = weak.sentences(["brass lamp"])
    assert "brass lamp" in main[0] and "brass lamp" in noise[0]
    assert torch.allclose(mixed.trainer.f_w[:2], known.f_w)
    saved = torch.load(next(described.glob("prompt_learner/model*")), weights_only=True)["state_dict"]
    assert torch.equal(mixed.trainer.model.noise_ctx.cpu(), saved["noise_ctx"])  # P_w is the training run's
    assert mixed.probabilities(image).sum().item() == pytest.approx(1.0)


def test_known_classes_warn_of_nothing(described, caplog):
    load_predictor(described, classes=NAMES)
    assert "sentences for" not in caplog.text


# ---------------------------------------------------------------------- finding images


def test_files_folders_and_patterns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.JPG", "deep/er/c.webp", "deep/notes.txt", ".hidden.png", ".git/d.png", "odd[1].png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    assert find_images(["."]) == ["./a.JPG", "./b.png", "./deep/er/c.webp", "./odd[1].png"]
    assert find_images(["*.png", "b.png"]) == ["b.png", "odd[1].png"]
    assert find_images(["**/*.webp", "odd[1].png"]) == ["deep/er/c.webp", "odd[1].png"]
    assert find_images(["deep/notes.txt"]) == ["deep/notes.txt"]  # what is named is taken
    for nothing in ("missing.png", "*.tiff"):
        with pytest.raises(InputError, match=nothing.replace("*", r"\*")):
            find_images(["b.png", nothing])
    Path("empty").mkdir()
    with pytest.raises(InputError, match="empty gives no image"):
        find_images(["empty"])


# ---------------------------------------------------------------------- the command line


def call(*arguments: object) -> int:
    return predict.run([str(argument) for argument in arguments])


def test_formats(runs, tmp_path, capsys):
    folder = runs("CoOp")
    images = list(photos(folder))[:2]
    expected = load_predictor(folder)(images, top=2)
    capsys.readouterr()
    assert call("--model-dir", folder, "--top", 2, "--format", "json", *images) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trainer"] == "CoOp" and found["epoch"] == 2 and found["classes"] == 3
    for entry, image, best in zip(found["predictions"], images, expected, strict=True):
        assert entry["image"] == image
        assert [(x["class"], pytest.approx(x["probability"], abs=1e-5)) for x in entry["top"]] == best

    assert call("--model-dir", folder, "--top", 2, "--output", tmp_path / "found.csv", *images) == 0
    assert capsys.readouterr().out == ""
    rows = list(csv.DictReader((tmp_path / "found.csv").open()))
    assert [row["image"] for row in rows] == [images[0]] * 2 + [images[1]] * 2
    assert [(row["rank"], row["class"]) for row in rows[:2]] == [("1", expected[0][0][0]), ("2", expected[0][1][0])]
    assert float(rows[0]["probability"]) == pytest.approx(expected[0][0][1], abs=1e-5)

    assert call("--model-dir", folder, images[0]) == 0
    table = capsys.readouterr().out
    assert "CoOp of" in table and "epoch 2; 3 classes" in table and f"{100 * expected[0][0][1]:.1f}%" in table


def test_other_classes_from_a_file(runs, tmp_path, capsys):
    (tmp_path / "names.txt").write_text("tall_ship\n\nlighthouse\n")
    folder = runs("MaPLe")
    assert (
        call("--model-dir", folder, "--classes", tmp_path / "names.txt", "--format", "csv", folder.parent / "photos")
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 2 * 60 and {line.split(",")[2] for line in lines[1:]} == {"tall_ship", "lighthouse"}


def test_an_unreadable_image_is_named_or_skipped(runs, tmp_path, capsys):
    folder = runs("CoOp")
    good, bad = next(iter(photos(folder))), tmp_path / "torn.png"
    bad.write_bytes(Path(good).read_bytes()[:60])
    target = tmp_path / "found.json"
    assert call("--model-dir", folder, "--output", target, good, bad) == 2
    shown = capsys.readouterr().err
    told = [line for line in shown.splitlines() if line.startswith("error: ")]  # beside the log of the first load
    assert len(told) == 1 and str(bad) in told[0] and shown.endswith(told[0] + "\n") and not target.exists()
    assert call("--model-dir", folder, "--output", target, "--skip-bad", bad, good) == 0
    assert str(bad) in capsys.readouterr().err
    assert [x["image"] for x in json.loads(target.read_text())["predictions"]] == [good]
    assert call("--model-dir", folder, "--skip-bad", bad) == 2
    assert "Of 1 image none" in capsys.readouterr().err


def test_bad_input_is_one_sentence(runs, tmp_path, capsys):
    folder = runs("CoOp")
    image = next(iter(photos(folder)))
    (tmp_path / "empty.txt").touch()
    (tmp_path / "no_run").mkdir()
    stranger = shutil.copytree(folder, tmp_path / "stranger")
    text = (stranger / "config.yaml").read_text()
    (stranger / "config.yaml").write_text(text.replace("NAME: CoOp", "NAME: NoSuchMethod"))
    untrained = shutil.copytree(folder, tmp_path / "untrained", ignore=shutil.ignore_patterns("prompt_learner"))
    cases = {
        ("--model-dir", tmp_path / "missing", image): "does not exist",
        ("--model-dir", tmp_path / "no_run", image): "has no config.yaml",
        ("--model-dir", stranger, image): "--plugin",
        ("--model-dir", untrained, image): "no trained model",
        ("--model-dir", folder, "--load-epoch", 9, image): "model.pth.tar-2",
        ("--model-dir", folder, "--classes", tmp_path / "empty.txt", image): "empty.txt",
        ("--model-dir", folder, "--top", 0, image): "--top",
        ("--model-dir", folder, "--output", tmp_path / "no" / "x.csv", image): "does not exist",
        ("--model-dir", folder, "--output", tmp_path, image): "is a folder",
        ("--model-dir", folder, "--backbone-path", tmp_path / "no.pt", image): "No CLIP weights",
        ("--model-dir", folder, tmp_path / "no.png"): "no.png",
    }
    before = sorted(tmp_path.rglob("*"))
    for arguments, sentence in cases.items():
        assert call(*arguments) == 2, arguments
        shown = capsys.readouterr()
        assert shown.err.startswith("error: ") and sentence in shown.err and shown.err.count("\n") == 1, shown.err
        assert shown.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_without_a_transform_is_refused():
    cfg = default_cfg()
    cfg.INPUT.NO_TRANSFORM = True
    with pytest.raises(InputError, match="NO_TRANSFORM"):
        Predictor(SimpleNamespace(cfg=cfg), BASE, None)


def test_without_class_names_they_are_asked_for(runs, tmp_path):
    folder = shutil.copytree(runs("ZeroshotCLIP"), tmp_path / "old")
    record = results(folder)
    del record["classnames"]
    (folder / "results.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="--classes"):
        load_predictor(folder)
    assert load_predictor(folder, classes=BASE).classnames == BASE
    with pytest.raises(InputError, match="class name"):
        load_predictor(folder, classes=["a", " "])


BROKEN_RECORDS = {
    "missing": (None, "is missing"),
    "empty": ("", "is empty or damaged"),
    "cut off": ('{"classnames": ["stri', "is empty or damaged"),
    "null": ("null", "holds no class names"),
    "list": ("[]", "holds no class names"),
    "string": ('"x"', "holds no class names"),
    "number": ('{"classnames": 3}', "holds no class names"),
    "no names": ('{"classnames": []}', "holds no class names"),
    "wrong names": ('{"classnames": [1, null]}', "holds no class names"),
    "nested": ("[" * 100_000, "is empty or damaged"),
}


@pytest.fixture
def copied(runs, tmp_path) -> Path:
    return Path(shutil.copytree(runs("CoOp"), tmp_path / "copy"))


@pytest.mark.parametrize("which", BROKEN_RECORDS)
def test_it_is_said_what_the_classes_are_taken_from(which, copied):
    """results.json is unusable: the names are the checkpoint's, with a remark."""
    text, why = BROKEN_RECORDS[which]
    (copied / "results.json").unlink()
    if text is not None:
        (copied / "results.json").write_text(text)
    found = read_run(copied).classnames()
    assert found.names == BASE and not found.contradiction
    assert why in found.remark and "taken from the checkpoint" in found.remark and "model.pth.tar-2" in found.remark
    shutil.rmtree(copied / "prompt_learner")
    assert read_run(copied).classnames() == ([], "", "")


def test_the_remark_is_a_warning_and_no_names_are_an_error(copied, runs, caplog):
    (copied / "results.json").unlink()
    assert load_predictor(copied).classnames == BASE
    assert "results.json is missing" in caplog.text
    zero = Path(shutil.copytree(runs("ZeroshotCLIP"), copied.parent / "zero"))
    (zero / "results.json").write_text("null")
    with pytest.raises(InputError, match="does not say its class names.*--classes"):
        load_predictor(zero)


def test_a_record_of_other_classes_than_the_checkpoint_s_is_refused(copied, caplog):
    (copied / "results.json").write_text(json.dumps({"classnames": ["a", "b", "c"]}), encoding="utf-8-sig")
    with pytest.raises(InputError, match="results.json names other classes than the checkpoint .*model.pth.tar-2"):
        load_predictor(copied)
    assert load_predictor(copied, classes=BASE).classnames == BASE
    assert "names other classes" in caplog.text


@pytest.mark.parametrize("damage", ["", "null", "[1]", "TRAINER: 3", "TRAINER: {NAME: [1]}", "a: [", "\xff"])
def test_a_config_that_is_none_is_one_sentence(damage, copied):
    (copied / "config.yaml").write_bytes(damage.encode("latin-1"))
    with pytest.raises(InputError, match="config.yaml"):
        load_predictor(copied)


def test_a_checkpoint_of_another_method_or_dataset_in_the_folder(copied, runs):
    file = copied / "prompt_learner" / "model.pth.tar-2"
    checkpoint = torch.load(file, weights_only=True)
    for key, value, words in (("TRAINER.NAME", "KgCoOp", "another method"), ("backbone", "0", "another backbone")):
        torch.save({**checkpoint, "run": {**checkpoint["run"], key: value}}, file)
        with pytest.raises((InputError, BackboneInputError), match=words):
            load_predictor(copied)
    torch.save({**checkpoint, "classnames": ["cat", "dog", "cow"]}, file)
    with pytest.raises(InputError, match="names other classes"):
        load_predictor(copied)


@pytest.mark.parametrize("factor", [float("nan"), 1e38])
def test_logits_that_are_no_numbers_are_an_error(factor, copied, runs, tmp_path, capsys):
    """In whatever form; what is written is valid JSON, or nothing is."""
    file = copied / "prompt_learner" / "model.pth.tar-2"
    checkpoint = torch.load(file, weights_only=True)
    checkpoint["state_dict"]["ctx"] *= factor
    torch.save(checkpoint, file)
    image = next(iter(photos(runs("CoOp"))))
    assert call("--model-dir", copied, "--output", tmp_path / "found.json", image) == 2
    shown = capsys.readouterr().err
    assert "not finite" in shown and shown.count("\n") == 1 and not (tmp_path / "found.json").exists()


def test_a_name_given_twice_is_said(runs, tmp_path, capsys):
    (tmp_path / "names.txt").write_text("\ufefflighthouse\ntall_ship\nlighthouse\ntall ship\n", encoding="utf-8")
    folder = runs("CoOp")
    image = next(iter(photos(folder)))
    assert call("--model-dir", folder, "--classes", tmp_path / "names.txt", "--format", "csv", image) == 0
    shown = capsys.readouterr()
    assert "lighthouse, tall ship are named more than once" in shown.err
    assert {line.split(",")[2] for line in shown.out.splitlines()[1:]} == {"lighthouse", "tall_ship", "tall ship"}


def test_files_that_are_no_images_are_counted(runs, tmp_path, capsys):
    folder, photo = runs("CoOp"), Path(next(iter(photos(runs("CoOp")))))
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("a.heic", "b.txt", "deep/c.TXT", "deep/none", ".hidden"):
        (tmp_path / "in" / name).touch()
    shutil.copy(photo, tmp_path / "in" / "good.png")
    assert call("--model-dir", folder, "--format", "csv", tmp_path / "in") == 0
    assert "4 files in the folders are left out, they are no images (.heic, .txt, no ending)" in capsys.readouterr().err
    (tmp_path / "in" / "torn.png").write_bytes(photo.read_bytes()[:60])
    assert call("--model-dir", folder, tmp_path / "in") == 2
    assert "--skip-bad" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["json", "csv", "table"])
def test_names_that_no_terminal_shows(form, runs, tmp_path, capsysbinary):
    """File names need not be text; JSON stays valid, and says the name as Python has it."""
    folder = runs("CoOp")
    image = tmp_path / "im\udcff.png"
    shutil.copy(next(iter(photos(folder))), image)
    names = tmp_path / "names.txt"
    names.write_text("日本\nnaïve\n", encoding="utf-8")
    target = tmp_path / f"found.{form}"
    assert call("--model-dir", folder, "--classes", names, "--format", form, "--output", target, image) == 0
    text = target.read_text(encoding="utf-8")
    if form == "json":
        found = json.loads(text)["predictions"][0]
        assert found["image"] == str(image) and {x["class"] for x in found["top"]} == {"日本", "naïve"}
    else:
        assert "im\\udcff.png" in text and "日本" in text


def test_json_is_json_in_every_encoding():
    found, facts = [Prediction("im\udcff.png", [("\U0001f600 日本", 1.0)])], {"model_dir": "x"}
    for encoding in ("ascii", "latin-1", "utf-8"):
        text = render(found, facts, "json", encoding).encode(encoding).decode(encoding)
        read = json.loads(text)["predictions"][0]
        assert (read["image"], read["top"][0]["class"]) == ("im\udcff.png", "\U0001f600 日本")


@pytest.mark.parametrize("place", ["a folder", "under a file", "a pipe"])
def test_a_place_that_cannot_be_written_is_said_before_the_work(place, runs, tmp_path, capsys, monkeypatch):
    import os

    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    target = {"a folder": tmp_path, "under a file": tmp_path / "file" / "x", "a pipe": tmp_path / "pipe"}[place]
    monkeypatch.setattr(predict, "load_predictor", None)  # not reached
    assert call("--model-dir", runs("CoOp"), "--output", target, "x.png") == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: --output") and shown.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "pipe"]


def test_class_names_come_from_the_checkpoint_where_there_is_no_record(runs, tmp_path):
    folder = shutil.copytree(runs("CoOp"), tmp_path / "interrupted")
    (folder / "results.json").unlink()
    file = folder / "prompt_learner" / "model.pth.tar-2"
    checkpoint = torch.load(file, weights_only=True)
    checkpoint["run"]["classnames"] = BASE
    torch.save(checkpoint, file)
    assert load_predictor(folder).classnames == BASE


def test_a_backbone_of_other_weights_is_refused(runs, tmp_path):
    other = make_clip(tmp_path / "other.safetensors", seed=5)
    with pytest.raises((InputError, BackboneInputError), match="another backbone"):
        load_predictor(runs("CoOp"), backbone_path=other)


def test_a_plugin_s_run(tiny, tmp_path, capfd):
    """It is trained in a process of its own: this one has not met the plugin."""
    file = tmp_path / "plain.py"
    file.write_text(
        "from dassl.engine import TRAINER_REGISTRY\nfrom trainers.coop import CoOp\n\n\n"
        "@TRAINER_REGISTRY.register()\nclass PluginCoOp(CoOp):\n    node = 'TRAINER.PLUGINCOOP'\n"
        "    config_defaults = {k.replace('COOP', 'PLUGINCOOP'): v for k, v in CoOp.config_defaults.items()}\n"
    )
    assert forked(lambda: tiny.run(tmp_path / "run", "PluginCoOp", ("--plugin", file))) == 0
    image = next((tiny.root / "tiny" / "images").glob("0_test*"))
    command = ["--model-dir", str(tmp_path / "run"), "--format", "csv", str(image)]
    capfd.readouterr()
    assert predict.run(command) == 2 and "--plugin" in capfd.readouterr().err
    assert forked(lambda: predict.run([*command, "--plugin", str(file)])) == 0
    assert capfd.readouterr().out.startswith("image,rank,class,probability\n")


def test_the_notebook_example_of_the_documentation(runs):
    text = (ROOT / "docs" / "predict.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, re.S).group(1)
    images = list(photos(runs("MaPLe")))[:2]
    for name, value in (("a.jpg", images[0]), ("b.jpg", images[1]), ("cat.jpg", images[0])):
        code = code.replace(name, value)
    code = re.sub(r'load_predictor\("[^"]*"', f'load_predictor("{runs("MaPLe")}"', code)
    known: dict = {}
    exec(code, known)
    assert known["p"].classnames == ["three", "eight"] and len(known["p"](images, top=1)) == 2
