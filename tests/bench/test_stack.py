"""`python -m bench run --stack R`: several runs trained at once, each with what it leaves when it is alone."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest
from submitit.core.utils import DelayedSubmission
from suite_files import Here, nothing_stays, wait_for  # noqa: F401  the fixture

from bench.__main__ import main
from bench.running.stacking import stacked
from bench.running.work import work

NOISE = {
    "protocol": "noise",
    "datasets": ["digits"],
    "shots": 4,
    "methods": ["PTNL"],
    "types": {"sym_other": [0.25, 0.5]},
}
FEW = {"protocol": "few_shot", "datasets": ["digits"], "shots": 4}
PAIRS = {"overrides": {"OPTIM.LR": 0.002}}


def records(here: Here) -> dict[str, dict]:
    return {
        str(file.parent.relative_to(here.out)): json.loads(file.read_text()) for file in here.out.rglob("results.json")
    }


@pytest.fixture(scope="module")
def both(tiny, tmp_path_factory):
    """A suite run one by one and stacked: methods, seeds, rates and types of noise, weight decays."""
    blocks = [
        NOISE | PAIRS, FEW | PAIRS | {"name": "few", "methods": ["KgCoOp", "MaPLe"]},
        FEW | {"name": "rates", "methods": ["CoOp"], "sweep": {"OPTIM.WEIGHT_DECAY": [0.0005, 0.05]}},
    ]  # fmt: skip
    found = []
    for options in ([], ["--stack", "4"]):
        here = Here(tmp_path_factory.mktemp("s"), tiny, blocks, epochs=2, seeds=[1, 2])
        code, text = here.finish("--jobs", "1", *options)
        assert code == 0, text
        found.append(here)
    return found


def test_each_run_has_its_own_results(both):
    alone, at_once = both
    assert alone.results() == at_once.results()
    names = lambda here: sorted(str(file.relative_to(here.out)) for file in here.out.rglob("*") if file.is_file())  # noqa: E731
    strip = lambda found: {re.sub(r"events\.out.*", "events", name) for name in found}  # noqa: E731
    assert strip(names(alone)) == strip(names(at_once))
    for folder, record in records(at_once).items():
        assert f"seed: {record['seed']}" in (log := (at_once.out / folder / "log.txt").read_text()), log
        assert log.count("** Config **") == 1 and log.count("Finish training") == 1


def test_the_passes_are_shared(both):
    alone, at_once = both
    assert not any("stack" in record for record in records(alone).values())
    found = {folder: record["stack"] for folder, record in records(at_once).items() if record["trainer"] != "MaPLe"}
    assert not any("stack" in record for record in records(at_once).values() if record["trainer"] == "MaPLe")
    assert {stack["runs"] for stack in found.values()} == {2, 4}
    asked = sum(stack["text_passes"] for stack in found.values())
    made = sum(stack["of_them_made"] for stack in found.values())
    steps = {stack["text_passes"] for stack in found.values()}
    assert len(steps) == 1 and asked == len(found) * steps.pop()
    assert made == asked * 3 // len(found)  # three stacks: two rates and two seeds of PTNL, KgCoOp, CoOp


def test_a_run_that_diverges_leaves_the_others_alone(both, tiny, tmp_path):
    block = FEW | {"name": "rates", "methods": ["CoOp"], "sweep": {"OPTIM.WEIGHT_DECAY": [0.0005, 1e30]}}
    here = Here(tmp_path, tiny, [block], epochs=2, seeds=[1, 2])
    code, text = here.finish("--jobs", "1", "--stack", "4")
    assert code == 1 and text.count("Loss is infinite or NaN") == 2, text
    assert sorted(here.states().values()) == ["done", "done", "failed", "failed"]
    key = lambda record: (record["trainer"], record["seed"], record["config"]["OPTIM"]["WEIGHT_DECAY"])  # noqa: E731
    expected = {key(record): record["results"] for record in records(both[0]).values()}
    for record in records(here).values():
        assert record["results"] == expected[key(record)] and record["stack"]["runs"] == 4
    failed = [run for run in here.suite.runs if here.states()[run.id] == "failed"]
    assert all("OPTIM.WEIGHT_DECAY 1e+30" in run.command() for run in failed)


def long_suite(tiny, folder) -> Here:
    return Here(folder, tiny, [FEW | PAIRS | {"methods": ["CoOp"]}], epochs=30, seeds=[1, 2, 3])


def test_interrupted_and_resumed(tiny, tmp_path_factory):
    whole, here = (long_suite(tiny, tmp_path_factory.mktemp(name)) for name in ("whole", "stopped"))
    process = here.start("--jobs", "1", "--stack", "3")
    wait_for(lambda: "epoch [3/30]" in "".join(file.read_text() for file in here.out.rglob("log.txt")), process)
    os.killpg(process.pid, signal.SIGINT)
    text = process.text()
    assert process.returncode == 130 and "interrupted" in text and "Traceback" not in text, text
    assert set(here.states().values()) == {"pending"} and not list((here.out / ".bench").glob("*.failed.json"))
    logs = [file.read_text() for file in here.out.rglob("log.txt")]
    assert len([log for log in logs if re.search(r"SIGTERM: stopped after epoch \d+, which is saved", log)]) == 3
    assert len(list(here.out.rglob("checkpoint"))) == 3
    (one, *_) = here.suite.runs
    assert work(one).how == "done"  # what was begun at once can be finished alone
    assert here.finish("--jobs", "1", "--stack", "3")[0] == 0
    assert whole.finish("--jobs", "1")[0] == 0
    assert here.results() == whole.results()
    assert {record["stack"]["runs"] for record in records(here).values() if "stack" in record} == {2}


def test_after_the_death_of_a_worker_its_runs_are_run_alone(tiny, tmp_path):
    here = long_suite(tiny, tmp_path)
    process = here.start("--jobs", "1", "--stack", "2")
    wait_for(lambda: list(here.out.rglob("log.txt")), process)
    (worker,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(worker), signal.SIGKILL)
    text = process.text()
    assert process.returncode == 0 and "and 1 more: the worker process was killed by SIGKILL" in text, text
    assert len(here.results()) == 3 and set(here.states().values()) == {"done"}


def test_slurm_tasks_are_stacks(both, tiny, tmp_path, monkeypatch):
    """Programs in the place of Slurm's take the jobs; what a task was given is then run as the task would."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, body in {"srun": "", "sbatch": "echo Submitted batch job 5", "scontrol": "", "squeue": ""}.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    here = Here(tmp_path, tiny, [NOISE | PAIRS, FEW | PAIRS | {"methods": ["MaPLe"]}], epochs=2, seeds=[1, 2])
    assert main(here.arguments("run", "--launcher", "slurm", "--time", "60", "--pack", "4", "--stack", "4")) == 0
    home = here.out / ".bench" / "slurm"
    noted = json.loads((home / "runs-5.json").read_text())["tasks"]
    assert [len(ids) for ids in noted.values()] == [4, 2]  # the stack of PTNL, and MaPLe, which runs alone
    for pickled in sorted(home.glob("*_submitted.pkl")):
        name, _, *words = DelayedSubmission.load(pickled).args[0]
        assert name == "work" and words[words.index("--stack") + 1] == "4"
        code, text = here.finish(*words[words.index("--stack") :], name=name)
        assert code == 0, text
    assert set(here.states().values()) == {"done"}
    sizes = {record["trainer"]: record.get("stack", {}).get("runs") for record in records(here).values()}
    assert sizes == {"PTNL": 4, "MaPLe": None}
    alone = both[0].results()
    assert all(found == alone[folder] for folder, found in here.results().items() if folder in alone)


def test_what_is_trained_at_once(both, tiny, tmp_path):
    runs = both[0].suite.runs
    for size in (1, 2, 3):
        groups = stacked(runs, size)
        assert {run.id for group in groups for run in group} == {run.id for run in runs}
        assert max(map(len, groups)) == size and all(len(group) == 1 for group in groups if group[0].method == "MaPLe")
        assert all(len({run.method for run in group}) == 1 for group in groups)
    other = [{}, {"OPTIM.MAX_EPOCH": 4}, {"TRAINER.COOP.N_CTX": 8}, {"DATALOADER.TRAIN_X.BATCH_SIZE": 2}]
    blocks = [
        FEW | {"name": f"b{i}", "variant": f"b{i}", "methods": ["CoOp"], "overrides": each}
        for i, each in enumerate(other)
    ]
    assert len(stacked(Here(tmp_path, tiny, blocks).suite.runs, 8)) == len(other)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--stack", "0"], "--stack is 0, but must be at least 1."),
        (["--stack", "-2", "--launcher", "slurm"], "--stack is -2, but must be at least 1."),
    ],
)
def test_what_is_refused(both, capsys, options, said):
    assert main(both[0].arguments("run", *options)) == 2
    assert said in capsys.readouterr().err
