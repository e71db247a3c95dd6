"""Whole evaluations on the tiny dataset: their numbers are those of the method's own tests."""

from __future__ import annotations

import json

import pytest
from helpers import Tiny as TinySet  # noqa: F401  registers the dataset
from helpers import outputs_rows

from robustness.__main__ import run
from robustness.checks import NAMES
from robustness.one_evaluation import evaluate
from robustness.run import Options

ATTACK = {"ATTACK.EPS": 64.0, "ATTACK.STEPS": 4, "DATASET.SUBSAMPLE_CLASSES": "all"}
TTA = {"TRAINER.TTA.N_VIEWS": 8, "ATTACK.EOT.DRAWS": 2, "ATTACK.EOT.VIEWS": 4}


def record(folder):
    return json.loads((folder / "results.json").read_text())


def attacked(tiny, folder, adv, method, mode, options=None, flags=(), **pairs):
    """A finished evaluation's folder."""
    settings = ATTACK | {"ATTACK.DIR": adv, "ATTACK.MODE": mode} | pairs
    arguments = tiny.arguments(folder, method, ("--eval-only", *flags), settings)
    assert evaluate(arguments, options or Options()) == 0
    return folder


@pytest.fixture(scope="module")
def folders(tiny, tmp_path_factory):
    """A trained CoOp, its tests by train.py on clean and on stored pictures, and evaluations under attack."""
    top = tmp_path_factory.mktemp("robust")
    adv, all_ = top / "adv", {"DATASET.SUBSAMPLE_CLASSES": "all"}
    assert tiny.run(top / "coop", "CoOp", pairs=all_) == 0
    flags = ("--model-dir", top / "coop", "--load-epoch", 3)
    clean = ("--eval-only", *flags)
    stored = ATTACK | {"ATTACK.DIR": adv, "TEST.ADV_SET": "make"}
    assert tiny.run(top / "clean", "CoOp", clean, all_) == 0
    assert tiny.run(top / "stored", "CoOp", clean, stored) == 0
    context = {"TRAINER.TTA.CTX_FROM": top / "coop"}  # that knows more than one class
    views = context | {key: value for key, value in TTA.items() if key.startswith("TRAINER")}
    assert tiny.run(top / "rtpt_clean", "RTPT", ("--eval-only",), all_ | views) == 0
    assert tiny.run(top / "rtpt_stored", "RTPT", ("--eval-only",), stored | views) == 0
    thorough = Options("all", 6)
    attacked(tiny, top / "W", adv, "CoOp", "W", thorough, flags, **{"ATTACK.SQUARE.QUERIES": 30})
    about = ("--about", '{"protocol": "robust", "suite": "s", "target": "tiny", "shots": 4, "folder": "T"}')
    attacked(tiny, top / "T", adv, "CoOp", "T", None, (*flags, *about))
    attacked(tiny, top / "A", adv, "RTPT", "A", None, (), **(TTA | context))
    return top


def test_clean_and_transfer_figures_are_those_of_the_methods_own_tests(folders):
    for mine, clean, stored in (("W", "clean", "stored"), ("T", "clean", "stored"), ("A", "rtpt_clean", "rtpt_stored")):
        found = record(folders / mine)
        assert found["figures"]["clean"]["accuracy"] == pytest.approx(record(folders / clean)["results"]["accuracy"])
        assert found["clean_accuracy_ordinary_path"]["right"] == found["figures"]["clean"]["right"]
        expected = record(folders / stored)
        assert found["figures"]["transfer"]["accuracy"] == pytest.approx(expected["results"]["accuracy"])
        assert found["set"]["key"] == expected["adversarial"]["key"]


def test_a_defence_draws_what_it_draws_in_its_own_test(folders):
    for name, column in (("rtpt_clean", ""), ("rtpt_stored", "transfer.")):
        theirs = {row["path"]: (row["prediction"], row["confidence"]) for row in outputs_rows(folders / name)}
        mine = {
            row["path"]: (row[f"{column}prediction"], row[f"{column}confidence"]) for row in outputs_rows(folders / "A")
        }
        assert mine == theirs


def test_an_attack_that_knows_more_is_not_weaker(folders):
    for name, mode in (("W", "white-box"), ("A", "adaptive")):
        figures = record(folders / name)["figures"]
        assert figures[mode]["survived"]["right"] <= figures["transfer"]["survived"]["right"]
        assert figures[mode]["accuracy"] < figures["clean"]["accuracy"]
        assert figures["worst case"]["right"] <= figures[mode]["survived"]["right"]
        check = next(c for c in record(folders / name)["checks"] if c["code"] == "S6")
        assert check["verdict"] == "passed"


