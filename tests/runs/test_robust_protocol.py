"""Evaluations under attack: modes that fit, folders that tell them apart, the model that is tested."""

from __future__ import annotations

from pathlib import Path

import pytest

from dassl.utils import InputError
from runs.protocols import Settings
from runs.robust_protocol import robust, robust_folder, take_attack


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
        ("CoOp", ("ATTACK.NAME", "../x"), "names no folder"),
        ("CoOp", ("ATTACK.SUBSET", "-3"), "names no folder"),
        ("CoOp", ("ATTACK.EPS", "nan"), "names no folder"),
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
