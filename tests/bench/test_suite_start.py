"""`start` in a block: tuning at test time begins with the context that another method learned."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bench.suites.suite import read_suite
from dassl.utils import InputError

KEY = "TRAINER.TTA.CTX_FROM"


def suite(tmp_path: Path, *blocks: dict, **top):
    tree = {"name": "start", "output": str(tmp_path / "out"), "seeds": [1], "blocks": list(blocks), **top}
    (tmp_path / "start.yaml").write_text(yaml.safe_dump(tree))
    return read_suite(tmp_path / "start.yaml")


def block(**changes) -> dict:
    usual = {"name": "on top", "protocol": "test_time", "methods": ["TPT", "RTPT"], "datasets": ["digits"]}
    return {**usual, "start": "CoOp", **changes}


def given(step) -> dict[str, str]:
    words = [word for word in step.settings.pairs if not word.replace(".", "").isdigit()]
    return {key: value for key, value in zip(words, words[1:], strict=False) if key == KEY}


def test_one_training_serves_all_tests_that_start_from_it(tmp_path):
    (run,) = suite(tmp_path, block(eps=[0, 4], steps=5)).runs
    assert [(step.protocol, step.method) for step in run.job] == [
        ("few_shot", "CoOp"), *[("test_time", "TPT")] * 2, *[("test_time", "RTPT")] * 2]  # fmt: skip
    trained = tmp_path / "out" / "few_shot/digits/shots_16/CoOp/embedded/seed1"
    assert run.folders[0] == trained
    assert all(given(step) == {KEY: str(trained)} for step in run.job[1:])
    assert all("variants/from_CoOp/test_time" in folder.as_posix() for folder in run.folders[1:])


def test_a_training_that_another_block_has_is_shared(tmp_path):
    plain = {"name": "plain", "protocol": "few_shot", "methods": ["CoOp"], "datasets": ["digits"]}
    (run,) = suite(tmp_path, plain, block(methods=["TPT"])).runs
    assert [step.method for step in run.job] == ["CoOp", "TPT"]


def test_adaptive_attacks_on_methods_that_start_from_a_context(tmp_path):
    attacked = {"protocol": "adversarial", "eps": 4, "steps": 10, "modes": ["A"], "start": "KgCoOp"}
    (run,) = suite(tmp_path, block(**attacked)).runs
    assert [(step.protocol, step.method) for step in run.job] == [
        ("few_shot", "KgCoOp"), ("robust", "TPT"), ("robust", "RTPT")]  # fmt: skip
    assert not any(word.startswith(("ATTACK.", "TRAINER.TTA.")) for word in run.job[0].settings.pairs)


def test_settings_of_the_tests_do_not_reach_the_training(tmp_path):
    over = {"TRAINER.TTA.N_VIEWS": 8, "OPTIM.MAX_EPOCH": 3}
    (run,) = suite(tmp_path, block(overrides=over, methods=["TPT"])).runs
    assert run.job[0].settings.pairs == ("OPTIM.MAX_EPOCH", "3")
    assert "TRAINER.TTA.N_VIEWS" in run.job[1].settings.pairs


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start": "MaPLe"}, "start: .*'MaPLe'.*CoOp"),
        ({"start": "CoOpp"}, "start: .*CoOp"),
        ({"start": 3}, "start"),
        ({"methods": ["ZeroshotCLIP"]}, "starts from no context"),
        ({"methods": ["TAPT"]}, "TAPT starts from no context"),
        ({"protocol": "few_shot", "methods": ["CoOp"]}, "start"),
        ({"protocol": "adversarial", "methods": ["CoOp"], "eps": 4, "steps": 5}, "starts from no context"),
    ],
)
def test_bad_input(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        suite(tmp_path, block(**changes))
