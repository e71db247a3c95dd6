"""Label noise in whole runs: same noise for all methods, clean at rate 0, and no method reads the true labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers import METHODS
from helpers import saved_weights as weights

from datasets.noise.manifest import Manifest, read_manifest

D = "DATASET.NOISE."
HALF = {D + "TYPE": "sym_other", D + "RATE": 0.5, "DATASET.SUBSAMPLE_CLASSES": "all"}


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def same_weights(a: Path, b: Path) -> bool:
    mine, theirs = weights(a), weights(b)
    return all(torch.equal(mine[name], theirs[name]) for name in mine)


def trainer_with(tiny, folder, pairs):
    return tiny.trainer(folder, "CoOp", pairs)


def test_training_labels_alone_are_wrong(tiny, tmp_path):
    clean = trainer_with(tiny, tmp_path, {"DATASET.SUBSAMPLE_CLASSES": "all"}).dm.dataset
    dataset = trainer_with(tiny, tmp_path, HALF).dm.dataset
    assert [x.impath for x in dataset.train_x] == [x.impath for x in clean.train_x]
    assert [x.gttarget for x in dataset.train_x] == [x.label for x in clean.train_x]
    assert sum(x.label != x.gttarget for x in dataset.train_x) == 10 == len(clean.train_x) // 2
    assert all(x.classname == dataset.classnames[x.label] for x in dataset.train_x)
    for part in ("val", "test"):
        assert [x.label for x in getattr(dataset, part)] == [x.label for x in getattr(clean, part)]
    assert dataset.classnames == clean.classnames and dataset.num_classes == clean.num_classes


def test_class_names_survive_a_class_that_no_label_names(tiny, tmp_path):
    """At a high rate of pair noise with one shot a class may be left without a label."""
    pairs = {D + "TYPE": "sym_other", D + "RATE": 0.99, "DATASET.NUM_SHOTS": 1, "DATASET.SUBSAMPLE_CLASSES": "all"}
    dataset = trainer_with(tiny, tmp_path, pairs | {"DATALOADER.TRAIN_X.BATCH_SIZE": 2}).dm.dataset
    assert len({x.label for x in dataset.train_x}) < 5 and dataset.num_classes == len(dataset.classnames) == 5


def test_batches_hold_observed_and_true_labels(tiny, tmp_path):
    trainer = trainer_with(tiny, tmp_path, HALF)
    batch = next(iter(trainer.train_loader_x))
    items = trainer.dm.dataset.train_x
    for label, gt, index in zip(batch["label"], batch["gt"], batch["index"], strict=True):
        assert (label, gt) == (items[index].label, items[index].gttarget)
    assert torch.equal(batch["target"], batch["label"]) and torch.equal(batch["gttarget"], batch["gt"])
    assert not torch.equal(batch["target"], batch["gttarget"])
    assert "gt" not in next(iter(trainer_with(tiny, tmp_path, {}).train_loader_x))


def test_all_methods_meet_the_same_noise(tiny, tmp_path):
    seen = set()
    for method in ("CoOp", "MaPLe", "ANPrompt", "KgCoOpSAR"):
        pairs = HALF | {"OPTIM.MAX_EPOCH": 1, "TRAINER.SAR.NOVEL_SOURCE": "oracle", "DATASET.SUBSAMPLE_CLASSES": "base"}
        assert tiny.run(tmp_path / method, method, pairs=pairs) == 0
        noise = results(tmp_path / method)["noise"]
        assert (noise["type"], noise["rate"], noise["flipped"], noise["realised_rate"]) == ("sym_other", 0.5, 6, 0.5)
        assert noise["sha256"] in (tmp_path / method / "log.txt").read_text()
        seen.add(noise["sha256"])
    assert len(seen) == 1
    other = tiny.run(tmp_path / "other", "CoOp", pairs=HALF | {"SEED": 2, "OPTIM.MAX_EPOCH": 1})
    assert other == 0 and results(tmp_path / "other")["noise"]["sha256"] not in seen


@pytest.fixture(scope="module", params=["CoOp", "CoPrompt"])
def clean(request, tiny, tmp_path_factory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp(request.param) / "clean"
    assert tiny.run(folder, request.param) == 0
    return request.param, folder


@pytest.mark.parametrize("kind", ["sym_other", "pair_next", "idn"])
def test_rate_0_is_the_clean_run_to_the_last_bit(tiny, tmp_path, clean, kind):
    method, folder = clean
    assert tiny.run(tmp_path / "zero", method, pairs={D + "TYPE": kind, D + "RATE": 0.0}) == 0
    assert same_weights(folder, tmp_path / "zero")
    assert results(folder)["results"] == results(tmp_path / "zero")["results"]
    assert results(folder)["noise"] is None and results(tmp_path / "zero")["noise"]["flipped"] == 0


@pytest.mark.parametrize("method", METHODS)
def test_no_method_looks_at_the_true_labels(tiny, tmp_path, method, monkeypatch):
    pairs = {D + "TYPE": "sym_other", D + "RATE": 0.5}
    assert tiny.run(tmp_path / "run", method, pairs=pairs) == 0
    real = Manifest.train_list

    def masked(self, *args):
        found = real(self, *args)
        for item in found:
            item.gttarget = -1
        return found

    monkeypatch.setattr(Manifest, "train_list", masked)
    assert tiny.run(tmp_path / "masked", method, pairs=pairs) == 0
    assert same_weights(tmp_path / "run", tmp_path / "masked")


def test_a_manifest_says_it_all(tiny, tmp_path):
    """Written beside the dataset; given back as DATASET.NOISE.MANIFEST it is the same run."""
    assert tiny.run(tmp_path / "run", "CoOp", pairs=HALF) == 0
    file = tiny.root / "tiny" / "noise" / "4shot_split1" / "sym_other_r0500_n1.json"
    manifest = read_manifest(file)
    assert manifest.sha256 == results(tmp_path / "run")["noise"]["sha256"]
    stats = json.loads(file.read_text())["stats"]
    assert stats["flipped"] == 10 and sum(count for *_, count in stats["flips"]) == 10
    assert sum(stats["observed_per_class"]) == 20 and not any(Path(i.impath).is_absolute() for i in manifest.items)
    given = {D + "MANIFEST": file, "DATASET.SUBSAMPLE_CLASSES": "all"}
    assert tiny.run(tmp_path / "given", "CoOp", pairs=given) == 0
    assert same_weights(tmp_path / "run", tmp_path / "given")


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"DATASET.NOISE_TYPE": "sym", "DATASET.NOISE_RATE": 0.5}, ("sym_other", 0.5)),
        ({"DATASET.NOISE_RATE": 0.25}, ("sym_other", 0.25)),
        ({"DATASET.NOISE_TYPE": "asym", "DATASET.NOISE_RATE": 0.5}, ("pair_next", 0.5)),
        ({"DATASET.NUM_FP": 1}, ("fp_swap_sym", 0.25)),
        ({"DATASET.NUM_FP": 1, "DATASET.NOISE_TYPE": "pair"}, ("fp_swap_pair", 0.25)),
        ({"DATASET.NOISE_RATE": 0.5, "DATASET.NOISE_LABEL": False}, None),
    ],
)
def test_the_fields_own_flags(tiny, tmp_path, older, newer, caplog):
    pairs = older | {"DATASET.NUM_SHOTS": 4, "DATASET.SUBSAMPLE_CLASSES": "all"}
    if newer and newer[0].startswith("fp"):
        pairs["DATASET.NUM_SHOTS"] = 2  # the tiny set has three images a class for its own
        newer = (newer[0], 0.5)
    with caplog.at_level("INFO"):
        dataset = trainer_with(tiny, tmp_path, pairs).dm.dataset
    if newer is None:
        assert dataset.noise is None
        return
    assert (dataset.noise["type"], dataset.noise["rate"]) == newer
    assert f"DATASET.NOISE.TYPE {newer[0]}" in caplog.text


def test_swapped_images_keep_the_label_counts(tiny, tmp_path):
    pairs = {D + "TYPE": "fp_swap_sym", D + "RATE": 0.5, "DATASET.NUM_SHOTS": 2, "DATASET.SUBSAMPLE_CLASSES": "base"}
    items = trainer_with(tiny, tmp_path, pairs).dm.dataset.train_x
    assert sorted(x.label for x in items) == [0, 0, 1, 1, 2, 2]
    assert sum(x.label != x.gttarget for x in items) == 3 and {x.gttarget for x in items} <= {0, 1, 2}
    assert all(Path(x.impath).name.startswith(f"{x.gttarget}_train") for x in items)


def test_swapped_with_repetition_is_a_type_of_its_own(tiny, tmp_path):
    pairs = {D + "TYPE": "fp_swap_repeat", D + "RATE": 0.5, "DATASET.NUM_SHOTS": 4, "DATASET.SUBSAMPLE_CLASSES": "base"}
    dataset = trainer_with(tiny, tmp_path, pairs).dm.dataset
    items = dataset.train_x
    assert len(items) == len({x.impath for x in items}) <= 12 and dataset.noise["type"] == "fp_swap_repeat"
    assert any(x.label != x.gttarget for x in items) and any(x.label == x.gttarget for x in items)
    assert (tiny.root / "tiny/noise/4shot_split1_base/fp_swap_repeat_r0500_n1.json").is_file()


def damaged(tiny, tmp_path, change) -> Path:
    file = tmp_path / "manifest.json"
    trainer_with(tiny, tmp_path, HALF)
    data = json.loads((tiny.root / "tiny/noise/4shot_split1/sym_other_r0500_n1.json").read_text())
    change(data)
    file.write_text(json.dumps(data))
    return file


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ({D + "TYPE": "sym"}, "must be one of sym_other"),
        ({D + "TYPE": "sym_other", D + "RATE": 1.0}, "at least 0 and below 1"),
        ({D + "TYPE": "sym_other", D + "RATE": -0.1}, "at least 0 and below 1"),
        ({D + "TYPE": "idn", D + "RATE": 0.5, D + "IDN.FEATURE": "pixel32"}, "pixel64, clip_vitb32"),
        ({D + "TYPE": "sym_other", D + "RATE": 0.5, "DATASET.NOISE_RATE": 0.5}, "given twice"),
        ({"DATASET.NUM_FP": 2, "DATASET.NUM_SHOTS": -1}, "NUM_SHOTS"),
        ({D + "TYPE": "fp_swap_sym", D + "RATE": 0.5, "DATASET.NUM_SHOTS": -1}, "NUM_SHOTS"),
        ({D + "MANIFEST": "/nowhere/x.json"}, "no noise manifest /nowhere/x.json"),
    ],
)
def test_bad_noise_is_one_sentence(tiny, tmp_path, capsys, pairs, says):
    assert tiny.run(tmp_path / "run", "CoOp", pairs=pairs) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and says in error[0], error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d["items"][0].update(noisy=(d["items"][0]["noisy"] + 1) % 5), "hash does not fit"),
        (lambda d: d["items"][0].update(noisy=9), "none of its classes"),
        (lambda d: d.update(format=2), "format is 2"),
        (lambda d: d.pop("items"), "not a noise manifest"),
    ],
)
def test_a_damaged_manifest_is_refused(tiny, tmp_path, capsys, change, says):
    file = damaged(tiny, tmp_path, change)
    capsys.readouterr()
    assert tiny.run(tmp_path / "run", "CoOp", pairs={D + "MANIFEST": file, "DATASET.SUBSAMPLE_CLASSES": "all"}) == 2
    assert says in capsys.readouterr().err


def test_a_manifest_of_another_split_is_refused(tiny, tmp_path, capsys):
    file = damaged(tiny, tmp_path, lambda d: None)
    for pairs, says in (
        ({"DATASET.SUBSAMPLE_CLASSES": "base"}, "made for classnames 5 classes, this run has 3"),
        ({"DATASET.SUBSAMPLE_CLASSES": "all", "SEED": 3}, "split_seed 1, this run has 3"),
        ({"DATASET.SUBSAMPLE_CLASSES": "all", "DATASET.NUM_SHOTS": 2}, "shots 4, this run has 2"),
    ):
        capsys.readouterr()
        assert tiny.run(tmp_path / "run", "CoOp", pairs={D + "MANIFEST": file, **pairs}) == 2
        assert says in capsys.readouterr().err


def test_a_manifest_whose_images_are_gone_is_refused(tiny, tmp_path):
    from dassl.utils import InputError

    manifest = read_manifest(damaged(tiny, tmp_path, lambda d: None))
    with pytest.raises(InputError, match="does not exist"):
        manifest.train_list(str(tmp_path))
