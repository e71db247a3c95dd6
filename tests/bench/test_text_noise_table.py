"""The study of noise in the text: losses by kind and strength, and the comparison of one method with the others."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from study_runs import finish, suite_of

from bench.studies import door, text_noise
from bench.studies.text_noise import ALL, STUDY, conditions_of, less, losses, sections, statement

WORDS = ("--methods", "ZeroshotCLIP", "CoOp", "ANPrompt", "--datasets", "digits", "textures")
LOSS = {"ZeroshotCLIP": 6.0, "CoOp": 4.0, "ANPrompt": 2.0}  # by each kind at its first strength


def accuracy(step) -> float:
    """Clean 80 (zero-shot CLIP 70); noise takes the method's loss times 1, 2, 3 by strength, and half a point by seed;
    wrong sentences take 10 points of new classes times the rate."""
    clean = 70.0 if step.method == "ZeroshotCLIP" else 80.0 + step.seed
    if step.protocol == "text_noise_test":
        kind, strength = step.settings.pairs[:2]
        order = {"typo": ["0.1", "0.2", "0.4"], "distractor": ["1", "2", "4"], "embedding": ["0.2", "0.4", "0.8"]}
        by_seed = 0.5 * step.seed if step.method == "CoOp" else 0.0
        return clean - LOSS[step.method] * (1 + order[kind].index(strength)) - by_seed
    if step.protocol == "base2new_test":
        return 60.0 - 10 * float(
            dict(zip(step.settings.pairs[::2], step.settings.pairs[1::2], strict=True))["LANGUAGE.WRONG_RATE"]
        )
    return clean


@pytest.fixture
def runs(tmp_path):
    suite = suite_of(STUDY, *WORDS, output=tmp_path / "out")
    finish(suite, accuracy)
    return suite


def command(tmp_path, *words):
    return door.main(STUDY, [*WORDS, "--output", str(tmp_path / "out"), "--tables-only", *words])


def test_losses_of_each_kind_and_strength(runs):
    found = losses(STUDY.rows(runs, [], False))
    assert list(found) == ["ZeroshotCLIP", "CoOp", "ANPrompt"]
    conditions = conditions_of(found)
    assert len(conditions) == 10 and conditions[-1] == ALL and conditions[0] == ("typo", 0.1)
    cells = {(dataset, seed) for dataset in ("digits", "textures") for seed in (1, 2, 3)}
    for own in found.values():
        assert all(own[each].keys() == cells for each in conditions)  # zero-shot CLIP's clean test is of one seed
    assert found["ANPrompt"]["embedding", 0.8] == dict.fromkeys(cells, 6.0)
    assert found["CoOp"]["typo", 0.2]["digits", 2] == 9.0
    assert found["CoOp"][ALL]["digits", 2] == pytest.approx(np.mean([5, 9, 13]))


def test_one_method_beside_the_others(runs):
    found = losses(STUDY.rows(runs, [], False))
    assert less(found, "ANPrompt", "CoOp", ("typo", 0.1)) == {
        (dataset, seed): 2.0 - 4.0 - 0.5 * seed for dataset in ("digits", "textures") for seed in (1, 2, 3)
    }
    lost, apart = sections(found, "ANPrompt")
    assert lost.headers == ["kind", "strength", "ZeroshotCLIP", "CoOp", "ANPrompt"]
    assert lost.rows[0][:3] == ["typo", "0.1", "+6.00 [+6.00, +6.00]"] and lost.rows[-1][0] == "all of these"
    assert apart.headers == ["kind", "strength", "ZeroshotCLIP", "CoOp"]
    assert apart.rows[0][3].startswith("-3.00 [-3.") and apart.rows[0][2] == "-4.00 [-4.00, -4.00]"
    said = statement(found, "ANPrompt", "CoOp")
    assert "ANPrompt loses less than CoOp under 9 of 9 kinds and strengths, more under 0" in said
    assert re.search(r"Over all of them it loses less: -5\.00 points \[-5\.\d\d, -4\.\d\d\]", said)
    assert "more under 9" in statement(found, "CoOp", "ANPrompt") and "it loses more" in statement(
        found, "CoOp", "ANPrompt"
    )
    same = dict.fromkeys(("A", "B"), found["CoOp"])
    assert "under 0 of 9 kinds and strengths, more under 0" in statement(same, "A", "B")
    assert "is not told apart" in statement(same, "A", "B")


def test_the_command(runs, tmp_path, capsys):
    page = tmp_path / "table.md"
    assert command(tmp_path, "--markdown", str(page)) == 0
    for text in (capsys.readouterr().out, page.read_text()):
        assert "Accuracy lost by noise in the text of a test" in text and "ANPrompt beside the others" in text
        assert "- ANPrompt loses less than CoOp under 9 of 9" in text
        assert "Training under sentences of other classes" in text
    (row,) = [line for line in page.read_text().splitlines() if re.match(r"\| ANPrompt +\| 0.8", line)]
    hm = [2 * (80 + s) * 60 / (140 + s) - 2 * (80 + s) * 52 / (132 + s) for s in (1, 2, 3)]
    assert "52.00 ± 0.00" in row and f"{np.mean(hm):+.2f} [" in row
    assert command(tmp_path, "--of", "CoOp") == 0
    assert "CoOp beside the others" in capsys.readouterr().out


def test_a_test_that_is_missing_is_named(runs, tmp_path, capsys):
    (gone,) = (tmp_path / "out").rglob("text_noise/digits/typo-0.2/shots_16/CoOp/embedded/seed2/results.json")
    gone.unlink()
    assert command(tmp_path) == 1
    said = capsys.readouterr()
    assert "CoOp lacks 1 of the tests that others have, such as typo 0.2 on Digits, seed 2." in said.err
    found = losses(STUDY.rows(runs, [], False))
    assert ("digits", 2) not in found["CoOp"][ALL] and ("digits", 2) in found["ANPrompt"][ALL]


def test_nothing_to_show(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    assert text_noise.main([*WORDS, "--output", str(tmp_path / "out"), "--tables-only"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_runs_that_collapsed_are_marked_in_all_three_tables(runs, tmp_path):
    for run in runs.runs:
        for step, folder in zip(run.job, run.folders, strict=True):
            if (step.method, step.dataset, step.seed) != ("ANPrompt", "digits", 2):
                continue
            if step.protocol == "few_shot" or (step.protocol == "base2new_train" and "0.8" in step.settings.pairs):
                file = folder / "results.json"
                file.write_text(json.dumps(json.loads(file.read_text()) | {"collapsed": True}))
    assert command(tmp_path, "--markdown", str(tmp_path / "t.md")) == 0
    tables = (tmp_path / "t.md").read_text().split("## ")[1:]
    lost, beside, wrong = ([line for line in table.splitlines() if "‡" in line] for table in tables)
    assert len(lost) == 10 and all(line.count("‡") == 1 and line.rstrip(" |").endswith("‡") for line in lost)
    assert len(beside) == 10 and all(line.count("‡") == 2 for line in beside), "its pair with either other method"
    assert wrong[0].count("‡") == 3 and " 0.8 " in wrong[0] and "digits: 1 of 3 seeds" in wrong[-1]
