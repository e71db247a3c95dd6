"""--from OUTPUT: finished runs of another output folder are taken, whatever they are called there, and nothing else."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from study_runs import finish, run_study, suite_of, with_settings

from bench.__main__ import main
from bench.reading.collect import collect
from bench.running.state import claim, survey
from bench.running.taking import take
from bench.studies import sar
from bench.studies.claims import STUDY as CLAIMS
from bench.suites.suite import read_suite
from dassl.utils import InputError
from runs.about import about_arguments

SETS = ("--datasets", "digits", "--seeds", "1", "2")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def finished(suite):
    finish(suite, lambda step: 60.0 + step.seed)
    with_settings(suite)
    for run in suite.runs:
        (run.folders[0] / "prompt_learner").mkdir()
        (run.folders[0] / "prompt_learner/model.pth.tar-1").write_bytes(b"weights")
    return suite


def states(suite) -> list[str]:
    return [found.state for found in survey(suite.runs).values()]


def ablation(output: str):
    return suite_of(sar.STUDY, "ablation", *SETS, output=output)


def test_runs_of_another_study_are_taken_under_their_own_names(here):
    claims = finished(suite_of(CLAIMS, "--papers", "SAR", "--seeds", "1", "2", output="output/claims"))
    mine = suite_of(sar.STUDY, "words", *SETS, output="output/mine")  # lists, WordNet, the real names
    assert take(mine, ["output/claims"]) == 2 and sorted(states(mine)) == ["done"] * 2 + ["pending"] * 4
    steps = ablation("output/steps")
    assert take(steps, ["output/claims"]) == len(steps.runs) and set(states(steps)) == {"done"}
    shutil.rmtree("output/claims")
    assert set(states(steps)) == {"done"}, "the copies stand alone"
    for run in steps.runs:
        assert (run.folders[0] / "prompt_learner/model.pth.tar-1").read_bytes() == b"weights"
    assert len(claims.runs) > len(steps.runs) and take(steps, ["output/mine"]) == 0, "what is done is not taken again"


def test_unpacked_archives_are_taken_wherever_they_lie(here):
    theirs = finished(ablation("output/a"))
    assert main(["pack", "output/a", "a.tar.xz"]) == 0
    shutil.rmtree("output")
    shutil.unpack_archive("a.tar.xz", ".", filter="data")
    os.rename("output/a", "moved")
    mine = ablation("output/b")
    assert take(mine, ["moved"]) == len(theirs.runs) and set(states(mine)) == {"done"}


def test_a_variant_is_known_by_its_settings_and_not_by_its_name(here):
    block = "{name: a, protocol: base2new, methods: CoOp, datasets: digits, variant: NAME, overrides: {OPTIM.LR: 0.5}}"
    for name in ("slow", "fast", "third"):
        text = f"name: {name}\nvariants: .\nseeds: [1]\nblocks:\n  - {block}\n"
        Path(f"{name}.yaml").write_text(text.replace("NAME", name))
    for run in finished(read_suite("slow.yaml")).runs:  # with the place in tables that a run records
        for step, folder in zip(run.job, run.folders, strict=True):
            file = folder / "results.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | about_arguments(step.planned(run.epochs))))
    fast = read_suite("fast.yaml")
    assert "fast" in fast.runs[0].folders[0].parts and take(fast, ["output/slow"]) == 1 and states(fast) == ["done"]
    frame = collect(Path("output/fast"))
    assert set(frame["variant"]) == {"fast"}, "tables show it as a run of this suite"
    assert set(frame["accuracy"]) == {61.0} and set(collect(Path("output/slow"))["variant"]) == {"slow"}
    shutil.rmtree("output/slow")
    third = read_suite("third.yaml")
    assert take(third, ["output/fast"]) == 1 and states(third) == ["done"], "what was taken can be taken again"


def test_other_settings_damage_and_half_a_run_are_not_taken(here):
    theirs = finished(ablation("output/a"))
    coop = [run for run in theirs.runs if run.method == "CoOp"]
    (coop[0].folders[1] / "results.json").unlink()  # without its test
    (coop[1].folders[0] / "results.json").write_text("{")
    older = next(run for run in theirs.runs if run.method != "CoOp").folders[0] / "results.json"
    older.write_text(json.dumps(json.loads(older.read_text()) | {"protocol": "base2new", "protocol_version": 9}))
    mine = ablation("output/b")
    assert take(mine, ["output/a"]) == len(mine.runs) - 3
    older.write_text(json.dumps(json.loads(older.read_text()) | {"protocol_version": 1}))
    assert take(mine, ["output/a"]) == 1
    left = [run for run in mine.runs if survey([run])[run.id].state == "pending"]
    assert {run.id for run in left} == {run.id for run in coop} and not any(run.folders[0].exists() for run in left)
    other = suite_of(sar.STUDY, "ablation", "OPTIM.MAX_EPOCH", "3", *SETS, output="output/c")
    assert take(other, ["output/a"]) == 0 and set(states(other)) == {"pending"}


def test_what_was_begun_here_goes_on_here(here):
    finished(ablation("output/a"))
    mine = ablation("output/b")
    begun, held = mine.runs[:2]
    begun.folders[0].mkdir(parents=True)
    (begun.folders[0] / "log.txt").write_text("epoch 1")
    held.home.mkdir(parents=True)
    with claim(held) as locked:
        assert locked and take(mine, ["output/a"]) == len(mine.runs) - 2
    assert [path.name for path in begun.folders[0].iterdir()] == ["log.txt"] and not held.folders[0].exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_disk_that_is_full_leaves_nothing_half(here, monkeypatch, number):
    finished(ablation("output/a"))
    mine = ablation("output/b")

    def full(source, target):
        Path(target).mkdir()
        raise OSError(number, os.strerror(number), str(target))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", full)
        with pytest.raises(InputError, match="Cannot write"):
            take(mine, ["output/a"])
    assert not [path for path in Path("output/b").rglob("*") if path.name.startswith((".seed", "seed"))]
    assert take(mine, ["output/a"]) == len(mine.runs), "the same command goes on"


def test_a_command_with_it_computes_nothing_and_prints_the_same_table(here, capsys):
    finished(ablation("output/a"))
    assert sar.main(["ablation", "--tables-only", *SETS, "--output", "output/a"]) == 0
    table = capsys.readouterr().out.split("\nLogs")[0]
    code, text = run_study(sar.STUDY, ["ablation", *SETS, "--from", "output/a", "--output", "output/b"])
    assert code == 0 and table.strip() in text and "output/a: 8 finished runs taken" in text and "0 to do" in text
    record = json.loads(next(Path("output/b").rglob("results.json")).read_text())
    assert record["results"]["accuracy"] in (61.0, 62.0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "nowhere"], "--from nowhere: there is no such folder; name output folders of other runs."),
        (["--from", "output/b"], "--from output/b is the suite's own folder, whose runs count anyhow; leave it out."),
        (["plan", "--from", "output/a"], "--from copies runs, and plan nothing; leave one out."),
        (["--tables-only", "--from", "output/a"], "--from copies runs, and --tables-only nothing; leave one out."),
    ],
)
def test_bad_words_are_one_sentence(here, capsys, words, said):
    Path("output/a").mkdir(parents=True)
    Path("output/b").mkdir()
    assert sar.main(["ablation", *words, *SETS, "--output", "output/b"]) == 2
    assert said in capsys.readouterr().err and not list(Path("output/b").iterdir())


def test_a_suite_says_the_same(here, capsys):
    Path("mine.yaml").write_text(
        "name: mine\nseeds: [1]\nblocks:\n  - {name: a, protocol: few_shot, methods: CoOp, datasets: digits}\n"
    )
    assert main(["run", "mine.yaml", "--from", "nowhere"]) == 2
    assert "--from nowhere: there is no such folder" in capsys.readouterr().err and not Path("output").exists()
