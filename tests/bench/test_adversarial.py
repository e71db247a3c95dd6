"""The sweep under attack: which evaluations it stands for, its tables, and its plots."""

from __future__ import annotations

import json

import pytest

from bench.studies import adversarial, adversarial_plots
from bench.studies.adversarial_plan import Point, RobustStep, Sweep
from bench.studies.adversarial_tables import NOTE, curves, read, sections
from bench.suites.step import Step
from dassl.utils import InputError
from runs.protocols import Settings
from runs.robust_protocol import MODES

METHODS = ("ZeroshotCLIP", "CoOp", "RTPT")


def sweep(**changes) -> Sweep:
    values = {
        "methods": METHODS, "datasets": ["digits"], "attacks": ["pgd", "aa"], "eps": [1.0, 4.0], "steps": [7, 20],
        "modes": ["T", "W", "A"], "seeds": [1, 2], "subset": 40,
    }  # fmt: skip
    return Sweep(**(values | changes))


def accuracy(method: str, point: Point, kind: str, seed: int) -> float:
    start = {"ZeroshotCLIP": 70.0, "CoOp": 80.0, "RTPT": 75.0}[method] + seed
    fall = {"clean": 0, "transfer": 2, "white-box": 4, "adaptive": 4, "worst case": 5}[kind]
    return start - fall * point.eps - (point.steps > 7) * (kind != "clean")


def write(s: Sweep, output, changed=None, failed=False) -> Settings:
    """Pretends that all evaluations are finished."""
    settings = Settings(output=str(output), pairs=("ATTACK.SEED", "3"))
    for method in s.methods:
        for dataset in s.datasets:
            for point in s.points(dataset):
                for seed in s.seeds_of(method):
                    step = s.step(method, point, seed, settings)
                    mode = MODES[step.settings.pairs[2]]
                    kinds = {"clean", "transfer", mode, "worst case"}
                    figures = {k: {"accuracy": (changed or accuracy)(method, point, k, seed)} for k in kinds}
                    checks = [{"code": "S9", "name": "inputs have gradients", "passed": not failed, "detail": "why"}]
                    label = "dynamic+random" if method == "RTPT" else "static"
                    report = {"figures": figures, "label": label, "images": 40, "mode": mode, "attack": point.attack,
                              "checks": checks}  # fmt: skip
                    step.folder.mkdir(parents=True, exist_ok=True)
                    (step.folder / "results.json").write_text(json.dumps(report))
    return settings


def test_points_are_two_curves_and_not_a_grid():
    found = [(p.attack, p.eps, p.steps) for p in sweep().points("digits")]
    assert found == [("pgd", 1.0, 20), ("pgd", 4.0, 20), ("pgd", 4.0, 7), ("aa", 1.0, 100), ("aa", 4.0, 100)]


def test_each_method_has_one_evaluation_an_attack():
    s = sweep()
    assert [s.mode(m, "pgd") for m in METHODS] == ["W", "W", "A"]
    assert [s.mode(m, "aa") for m in METHODS] == ["W", "W", "T"]
    assert [sweep(modes=["T"]).mode(m, "pgd") for m in METHODS] == ["T", "T", "T"]
    assert sweep(modes=["W"]).mode("RTPT", "pgd") is None


def test_jobs_train_first_and_train_without_attack_keys():
    jobs = sweep().jobs(Settings(output="out", pairs=("OPTIM.MAX_EPOCH", "2", "ATTACK.SEED", "3")))
    flat = [step for job in jobs for step in job]
    assert len(set(flat)) == len(flat) == 5 + 2 * (1 + 5) + 2 * 5  # zero-shot CLIP once, CoOp with its training
    coop = next(job for job in jobs if job[0].method == "CoOp")
    assert type(coop[0]) is Step and coop[0].protocol == "few_shot"
    assert coop[0].settings.pairs == ("OPTIM.MAX_EPOCH", "2")
    assert all(isinstance(step, RobustStep) and step.settings.pairs[-2:] == ("ATTACK.SEED", "3") for step in coop[1:])
    assert coop[1].settings.pairs[:7] == ("1", "20", "W", "ATTACK.NAME", "pgd", "ATTACK.SUBSET", "40")
    assert len({step.folder for step in flat if isinstance(step, RobustStep)}) == 25


