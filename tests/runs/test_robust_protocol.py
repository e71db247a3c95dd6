"""Evaluations under attack: modes that fit, folders that tell them apart, the model that is tested."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dassl.utils import InputError
from runs.protocols import Settings
from runs.robust_protocol import robust, robust_folder, take_attack
from runs.settled import check_pairs


def settings(*pairs: str, **more) -> Settings:
    return Settings(output="out", pairs=pairs, **more)


@pytest.mark.parametrize(
    ("trainer", "pairs", "title", "mode"),
    [
        ("CoOp", (), "white-box-pgd-eps4-100", "W"),
        ("RTPT", (), "adaptive-pgd-eps4-100", "A"),
        ("CoOp", ("1", "7"), "white-box-pgd-eps1-7", "W"),
        ("CoOp", ("0.5", "7", "T"), "transfer-pgd-eps0.5-7", "T"),
        ("RTPT", ("4", "20", "T", "ATTACK.SUBSET", "40"), "transfer-pgd-eps4-20-n40", "T"),
        ("CoOp", ("4", "100", "W", "ATTACK.NAME", "pgd,aa"), "white-box-pgd+aa-eps4-100", "W"),
    ],
)
def test_eps_steps_and_mode_come_first(trainer, pairs, title, mode):
    found, own, rest = take_attack(trainer, settings(*pairs))
    assert found == title
    assert dict(zip(own[::2], own[1::2], strict=True))["ATTACK.MODE"] == mode
    assert all(key.startswith("ATTACK.") for key in rest.pairs[::2])


@pytest.mark.parametrize(
    ("trainer", "pairs", "words"),
    [
        ("CoOp", ("4",), "STEPS"),
        ("CoOp", ("4", "W"), "STEPS"),
        ("CoOp", ("4", "100", "A"), "MODE W"),
        ("TPT", ("4", "100", "W"), "MODE A"),
        ("CoOp", ("4", "100", "X"), "'X'"),
        ("CoOp", ("x", "100"), "EPS is 'x'"),
        ("CoOp", ("-1", "100"), "EPS is '-1'"),
        ("CoOp", ("nan", "100"), "EPS is 'nan'"),
        ("CoOp", ("1e3", "100"), "EPS is '1e3'"),
        ("CoOp", ("4", "0"), "STEPS"),
        ("CoOp", ("ATTACK.MODE", "zzz"), "'zzz'"),
        ("CoOp", ("ATTACK.NAME", "../x"), "cannot be in a folder's name"),
        ("CoOp", ("ATTACK.SUBSET", "-3"), "cannot be in a folder's name"),
        ("CoOp", ("ATTACK.EPS", "nan"), "cannot be in a folder's name"),
    ],
)
def test_what_does_not_fit_is_refused(trainer, pairs, words):
    with pytest.raises(InputError, match=words):
        take_attack(trainer, settings(*pairs))


def test_the_trained_model_is_the_few_shot_run(tmp_path):
    own = Settings(output=str(tmp_path), shots=4, pairs=("4", "20"))
    with pytest.raises(InputError, match="few_shot.sh digits 1"):
        robust("CoOp", "digits", 1, own)
    trained = tmp_path / "few_shot/digits/shots_4/CoOp/embedded/seed1/prompt_learner"
    trained.mkdir(parents=True)
    (trained / "checkpoint").write_text("model.pth.tar-50")
    found = robust("CoOp", "digits", 1, own)
    assert found[found.index("--model-dir") + 1] == str(trained.parent)
    assert found[found.index("--load-epoch") + 1] == "50"
    folder = Path(found[found.index("--output-dir") + 1])
    assert folder == robust_folder("CoOp", "digits", 1, own)
    assert folder == tmp_path / "robust/digits/white-box-pgd-eps4-20/shots_4/CoOp/embedded/seed1"


def test_methods_without_training_need_none():
    found = robust("RTPT", "digits", 1, settings("4", "20"))
    assert "--eval-only" in found and "--model-dir" not in found
    assert "shots_0/RTPT" in found[found.index("--output-dir") + 1]


HALF = ("DATASET.SUBSAMPLE_CLASSES",)


def trained(folder: Path, epoch: int) -> None:
    (folder / "prompt_learner").mkdir(parents=True)
    (folder / "prompt_learner" / "checkpoint").write_text(f"model.pth.tar-{epoch}")


@pytest.mark.parametrize(
    ("more", "model", "folder", "pairs", "script"),
    [
        ({"pairs": ("4", "20", *HALF, "base")}, "base2new/train_base/digits/shots_4/CoOp/embedded/seed1",
         "robust_base2new/base/digits/white-box-pgd-eps4-20/shots_4/CoOp/embedded/seed1",
         {"DATASET.SUBSAMPLE_CLASSES": "base", "DATASET.NUM_SHOTS": "4"}, "base2new_train.sh digits 1"),
        ({"pairs": ("4", "20", *HALF, "new")}, "base2new/train_base/digits/shots_4/CoOp/embedded/seed1",
         "robust_base2new/new/digits/white-box-pgd-eps4-20/shots_4/CoOp/embedded/seed1",
         {"DATASET.SUBSAMPLE_CLASSES": "new", "DATASET.NUM_SHOTS": "4"}, "base2new_train.sh digits 1"),
        ({"pairs": ("4", "20"), "source": "shapes"}, "shapes/CoOp/embedded_4shots/seed1",
         "robust_cross_dataset/shapes/digits/white-box-pgd-eps4-20/shots_4/CoOp/embedded/seed1",
         {"TASK": "CD"}, "xd_train.sh shapes 1"),
    ],
)  # fmt: skip
def test_halves_and_sources_test_what_their_scripts_trained(tmp_path, more, model, folder, pairs, script):
    own = Settings(output=str(tmp_path), shots=4, **more)
    with pytest.raises(InputError, match=script):
        robust("CoOp", "digits", 1, own)
    trained(tmp_path / model, 50)
    found = robust("CoOp", "digits", 1, own)
    assert found[found.index("--model-dir") + 1] == str(tmp_path / model)
    place = found[found.index("--output-dir") + 1]
    assert place == str(tmp_path / folder) == str(robust_folder("CoOp", "digits", 1, own))
    tail = found[found.index("--about") + 2 :]
    given = dict(zip(tail[::2], tail[1::2], strict=True))
    assert pairs.items() <= given.items()
    told = json.loads(found[found.index("--about") + 1])
    assert told["protocol"] == folder.partition("/")[0] and told["source"] == (more.get("source") or "digits")


@pytest.mark.parametrize(
    ("trainer", "pairs", "source", "words"),
    [
        ("CoOp", (*HALF, "old"), "", "must be base, new or all"),
        ("CoOp", (*HALF, "new"), "shapes", "leave DATASET.SUBSAMPLE_CLASSES out"),
        ("LPpp", (*HALF, "new"), "", "can only predict its training classes"),
        ("LPpp", (), "shapes", "can only predict its training classes"),
    ],
)
def test_tests_that_there_are_not_are_refused(trainer, pairs, source, words):
    with pytest.raises(InputError, match=words):
        robust_folder(trainer, "digits", 1, settings("4", "20", *pairs, source=source))


def test_only_the_evaluation_under_attack_takes_a_half_of_the_classes(tmp_path):
    check_pairs("robust", ["4", "20", "W", *HALF, "new"], str(tmp_path))
    with pytest.raises(InputError, match="SUBSAMPLE_CLASSES"):
        check_pairs("few_shot", [*HALF, "new"], str(tmp_path))
    with pytest.raises(InputError, match="NUM_SHOTS"):
        check_pairs("robust", ["4", "20", "DATASET.NUM_SHOTS", "2"], str(tmp_path))
