"""Settings that a suite chooses by validation accuracy: candidates, the choice, and the blocks that take it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from result_files import write_result
from suite_files import B2N, Here, nothing_stays  # noqa: F401  an autouse fixture

from bench.__main__ import main as bench
from bench.running import local
from bench.running.selection import choose, told, write_choice
from bench.running.state import survey
from bench.running.work import Outcome
from bench.studies.rows import rows_of
from bench.suites.part import of_blocks
from bench.suites.suite import Suite, read_suite
from dassl.utils import InputError
from runs.about import VARIANTS

NOISE = {"protocol": "noise", "methods": ["CoOp", "PTNL"], "datasets": ["digits", "letters"],
         "types": {"sym_other": [0.5]}}  # fmt: skip
GRID = {"key": "OPTIM.LR", "values": [0.001, 0.002, 0.004]}
SELECT = {**NOISE, "name": "rate", "select": GRID}
TAKE = {**NOISE, "name": "chosen", "selected": "rate"}
PLAIN = {**NOISE, "name": "plain"}


def suite_in(folder: Path, *blocks: dict, **top) -> Suite:
    tree = {"name": "s", "output": str(folder / "out"), "seeds": [1, 2], "blocks": list(blocks), **top}
    (folder / "s.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    return read_suite(folder / "s.yaml")


def finish(suite: Suite, accuracy, split: str = "val") -> None:
    """accuracy(run): of every step. The records have the settings that the suite asks for."""
    for run in suite.runs:
        for step, folder, resolved in zip(run.job, run.folders, run.resolved, strict=True):
            own = resolved.hash(run.seed)
            write_result(folder, step.method, step.dataset, run.seed, accuracy(run), settings_hash=own, split=split)


def peak(best: dict[str, str]):
    """Accuracy 70, and 80 at the best value of each method; the sets differ by 10, the seeds by 1."""

    def accuracy(run) -> float:
        hit = run.candidate is not None and best[run.candidate.method] == run.candidate.value
        return 70 + 10 * hit + 10 * (run.dataset == "letters") + run.seed

    return accuracy


# ---------------------------------------------------------------------- candidates


def test_candidates_are_trained_once_for_each_value_and_never_see_test_images(tmp_path):
    suite = suite_in(tmp_path, SELECT)
    assert len(suite.runs) == 2 * 3 * 2 * 2 and {run.candidate.method for run in suite.runs} == {"CoOp", "PTNL"}
    for run in suite.runs:
        (step,) = run.job
        words = " ".join(step.planned(2))
        assert step.protocol == "noise_train" and "TEST.SPLIT val" in words
        settings = json.loads(run.resolved[0].text)
        assert settings["TEST.SPLIT"] == "val" and str(settings["OPTIM.LR"]) == run.candidate.value
        assert settings.get("DATASET.NOISE.VAL", False) is False, "validation labels are right"
        assert f"{VARIANTS}/select/rate,LR={run.candidate.value}/noise/" in run.folders[0].as_posix()


def test_base_to_new_chooses_on_base_classes_alone(tmp_path):
    suite = suite_in(tmp_path, {**B2N, "methods": ["CoOp"], "name": "rate", "select": GRID})
    assert [step.protocol for run in suite.runs for step in run.job] == ["base2new_train"] * 6
    assert all(json.loads(run.resolved[0].text)["DATASET.SUBSAMPLE_CLASSES"] == "base" for run in suite.runs)


def test_factors_are_of_each_methods_published_value(tmp_path):
    block = {**B2N, "methods": ["CoOp", "MMRL", "CoCoOp"], "name": "rate"}
    suite = suite_in(tmp_path, block | {"select": {"key": "OPTIM.LR", "factors": [0.5, 1]}}, seeds=[1])
    tried = {(run.candidate.method, run.candidate.value) for run in suite.runs}
    assert tried == {("CoOp", "0.001"), ("CoOp", "0.002"), ("MMRL", "0.0005"), ("MMRL", "0.001"),
                     ("CoCoOp", "0.001"), ("CoCoOp", "0.002")}  # fmt: skip


# ---------------------------------------------------------------------- the choice


def test_the_best_mean_is_taken_and_written(tmp_path):
    suite = suite_in(tmp_path, SELECT, TAKE)
    assert suite.waiting == {"chosen": "rate"} and {run.block for run in suite.runs} == {"rate"}
    finish(suite, peak({"CoOp": "0.001", "PTNL": "0.004"}))
    own = write_choice(suite)["rate"]
    assert own["methods"]["CoOp"]["chosen"] == "0.001" and own["methods"]["PTNL"]["chosen"] == "0.004"
    assert own["methods"]["CoOp"]["scores"] == pytest.approx({"0.001": 86.5, "0.002": 76.5, "0.004": 76.5})
    assert own["methods"]["CoOp"]["published"] == "0.002" and own["by"] == "validation"
    assert own["datasets"] == ["digits", "letters"] and own["seeds"] == [1, 2]
    assert "0.001: 86.50, 0.002: 76.50" in told({"rate": own}) and "oracle" not in told({"rate": own})
    again = read_suite(tmp_path / "s.yaml")
    taken = [run for run in again.runs if run.block == "chosen"]
    assert not again.waiting and len(taken) == 8
    rates = {(run.method, json.loads(run.resolved[0].text)["OPTIM.LR"]) for run in taken}
    assert rates == {("CoOp", 0.001), ("PTNL", 0.004)}
    assert {run.variant for run in taken} == {"selected,LR=0.001", "selected,LR=0.004"}
    assert all(json.loads(run.resolved[0].text)["TEST.SPLIT"] == "test" for run in taken)
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_file()] == ["selected.yaml"]


def test_of_equal_values_the_published_one_is_taken_and_else_the_first(tmp_path):
    suite = suite_in(tmp_path, SELECT)
    finish(suite, lambda run: 70.1 + run.seed / 10)
    assert {each["chosen"] for each in choose(suite)["rate"]["methods"].values()} == {"0.002"}
    other = suite_in(tmp_path, {**SELECT, "select": {**GRID, "values": [0.004, 0.001]}})
    finish(other, lambda run: 70.1 + run.seed / 10)
    assert {each["chosen"] for each in choose(other)["rate"]["methods"].values()} == {"0.004"}


def test_an_unfinished_candidate_or_one_on_test_images_is_refused(tmp_path):
    suite = suite_in(tmp_path, SELECT)
    with pytest.raises(InputError, match="24 of 24 candidate runs of 'rate' not finished"):
        choose(suite)
    finish(suite, lambda run: 70.0, split="test")
    with pytest.raises(InputError, match="is of the images 'test', not 'val'"):
        choose(suite)
    assert not (tmp_path / "out" / "selected.yaml").exists()
    with pytest.raises(InputError, match="has no block with `select`"):
        choose(suite_in(tmp_path, PLAIN))


def test_a_choice_among_other_candidates_does_not_count(tmp_path):
    suite = suite_in(tmp_path, SELECT, TAKE)
    finish(suite, peak({"CoOp": "0.001", "PTNL": "0.004"}))
    write_choice(suite)
    assert not read_suite(tmp_path / "s.yaml").waiting
    assert read_suite(tmp_path / "s.yaml", seeds=(1,)).waiting == {"chosen": "rate"}
    wider = {**SELECT, "select": {**GRID, "values": [0.001, 0.002, 0.008]}}
    assert suite_in(tmp_path, wider, TAKE).waiting == {"chosen": "rate"}


@pytest.mark.parametrize("text", ["rate: 3\n", "rate: {candidates: x}\n", "- a\n", "rate: {methods: {CoOp: 1}}\n", "{"])
def test_a_damaged_choice_is_one_sentence(tmp_path, text, capsys):
    suite_in(tmp_path, SELECT, TAKE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "selected.yaml").write_text(text)
    assert bench(["plan", str(tmp_path / "s.yaml")]) == 2
    assert "selected.yaml is damaged; remove it" in capsys.readouterr().err


# ---------------------------------------------------------------------- oracle, published, shared runs


def test_what_is_chosen_by_test_accuracy_is_called_oracle(tmp_path):
    suite = suite_in(tmp_path, {**SELECT, "select": {**GRID, "by": "test"}}, {**TAKE, "shots": 8})
    assert all(json.loads(run.resolved[0].text)["TEST.SPLIT"] == "test" for run in suite.runs)
    finish(suite, peak({"CoOp": "0.001", "PTNL": "0.004"}), split="test")
    assert "(oracle: no result of a method without test labels)" in told(write_choice(suite))
    again = read_suite(tmp_path / "s.yaml")
    assert len(again.runs) == 24 + 8 and all(run.variant.startswith("oracle/") for run in again.runs)


def test_an_oracles_candidates_are_runs_that_other_blocks_may_have(tmp_path):
    suite = suite_in(tmp_path, {**SELECT, "select": {**GRID, "by": "test"}}, PLAIN, TAKE)
    assert len(suite.runs) == 24 and [len(tried) for tried in suite.tried.values()] == [24]
    finish(suite, lambda run: 90.0 if run.block == "plain" else 80.0, split="test")
    assert {each["chosen"] for each in write_choice(suite)["rate"]["methods"].values()} == {"0.002"}
    again = read_suite(tmp_path / "s.yaml")
    blocks = rows_of(again, []).groupby("block")["accuracy"].agg(["size", "mean"])
    assert list(blocks.loc["chosen"]) == list(blocks.loc["plain"]) == [8, 90.0] and blocks.loc["rate", "size"] == 24


def test_published_values_are_those_of_the_authors_config(tmp_path):
    suite = suite_in(tmp_path, {**B2N, "methods": ["CoCoOp"], "name": "theirs", "published": "OPTIM.LR"}, seeds=[1])
    (run,) = suite.runs
    assert json.loads(run.resolved[0].text)["OPTIM.LR"] == 0.002 and run.variant == "published,LR=0.002"


@pytest.mark.parametrize("first", [0, 1])
def test_a_published_value_of_training_leaves_methods_without_training_as_they_are(tmp_path, first):
    """Also beside a block that has the same runs: they are one, and shown under that block."""
    both = {"methods": ["ZeroshotCLIP", "TPT", "CoOp"], "datasets": ["digits"], "protocol": "few_shot"}
    theirs, plain = {**both, "name": "theirs", "published": "OPTIM.LR"}, {**both, "name": "plain"}
    suite = suite_in(tmp_path, theirs, seeds=[1])
    assert {run.method: run.variant for run in suite.runs} == {
        "ZeroshotCLIP": "", "TPT": "", "CoOp": "published,LR=0.002"
    }  # fmt: skip
    assert json.loads(suite.runs[0].resolved[0].text) == json.loads(suite_in(tmp_path, plain).runs[0].resolved[0].text)
    suite = suite_in(tmp_path, *[theirs, plain][first:], *[theirs, plain][:first], seeds=[1])
    runs = {run.method: run for run in suite.runs}
    assert len(suite.runs) == 3 and {run.block for run in suite.runs} == {"plain"}
    assert set(runs["ZeroshotCLIP"].blocks) == {"plain", "theirs"} and runs["ZeroshotCLIP"].blocks[0] == "plain"
    assert len(of_blocks(suite, ["theirs"]).runs) == len(of_blocks(suite, ["plain"]).runs) == 3
    half = {**B2N, "methods": ["ZeroshotCLIP"]}
    found = suite_in(
        tmp_path, {**half, "name": "theirs", "published": "OPTIM.LR"}, {**half, "name": "plain"}, seeds=[1]
    )
    (run,) = found.runs
    assert [step.protocol for step in run.job] == ["base2new_train", "base2new_test"] and run.block == "plain"
    with pytest.raises(InputError, match="is a run of block 2"):
        suite_in(tmp_path, theirs, plain, {**plain, "name": "again"}, seeds=[1])


def test_a_key_of_a_test_time_method_has_a_published_value(tmp_path):
    block = {"protocol": "test_time", "methods": ["ZeroshotCLIP", "TPT"], "datasets": ["digits"]}
    suite = suite_in(tmp_path, {**block, "name": "theirs", "published": "TRAINER.TTA.LR"}, seeds=[1])
    assert [bool(run.variant) for run in suite.runs] == [False, True]


def test_a_run_of_two_blocks_is_made_once_and_counts_for_both(tmp_path):
    """The chosen value of CoOp is the one of its config, so `plain` has that run already."""
    suite = suite_in(tmp_path, TAKE, SELECT, PLAIN)
    usual = {
        run.method: str(json.loads(run.resolved[0].text)["OPTIM.LR"]) for run in suite.runs if run.block == "plain"
    }
    finish(suite, peak({"CoOp": usual["CoOp"], "PTNL": "0.004"}))
    assert usual["CoOp"] == "0.002" and write_choice(suite)["rate"]["methods"]["CoOp"]["chosen"] == "0.002"
    again = read_suite(tmp_path / "s.yaml")
    assert {run.method for run in again.runs if run.block == "chosen"} == {"PTNL"}
    assert len({run.id for run in again.runs}) == len(again.runs) == 24 + 8 + 4 and len(again.same) == 4
    finish(again, lambda run: 60.0 if run.block == "plain" else 65.0, split="test")
    frame = rows_of(again, [], checked=False)
    rows = frame[frame["method"] == "CoOp"].groupby("block")["variant"].agg(["size", "first"])
    assert list(rows.loc["chosen"]) == [4, "selected,LR=0.002"] and list(rows.loc["plain"]) == [4, ""]
    assert set(frame[(frame["method"] == "CoOp") & (frame["block"] == "chosen")]["accuracy"]) == {60.0}


def test_a_published_run_keeps_its_folder_when_it_turns_out_to_be_chosen(tmp_path):
    """It is made while `chosen` waits, and `chosen` stands before it in the file."""
    published = {**TAKE, "name": "theirs", "published": "OPTIM.LR"}
    del published["selected"]
    suite = suite_in(tmp_path, TAKE, SELECT, published)
    before = {run.id: run.folders for run in suite.runs if run.block == "theirs"}
    finish(suite, peak({"CoOp": "0.002", "PTNL": "0.004"}))
    write_choice(suite)
    again = {run.id: run for run in read_suite(tmp_path / "s.yaml").runs}
    assert before and before.items() <= {id: run.folders for id, run in again.items() if run.block == "theirs"}.items()
    assert {run.method for run in again.values() if run.block == "chosen"} == {"PTNL"}


@pytest.mark.parametrize("first", [0, 1])
def test_a_run_that_validation_chose_too_is_not_called_oracle(tmp_path, first):
    cheat = {**SELECT, "name": "cheat", "select": {**GRID, "by": "test"}}
    takers = [TAKE, {**TAKE, "name": "seen", "selected": "cheat"}]
    suite = suite_in(tmp_path, *takers[first:], *takers[:first], SELECT, cheat)
    for block, split in (("rate", "val"), ("cheat", "test")):
        own = [run for run in suite.runs if block in run.blocks]
        finish(replace(suite, runs=own), peak({"CoOp": "0.002", "PTNL": "0.004"}), split)
    write_choice(suite)
    again = read_suite(tmp_path / "s.yaml")
    assert {run.variant.split(",")[0] for run in again.runs if run.block in ("chosen", "seen")} == {"selected"}
    assert {each[0] for also in again.same.values() for each in also} == {"seen", "cheat"}


def test_a_chosen_value_that_was_no_candidate_is_damage(tmp_path, capsys):
    suite = suite_in(tmp_path, SELECT, TAKE)
    finish(suite, peak({"CoOp": "0.002", "PTNL": "0.004"}))
    write_choice(suite)
    file = tmp_path / "out" / "selected.yaml"
    file.write_text(file.read_text().replace("chosen: '0.002'", "chosen: '0.9'"))
    assert bench(["plan", str(tmp_path / "s.yaml")]) == 2
    assert "selected.yaml is damaged; remove it" in capsys.readouterr().err


def test_the_last_of_two_commands_sees_that_all_is_done(tmp_path):
    """What the other had at work when this one came to it has ended since, so that this one goes on to the choice."""
    suite = suite_in(tmp_path, SELECT, seeds=[1])
    ends = {run.id: Outcome("elsewhere" if run is suite.runs[0] else "done") for run in suite.runs}
    finish(replace(suite, runs=suite.runs[1:]), lambda run: 60.0)
    assert local._report(suite, ends, interrupted=False, not_tried=1) == 1
    finish(suite, lambda run: 60.0)
    assert local._report(suite, ends, interrupted=False, not_tried=1) == 0
    assert local._report(suite, {**ends, suite.runs[1].id: Outcome("failed")}, interrupted=False, not_tried=0) == 1


# ---------------------------------------------------------------------- wrong suites


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"selected": "rat"}, "no block with select 'rat'"),
        ({"selected": "rate", "sweep": {"OPTIM.LR": [0.1]}}, "sweep and selected exclude each other"),
        ({"select": GRID, "methods": ["ZeroshotCLIP", "CoOp"]}, "ZeroshotCLIP does not read OPTIM.LR; leave"),
        ({"select": {"key": "TRAINER.COOP.W", "values": [1, 4]}, "methods": ["CoOp"]}, "CoOp does not read"),
        ({"selected": "rate", "methods": ["DPSEP"]}, "DPSEP is not in 'rate'"),
        ({"selected": "rate", "overrides": {"OPTIM.LR": 0.1}}, "OPTIM.LR of overrides is what the block chooses"),
        ({"select": {"key": "OPTIM.LR"}}, "give `values`, or `factors`"),
        ({"select": {"values": [1, 2]}}, "`key` is missing"),
        ({"select": {**GRID, "values": [0.1]}}, "two candidates at least"),
        ({"select": {**GRID, "values": [0.1, "1e-1"]}}, "is there twice"),
        ({"select": {**GRID, "by": "luck"}}, "no rule 'luck'"),
        ({"select": {"key": "OPTIM.LR", "factors": [0, 1]}}, "0 is no factor"),
        ({"select": {"key": "OPTIM.NAME", "factors": [1, 2]}}, "the published OPTIM.NAME of CoOp is 'sgd'"),
        ({"select": {"key": "OPTIM.RL", "values": [1, 2]}}, "OPTIM.RL"),
        ({"select": {"key": "TEST.SPLIT", "values": ["val", "test"]}}, "TEST.SPLIT says what is tested"),
        ({"select": {"key": "TEST.TEXT_NOISE.SEED", "values": [1, 2]}}, "TEST.TEXT_NOISE.SEED says what is tested"),
        ({"select": {"key": "DATASET.NOISE.VAL", "values": [True, False]}}, "DATASET.NOISE.VAL says what is tested"),
        ({"select": {"key": "TRAIN.PRINT_FREQ", "factors": [1, 2]}}, "TRAIN.PRINT_FREQ says what is tested, or"),
        ({"select": {"key": "OUTPUT_DIR", "values": ["a", "b"]}}, "OUTPUT_DIR in .*select contradicts the folder"),
        ({"select": {"key": "SEED", "values": [1, 2]}}, "SEED in .*select contradicts the folder"),
        ({"select": {"key": "DATASET.NUM_SHOTS", "values": [1, 2]}}, "DATASET.NUM_SHOTS in .*select contradicts"),
        ({"select": GRID, "datasets": ["imagenet"]}, "the validation images of imagenet are its test images"),
        ({"select": GRID, "overrides": {"TEST.SPLIT": "test"}}, "TEST.SPLIT of overrides"),
        ({"select": GRID, "methods": ["CoOp"], "protocol": "adversarial", "types": None, "eps": 1, "steps": 1},
         "choose on clean images"),
        ({"published": "OPTIM.RL"}, "OPTIM.RL"),
        ({"published": "OPTIM.LR", "overrides": {"OPTIM.LR": 0.1}}, "OPTIM.LR of overrides"),
    ],
)  # fmt: skip
def test_wrong_suites_are_one_sentence(tmp_path, change, said):
    block = {key: value for key, value in ({**NOISE, "name": "wrong"} | change).items() if value is not None}
    with pytest.raises(InputError, match=said) as caught:
        suite_in(tmp_path, SELECT, block)
    assert "\n" not in str(caught.value) and "s.yaml" in str(caught.value)


def test_the_command_line_cannot_set_what_is_chosen(tmp_path):
    suite_in(tmp_path, SELECT, TAKE)
    with pytest.raises(InputError, match="OPTIM.LR of the command line"):
        read_suite(tmp_path / "s.yaml", pairs=("OPTIM.LR", "0.1"))


# ---------------------------------------------------------------------- the commands, on real runs


def test_one_command_runs_candidates_chooses_and_runs_the_rest(tmp_path, tiny, capsys):
    block = {**B2N, "methods": ["CoOp"], "shots": 4}
    rate = {**block, "name": "rate", "select": {"key": "TRAINER.COOP.N_CTX", "values": [1, 4]}}
    here = Here(tmp_path, tiny, [rate, {**block, "name": "chosen", "selected": "rate"}])
    assert bench(here.arguments("plan")) == 0
    assert "chosen waits for the choice of 'rate'" in capsys.readouterr().out
    code, text = here.finish("--jobs", "2")
    assert code == 0, text
    tree = yaml.safe_load((here.out / "selected.yaml").read_text())["rate"]["methods"]["CoOp"]
    scores = {value: json.loads(next(here.out.glob(f"variants/select/rate,N_CTX={value}/**/results.json")).read_text())
              for value in ("1", "4")}  # fmt: skip
    assert tree["scores"] == {value: record["results"]["accuracy"] for value, record in scores.items()}
    assert all(record["split"] == "val" and record["results"]["total"] == 3 * 2 for record in scores.values())
    assert set(here.states().values()) == {"done"} and len(here.suite.runs) == 3 and not here.suite.waiting
    assert [each.state for each in survey(here.suite.runs).values()] == ["done"] * 3
    assert bench(here.arguments("select")) == 0 and "chosen" in capsys.readouterr().out

    code, text = here.finish("--jobs", "2", "--output", str(tmp_path / "again"), "--from", str(here.out))
    assert code == 0 and text.count(f"{here.out}: ") == 2, "candidates, and after the choice what took its value"
    assert "2 finished runs taken" in text and "1 finished run taken" in text and "1 of 1 runs" not in text
