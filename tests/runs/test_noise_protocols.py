"""Protocols of label noise: folders and arguments, whole runs on web images, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import NAMES
from PIL import Image

import train
from dassl.utils import InputError
from datasets.noise.manifest import read_manifest
from runs.noise_protocols import NOISE_TARGETS
from runs.protocols import plan

sys.path.append(str(Path(__file__).resolve().parents[1] / "datasets"))
import layouts  # noqa: E402

D = "DATASET.NOISE."
HALF = {D + "TYPE": "sym_other", D + "RATE": 0.5, "DATASET.SUBSAMPLE_CLASSES": "all"}


def option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


# ---------------------------------------------------------------------- across datasets


def test_a_noisy_source_has_folders_of_its_own(tmp_path):
    env, noise = {"OUTPUT": str(tmp_path), "SOURCE": "shapes"}, ["sym_other", "0.5"]
    (training,) = plan("noise_xd_train", "CoOp", "shapes", 1, env, [*noise, "OPTIM.LR", "0.1"])
    where = f"{tmp_path}/noise_xd/shapes/sym_other_r0500"
    assert option(training, "--output-dir") == f"{where}/shapes/CoOp/embedded_16shots/seed1"
    assert [option(training, k) for k in ("TASK", "DATASET.NUM_SHOTS", D + "TYPE", D + "RATE")] == [
        "CD", "16", "sym_other", "0.5",
    ]  # fmt: skip
    assert training[-2:] == ["OPTIM.LR", "0.1"] and "DATASET.SUBSAMPLE_CLASSES" not in training
    with pytest.raises(InputError, match="run noise_xd_train.sh shapes 1 sym_other 0.5 first"):
        plan("noise_xd_test", "CoOp", "digits", 1, env, noise)
    folder = Path(option(training, "--output-dir"))
    (folder / "prompt_learner").mkdir(parents=True)
    (folder / "prompt_learner" / "checkpoint").write_text("model.pth.tar-50\n")
    tests = plan("noise_xd_test", "CoOp", "all", 1, env, noise)
    assert [option(t, "--dataset-config-file") for t in tests] == [
        f"configs/datasets/{name}.yaml" for name in ("digits", "textures", "letters", "objects")
    ]
    first = tests[0]
    assert option(first, "--output-dir") == f"{where}/digits/CoOp/embedded_16shots/seed1"
    assert option(first, "--model-dir") == str(folder) and option(first, "--load-epoch") == "50"
    assert D + "TYPE" not in first and "DATASET.NUM_SHOTS" not in first, "targets are clean"


def test_the_four_targets_of_imagenet():
    tests = plan("noise_xd_test", "ZeroshotCLIP", "all", 1, {}, ["sym_other", "0.5"])
    assert [option(t, "--output-dir").split("/")[4] for t in tests] == list(NOISE_TARGETS["imagenet"])
    assert NOISE_TARGETS["imagenet"] == ("oxford_pets", "food101", "dtd", "ucf101")
    for protocol, where, env, says in (
        ("noise_xd_test", "all", {"SOURCE": "dtd"}, "imagenet and shapes, not for dtd"),
        ("noise_xd_train", "all", {}, "'all'"),
        ("noise_xd_test", "digts", {}, "'digts'"),
    ):
        with pytest.raises(InputError, match=says):
            plan(protocol, "ZeroshotCLIP", where, 1, env, ["sym_other", "0.5"])
    with pytest.raises(InputError, match="TYPE and RATE"):
        plan("noise_xd_test", "ZeroshotCLIP", "all", 1, {}, ["sym_other"])


# ---------------------------------------------------------------------- noise of the real world


def test_real_noise_folders_and_shots():
    other = {"OUTPUT": "output/variants/official"}, ["DATASET.FOOD101N.TEST", "official"]
    (few,) = plan("real_noise_train", "CoOp", "food101n", 2, *other)
    assert option(few, "--output-dir") == "output/variants/official/real_noise/food101n/shots_16/CoOp/vit_b16/seed2"
    assert option(few, "DATASET.FOOD101N.TEST") == "official" and option(few, "TASK") == "FS"
    (whole,) = plan("real_noise_train", "CoOp", "food101n", 2, {"SHOTS": "-1"}, [])
    assert option(whole, "--output-dir") == "output/real_noise/food101n/shots_all/CoOp/vit_b16/seed2"
    assert option(whole, "DATASET.NUM_SHOTS") == "-1"
    (one,) = plan("real_noise_train", "CoOp", "food101n", 2, {"SHOTS": "1"}, [])
    assert option(one, "--config-file").endswith("vit_b16_ep50.yaml"), "the method's config for one shot"
    for protocol, where, shots, says in (
        ("real_noise_train", "food101", "16", "food101 has no noise of its own; food101n and webvision have"),
        ("real_noise_train", "food101n", "0", "at least 1, or -1 for every image"),
        ("noise_train", "digits", "-1", "at least 1\\."),
        ("real_noise_test", "webvision", "16", "run real_noise_train.sh webvision 2 first"),
    ):
        with pytest.raises(InputError, match=says):
            plan(protocol, "CoOp", where, 2, {"SHOTS": shots, "OUTPUT": "/nowhere"}, ["sym_other", "0.5"])


def test_webvision_is_tested_on_both_sets_from_the_same_weights():
    training, test = plan("real_noise_train", "PTNL", "webvision", 1, {}, ["OPTIM.MAX_EPOCH", "7"])
    assert "--eval-only" not in training and "--eval-only" in test
    assert option(test, "--model-dir") == option(training, "--output-dir") and option(test, "--load-epoch") == "7"
    assert option(test, "DATASET.WEBVISION.TEST") == "ilsvrc12_val" and "DATASET.WEBVISION.TEST" not in training
    assert option(test, "--output-dir") == "output/real_noise/webvision_ilsvrc12_val/shots_16/PTNL/rn50/seed1"
    zero_shot = plan("real_noise_train", "ZeroshotCLIP", "webvision", 1, {}, [])
    assert len(zero_shot) == 2 and all("--eval-only" in r and "--model-dir" not in r for r in zero_shot)


def pictures(root: Path) -> None:
    """Real images in place of the layouts' empty ones."""
    generator = np.random.default_rng(0)
    for file in root.rglob("*"):
        if file.suffix in (".jpg", ".JPEG"):
            Image.fromarray(generator.integers(0, 255, (18, 20, 3), dtype=np.uint8)).save(file, "JPEG")


