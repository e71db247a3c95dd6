"""A finished run is that of its data: moved data is the same, another --root or a changed folder may be other data."""

from __future__ import annotations

import json
import shutil

import pytest
from PIL import Image
from processes import forked


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """(root, run): a finished run on a copy of the dataset as a folder of class folders."""
    root = tmp_path_factory.mktemp("data") / "a"
    for file in sorted((tiny.root / "tiny" / "images").glob("*_train_*.png")):
        label, _, number = file.stem.split("_")
        target = root / "images" / f"class {label}" / f"{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    run = root.parent / "run"
    assert start(tiny, root, run) == 0
    return root, run


def start(tiny, root, run, **pairs) -> int:
    settings = {"DATASET.NAME": "Folder", "DATASET.FOLDER.PATH": "images", "OPTIM.MAX_EPOCH": 1}
    return tiny.run(run, flags=("--root", root), pairs=settings | pairs)


def renamed(root):
    (root / "images" / "class 1").rename(root / "images" / "class 9")
    (root / "images" / "split_folder.json").unlink()


def one_less(root):
    (root / "images" / "class 0" / "3.png").unlink()
    (root / "images" / "split_folder.json").unlink()


def other_pictures(root):
    for file in (root / "images").glob("*/*.png"):
        with Image.open(file) as image:
            flipped = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        flipped.save(file)


def one_picture(root):
    file = root / "images" / "class 1" / "2.png"
    with Image.open(file) as image:
        flipped = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    flipped.save(file)


@pytest.mark.parametrize("change", [renamed, one_less, other_pictures])
def test_other_data_is_refused(tiny, trained, tmp_path, capsys, change):
    root, run = trained
    shutil.copytree(root, tmp_path / "b")
    change(tmp_path / "b")
    before = (run / "results.json").read_bytes()
    assert start(tiny, tmp_path / "b", run) == 2
    error = capsys.readouterr().err
    assert "on other data" in error and str(tmp_path / "b") in error
    assert (run / "results.json").read_bytes() == before


@pytest.mark.parametrize(("method", "flags"), [("CoOp", ()), ("ZeroshotCLIP", ("--eval-only",))])
def test_data_that_was_changed_in_place_is_other_data(tiny, trained, tmp_path, capsys, monkeypatch, method, flags):
    monkeypatch.setattr("dassl.data.facts.SAMPLE", 2)  # a larger set has one picture of many there
    pairs = {"DATASET.NAME": "Folder", "DATASET.FOLDER.PATH": "images", "OPTIM.MAX_EPOCH": 1, "DATASET.NUM_SHOTS": -1}

    def again(settings=pairs) -> int:
        return tiny.run(tmp_path / "run", method, ("--root", tmp_path / "data", *flags), settings)

    for change in (one_picture, renamed, one_less):
        for folder in ("data", "run"):
            shutil.rmtree(tmp_path / folder, ignore_errors=True)
        shutil.copytree(trained[0], tmp_path / "data")
        assert again() == 0 and again() == 0
        assert "Finished already" in capsys.readouterr().out
        before = (tmp_path / "run" / "results.json").read_bytes()
        change(tmp_path / "data")
        assert again() == 2
        assert "holds a finished run on other data" in capsys.readouterr().err
        assert (tmp_path / "run" / "results.json").read_bytes() == before


def test_pictures_that_were_read_once_are_not_read_again(tiny, trained, capsys, monkeypatch):
    import clipkit.image_key

    root, run = trained
    monkeypatch.setattr("clipkit.image_key.RACY_SECONDS", -(10**6))  # as if they were no news
    assert start(tiny, root, run) == 0

    def no(path):
        raise AssertionError(f"{path} is read again")

    monkeypatch.setattr(clipkit.image_key, "_digest", no)
    capsys.readouterr()
    assert start(tiny, root, run) == 0
    assert capsys.readouterr().out.endswith("(remove the folder to run it again)\n")


def test_moved_data_is_the_same(tiny, trained, tmp_path, capsys):
    root, run = trained
    shutil.copytree(root, tmp_path / "moved")
    assert start(tiny, tmp_path / "moved", run) == 0
    assert "Finished already" in capsys.readouterr().out
    assert start(tiny, tmp_path / "nowhere", run) == 0
    assert "could not be compared" in capsys.readouterr().out and not (tmp_path / "nowhere").exists()