def test_tables_keep_modes_apart(tmp_path):
    s = sweep()
    found = read(s, write(s, tmp_path))
    pgd, aa = sections(found)
    assert pgd.title == "pgd, 20 steps: digits (40 images)" and aa.note == NOTE
    row = {(r[0], r[4]): dict(zip(pgd.headers, r, strict=True)) for r in pgd.rows}
    assert list(row) == [
        ("ZeroshotCLIP", "transfer"), ("ZeroshotCLIP", "white-box"), ("ZeroshotCLIP", "worst"),
        ("CoOp", "transfer"), ("CoOp", "white-box"), ("CoOp", "worst"),
        ("RTPT", "transfer"), ("RTPT", "adaptive"), ("RTPT", "worst"),
    ]  # fmt: skip
    assert row["CoOp", "transfer"]["clean"] == "81.5 ± 0.7" and row["CoOp", "transfer"]["drop"] == "+10.5"
    assert row["CoOp", "transfer"]["eps 4"] == "72.5 ± 0.7" and row["CoOp", "white-box"]["eps 4"] == "64.5 ± 0.7"
    assert row["RTPT", "adaptive"]["eps 4, 7 steps"] == "60.5 ± 0.7"
    assert row["RTPT", "adaptive"]["kind"] == "dynamic+random" and row["ZeroshotCLIP", "white-box"]["eps 1"] == "66.0"
    assert {(r[0], r[4]) for r in aa.rows if r[0] == "RTPT"} == {("RTPT", "transfer"), ("RTPT", "worst")}
    assert found.failed == []


def test_averages_over_datasets_take_seeds_that_have_them_all(tmp_path):
    s = sweep(datasets=["digits", "textures"], attacks=["pgd"], steps=[20])
    settings = write(s, tmp_path)
    (s.step("CoOp", Point("textures", "pgd", 4.0, 20), 2, settings).folder / "results.json").unlink()
    table = sections(read(s, settings))[-1]
    assert table.title == "pgd, 20 steps: digits (40 images), textures (40 images)"
    row = next(dict(zip(table.headers, r, strict=True)) for r in table.rows if r[0] == "CoOp" and r[4] == "white-box")
    assert row["eps 4"] == "64.0" and row["eps 1"] == "76.5 ± 0.7"


def test_accuracy_that_rises_is_told(tmp_path):
    s = sweep(attacks=["pgd"])

    def rising(method, point, kind, seed):
        return accuracy(method, point, kind, seed) + 30 * (kind == "white-box" and point.eps == 4 and method == "CoOp")

    found = read(s, write(s, tmp_path, rising))
    assert len(found.failed) == 1 and found.failed[0].startswith("CoOp, digits, white-box pgd: S3")


def test_failed_checks_are_told(tmp_path):
    s = sweep(attacks=["pgd"], methods=["CoOp"], steps=[20], seeds=[1])
    found = read(s, write(s, tmp_path, failed=True))
    assert len(found.failed) == 2 and "S9 inputs have gradients failed (why)" in found.failed[0]


def test_curves_and_plots(tmp_path):
    s = sweep()
    found = read(s, write(s, tmp_path / "runs"))
    by_eps, by_steps = curves(found, "CoOp", "digits", "pgd", "white-box")
    assert {k: v[0] for k, v in by_eps.items()} == {0.0: 81.0, 1.0: 76.0, 4.0: 64.0}
    assert {k: v[0] for k, v in by_steps.items()} == {7: 65.0, 20: 64.0}
    files = adversarial_plots.plot(found, tmp_path / "plots")
    assert sorted(f.name for f in files) == [
        "accuracy_eps.pdf", "accuracy_eps.png", "accuracy_steps.pdf", "accuracy_steps.png",
    ]  # fmt: skip
    assert all(f.stat().st_size > 5000 for f in files)


@pytest.mark.parametrize(
    "changes", [{"attacks": ["pdg"]}, {"attacks": ["cw-l2"]}, {"modes": ["X"]}, {"eps": [0.0]}, {"steps": [0]}]
)
def test_sweeps_that_cannot_be_are_refused(changes):
    with pytest.raises(InputError):
        sweep(**changes)


def test_the_command_prints_what_is_there(tmp_path, capsys):
    s = sweep(attacks=["pgd"], methods=["ZeroshotCLIP", "CoOp"])
    write(s, tmp_path / "runs")
    argv = ["--methods", "ZeroshotCLIP", "CoOp", "--eps", "1", "4", "--steps", "7", "20", "--seeds", "1", "2",
            "--subset", "40", "--output", str(tmp_path / "runs"), "--tables-only",
            "--markdown", str(tmp_path / "t.md")]  # fmt: skip
    assert adversarial.main(argv) == 0
    assert "64.5 ± 0.7" in capsys.readouterr().out and "64.5 ± 0.7" in (tmp_path / "t.md").read_text()
    assert adversarial.main([*argv[:-3], "--output", str(tmp_path / "none"), "--tables-only"]) == 2