def test_the_worst_case_is_per_image(folders):
    for name, mode in (("W", "white-box"), ("A", "adaptive")):
        rows = outputs_rows(folders / name)
        for row in rows:
            both = row["transfer.survived"] == row[f"{mode}.survived"] == "True"
            assert row["survived"] == str(both)
            broken = row[f"{mode}.broken_by"]
            assert (row[f"{mode}.survived"] == "True") == (broken == "")
            assert (row["prediction"] != row["label"]) == (broken == "clean")
        found = record(folders / name)["figures"]
        assert sum(row["survived"] == "True" for row in rows) == found["worst case"]["right"]
        for part, counts in found[mode]["parts"].items():
            assert counts["broke"] == sum(row[f"{mode}.broken_by"] == part for row in rows)


def test_the_record_says_what_it_was_computed_on(folders):
    own = record(folders / "clean")
    for mode in "TWA":
        found = record(folders / mode)
        assert all(found[key] == own[key] for key in ("device", "precision", "backbone")) and own["backbone"]["sha256"]
        assert found["versions"].items() <= own["versions"].items() and "robustprompt" in found["versions"]


def test_the_record_says_what_the_command_knew(folders):
    found = record(folders / "T")
    assert (found["protocol"], found["suite"], found["variant"]) == ("robust", "s", None)
    assert found["cell"] == {"target": "tiny", "shots": 4, "folder": "T"}
    assert record(folders / "W")["protocol"] is None


def test_every_check_is_listed(folders):
    for name in ("W", "T", "A"):
        found = record(folders / name)
        assert [c["code"] for c in found["checks"]] == list(NAMES)
        assert all(c["detail"] for c in found["checks"])
        log = (folders / name / "log.txt").read_text()
        assert all(title in log for title in NAMES.values())
    ran = {c["code"] for c in record(folders / "W")["checks"] if c["passed"] is not None}
    assert ran >= set(NAMES) - {"S11", "S12"}
    assert {c["code"] for c in record(folders / "T")["checks"] if c["passed"] is not None} == {"S1", "S2"}


def test_what_kind_of_method_it_is(folders):
    assert record(folders / "A")["label"] == "dynamic+random" and record(folders / "W")["label"] == "static"
    assert record(folders / "A")["expectation"]["ways"] == ["plain", "views", "untuned mean", "stop", "mean", "unroll"]
    assert record(folders / "A")["gflop_per_image"] > 3 * record(folders / "W")["gflop_per_image"] > 0
    assert "robust accuracy" not in (folders / "A" / "log.txt").read_text()


def test_a_finished_evaluation_is_left_alone(tiny, folders, capsys):
    before = (folders / "T" / "results.json").stat().st_mtime_ns
    flags = ("--model-dir", folders / "coop", "--load-epoch", 3)
    attacked(tiny, folders / "T", folders / "adv", "CoOp", "T", None, flags)
    assert "Finished already" in capsys.readouterr().out
    assert (folders / "T" / "results.json").stat().st_mtime_ns == before


def test_two_evaluations_are_compared_image_by_image(folders, capsys):
    assert run(["compare", str(folders / "W"), str(folders / "A")]) == 0
    first, second = ([row["survived"] == "True" for row in outputs_rows(folders / name)] for name in ("W", "A"))
    b, c = (sum(x and not y for x, y in pairs) for pairs in (zip(first, second), zip(second, first)))  # noqa: B905
    assert f"only the first: {b}, only the second: {c}; p = " in capsys.readouterr().out and b + c > 0
    assert run(["compare", str(folders / "W")]) == 2


def test_eps_0_attacks_nothing(tiny, folders, tmp_path):
    pairs = {"ATTACK.EPS": 0.0}
    found = record(attacked(tiny, tmp_path, folders / "adv", "ZeroshotCLIP", "W", **pairs))["figures"]
    assert found["white-box"]["right"] == found["clean"]["right"] == found["transfer"]["right"]
    assert found["white-box"]["max_levels"] == 0


@pytest.mark.parametrize(
    ("method", "pairs", "words"),
    [
        ("CoOp", {"ATTACK.MODE": "A"}, "MODE W"),
        ("RTPT", {"ATTACK.MODE": "W"}, "MODE A"),
        ("CoOp", {"ATTACK.MODE": "Z"}, "'Z'"),
        ("CoOp", {"ATTACK.MODE": "W", "TEST.ADV_SET": "abcdef"}, "TEST.ADV_SET"),
        ("CoOp", {"ATTACK.MODE": "W", "ATTACK.NAME": "cw-l2"}, "cw-l2"),
        ("RTPT", {"ATTACK.MODE": "A", "ATTACK.NAME": "apgd-ce"}, "deterministic"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(tiny, tmp_path, capsys, method, pairs, words):
    settings = ATTACK | {"ATTACK.DIR": tmp_path / "adv"} | pairs
    arguments = tiny.arguments(tmp_path / "run", method, ("--eval-only",), settings)
    assert evaluate(arguments, Options()) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and words in error and "\n" not in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("argv", "words"), [(["CoOp", "digits"], "SEED"), (["--checks", "some", "a", "b", "1"], "basic")]
)
def test_the_command_line(capsys, argv, words):
    assert run(argv) == 2
    assert words in capsys.readouterr().err