@pytest.fixture(scope="module")
def web(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("web")
    layouts.food101n(root)
    layouts.webvision(root)
    pictures(root)
    return root


def run_all(protocol: str, where: str, tiny, root: Path, output: Path, shots: str = "1", pairs: tuple = ()) -> list:
    """Runs a script's plan on the tiny backbone; the runs' folders."""
    given = tiny.arguments(output)
    given = given[given.index("MODEL.BACKBONE.PATH") :]
    env = {"DATA": str(root), "OUTPUT": str(output), "SHOTS": shots}
    runs = plan(protocol, "CoOp", where, 1, env, [*given, "OPTIM.MAX_EPOCH", "2", "MODEL.BACKBONE.NAME", "", *pairs])
    assert [train.run(run) for run in runs] == [0] * len(runs)
    return [Path(option(run, "--output-dir")) for run in runs]


def test_a_whole_run_on_webvision(tiny, web, tmp_path):
    trained, test = (results(folder) for folder in run_all("real_noise_train", "webvision", tiny, web, tmp_path))
    assert trained["noise"]["type"] == "real" and len(trained["noise"]["sha256"]) == 64
    assert trained["mode"] == "train" and test["mode"] == "test"
    assert trained["items"]["test"] != test["items"]["test"] and trained["classnames"] == test["classnames"]
    for record in (trained, test):
        top1, top5 = record["results"]["accuracy"], record["results"]["top5_accuracy"]
        assert record["results"]["total"] == 50 and 0 <= top1 <= top5 <= 100
    weights = Path(test["model_dir"]) / "prompt_learner" / "model.pth.tar-2"
    assert torch.load(weights, weights_only=True)["epoch"] == 2


def test_a_whole_run_on_food101n(tiny, web, tmp_path):
    (folder,) = run_all("real_noise_train", "food101n", tiny, web, tmp_path, shots="-1")
    record = results(folder)
    assert record["noise"]["params"] == {"looked_at": 3, "wrong": 1} and record["items"]["train"]["count"] == 9
    assert record["noise"]["sha256"] in (folder / "log.txt").read_text()
    curves = json.loads((folder / "curves.json").read_text())
    assert curves["noisy_flipped"] == [None, None] and None not in curves["noisy_kept"]
    assert curves["test"][-1] == record["results"]["accuracy"]
    counts = json.loads((folder / "confusion.json").read_text())
    assert counts["classnames"] == record["classnames"]
    assert sum(map(sum, counts["counts"])) == record["results"]["total"] == 9
    (other,) = run_all("real_noise_test", "food101n", tiny, web, tmp_path, shots="-1")
    assert results(other)["results"]["total"] == 4 and results(other)["model_dir"] == str(folder)
    assert other.parts[-5] == "food101n_official"


# ---------------------------------------------------------------------- same noise, clean at rate 0, bad input


@pytest.mark.parametrize("kind", ["sym_other", "pair_next", "idn"])
def test_methods_against_noise_meet_the_same_labels(tiny, tmp_path, kind):
    hashes = set()
    for method in ("CoOp", "PTNL", "DPSEP", "NLPrompt", "JoAPR", "MaPLe"):
        hashes.add(tiny.trainer(tmp_path, method, HALF | {D + "TYPE": kind}).dm.dataset.noise["sha256"])
    assert len(hashes) == 1


@pytest.mark.parametrize("method", ["PTNL", "DPSEP", "JoAPR", "NLPrompt"])
def test_rate_0_is_the_clean_run_to_the_last_bit(tiny, tmp_path, method):
    pairs = {"DATASET.SUBSAMPLE_CLASSES": "all"}
    assert tiny.run(tmp_path / "clean", method, pairs=pairs) == 0
    assert tiny.run(tmp_path / "zero", method, pairs=HALF | {D + "RATE": 0.0}) == 0
    mine, theirs = (
        torch.load(next((tmp_path / name).glob("*/model.pth.tar-3")), weights_only=True)["state_dict"]
        for name in ("clean", "zero")
    )
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert results(tmp_path / "clean")["results"] == results(tmp_path / "zero")["results"]


def test_the_runs_noise_in_val_is_on_record(tiny, tmp_path):
    assert tiny.run(tmp_path, "CoOp", pairs=HALF | {D + "VAL": True, "TEST.FINAL_MODEL": "best_val"}) == 0
    assert results(tmp_path)["noise"]["val"] is True
    assert "and of 10 for validation" in (tmp_path / "log.txt").read_text()


def one_class(root: Path, tiny) -> None:
    shutil.copytree(tiny.root / "tiny", root / "tiny")
    file = root / "tiny" / "split_zhou_Tiny.json"
    split = json.loads(file.read_text())
    file.write_text(json.dumps({part: [row for row in rows if row[1] == 0] for part, rows in split.items()}))
    shutil.rmtree(root / "tiny" / "noise", ignore_errors=True)
    shutil.rmtree(root / "tiny" / "split_fewshot", ignore_errors=True)


def refused(tiny, output: Path, pairs: dict, says: str, capsys, root: Path | None = None) -> None:
    """Exit code 2, one sentence, no folder."""
    capsys.readouterr()
    arguments = tiny.arguments(output, "CoOp", (), pairs)
    arguments[arguments.index("--root") + 1] = str(root or tiny.root)
    assert train.run(arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and error[0].startswith("error: ") and says in error[0], error
    assert not output.exists()


def test_one_class_cannot_be_noisy(tiny, tmp_path, capsys):
    one_class(tmp_path / "root", tiny)
    refused(tiny, tmp_path / "run", HALF, "needs at least two classes", capsys, tmp_path / "root")


def test_a_manifest_of_another_dataset_or_copy_is_refused(tiny, tmp_path, capsys):
    tiny.trainer(tmp_path, "CoOp", HALF)
    kept = tiny.root / "tiny/noise/4shot_split1/sym_other_r0500_n1.json"
    for change, says in (
        ({"dataset": "Caltech101"}, "made for dataset 'Caltech101', this run has 'Tiny'"),
        (
            {"classnames": [*NAMES[:4], "spotted fish"]},
            "made for other classnames: 'spotted fish', this run has 'speckled fish'",
        ),
    ):
        replace(read_manifest(kept), **change).write(tmp_path / "other.json")
        pairs = {D + "MANIFEST": tmp_path / "other.json", "DATASET.SUBSAMPLE_CLASSES": "all"}
        refused(tiny, tmp_path / "run", pairs, says, capsys)
    copy = tmp_path / "copy"
    shutil.copytree(tiny.root / "tiny", copy / "tiny")
    listed = json.loads(kept.read_text())["items"][0]["impath"]
    spare = next(i for i in range(6) if not any(
        x["impath"] == f"{listed[0]}_train_{i}.png" for x in json.loads(kept.read_text())["items"]
    ))  # fmt: skip
    split = json.loads((copy / "tiny/split_zhou_Tiny.json").read_text())
    split["train"] = [row for row in split["train"] if row[0] != listed]
    (copy / "tiny/split_zhou_Tiny.json").write_text(json.dumps(split))
    (copy / "tiny/images" / listed).unlink()
    assert (copy / f"tiny/images/{listed[0]}_train_{spare}.png").is_file()
    pairs = {D + "MANIFEST": kept, "DATASET.SUBSAMPLE_CLASSES": "all"}
    refused(tiny, tmp_path / "run", pairs, f"lists {copy / 'tiny/images' / listed}, which does not exist", capsys, copy)


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ({D + "VAL": True}, "there is no noise"),
        ({D + "TYPE": "sym_other", D + "RATE": 2.0}, "at least 0 and below 1"),
        ({D + "TYPE": "fp_swap_sym", D + "RATE": 0.25, D + "VAL": True}, "fp_swap_sym has no form for it"),
    ],
)
def test_bad_noise_is_one_sentence(tiny, tmp_path, capsys, pairs, says):
    refused(tiny, tmp_path / "run", pairs, says, capsys)