def test_a_run_of_an_older_version_is_compared_by_its_lists(tiny, trained, tmp_path, capsys):
    root, run = trained
    old = tmp_path / "run"
    shutil.copytree(run, old)
    record = json.loads((old / "results.json").read_text())
    del record["data"]
    (old / "results.json").write_text(json.dumps(record))
    assert start(tiny, root, old) == 0
    shutil.copytree(root, tmp_path / "b")
    renamed(tmp_path / "b")
    one_less_of = tmp_path / "b" / "images" / "class 0" / "0.png"
    one_less_of.unlink()
    assert start(tiny, tmp_path / "b", old) == 2
    assert "on other data" in capsys.readouterr().err


def test_an_unfinished_run_does_not_go_on_with_other_data(tiny, trained, tmp_path, capsys):
    root, run = trained
    unfinished = tmp_path / "run"
    shutil.copytree(run, unfinished)
    (unfinished / "results.json").unlink()
    shutil.copytree(root, tmp_path / "b")
    other_pictures(tmp_path / "b")
    assert start(tiny, tmp_path / "b", unfinished) == 2
    assert "cannot be resumed: the data has changed since" in capsys.readouterr().err


def test_a_run_does_not_go_on_over_other_wrong_labels(tiny, tmp_path, capsys):
    """Noise manifest of the same name, other labels in it."""
    from datasets.noise.manifest import read_manifest

    pairs = {"DATASET.NOISE.TYPE": "sym_other", "DATASET.NOISE.RATE": 0.5, "OPTIM.MAX_EPOCH": 1}
    data = tmp_path / "data"
    shutil.copytree(tiny.root / "tiny", data / "tiny", ignore=shutil.ignore_patterns("noise", "split_fewshot"))
    flags = ("--root", data)
    assert tiny.run(tmp_path / "first", flags=flags, pairs=pairs) == 0
    (file,) = data.glob("**/*sym_other*.json")
    manifest = {"DATASET.NOISE.MANIFEST": file, "OPTIM.MAX_EPOCH": 1}
    assert tiny.run(tmp_path / "run", flags=flags, pairs=manifest) == 0
    (tmp_path / "run" / "results.json").unlink()
    assert tiny.run(tmp_path / "other", flags=flags, pairs={**pairs, "DATASET.NOISE.SEED": 7}) == 0
    other = next(f for f in data.glob("**/*sym_other*.json") if f != file)
    assert read_manifest(other).sha256 != read_manifest(file).sha256
    shutil.copy(other, file)
    capsys.readouterr()
    assert tiny.run(tmp_path / "run", flags=flags, pairs=manifest) == 2
    assert "the training list (other images or labels)" in capsys.readouterr().err


def test_a_test_of_weights_that_were_trained_anew_is_not_finished(tiny, tmp_path, capsys):
    short = {"OPTIM.MAX_EPOCH": 1}
    assert tiny.run(tmp_path / "model", pairs=short) == 0
    flags = ("--eval-only", "--model-dir", tmp_path / "model", "--load-epoch", 1)
    assert tiny.run(tmp_path / "test", flags=flags, pairs=short) == 0
    assert tiny.run(tmp_path / "test", flags=flags, pairs=short) == 0
    assert "Finished already" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "model")
    assert tiny.run(tmp_path / "test", flags=flags, pairs=short) == 0  # the result stays where the weights are gone
    assert tiny.run(tmp_path / "model", pairs={**short, "OPTIM.WARMUP_EPOCH": -1}) == 0
    capsys.readouterr()
    assert tiny.run(tmp_path / "test", flags=flags, pairs=short) == 2
    assert "a test of other weights" in capsys.readouterr().err


PLUGIN = """from dassl.engine import TRAINER_REGISTRY
from trainers.coop import CoOp


@TRAINER_REGISTRY.register()
class EditedCoOp(CoOp):
    node = "TRAINER.EDITEDCOOP"
    config_defaults = {key.replace("COOP", "EDITEDCOOP"): value for key, value in CoOp.config_defaults.items()}
"""


def test_a_plugin_that_was_edited_since_is_another_one(tiny, tmp_path, capfd):
    """Each start in a process of its own, as users have it."""
    file = tmp_path / "edited.py"

    def begin() -> int:
        pairs = {"OPTIM.MAX_EPOCH": 1}
        return forked(lambda: tiny.run(tmp_path / "run", "EditedCoOp", ("--plugin", file), pairs))

    file.write_text(PLUGIN)
    assert begin() == 0
    assert begin() == 0 and "Finished already" in capfd.readouterr().out
    file.write_text(PLUGIN + "\n    def loss(self, image, label):\n        return super().loss(image, label)\n")
    before = (tmp_path / "run" / "results.json").read_bytes()
    assert begin() == 2 and "another version of its trainer" in capfd.readouterr().err
    assert (tmp_path / "run" / "results.json").read_bytes() == before
