"""The study under attack: which evaluations it stands for, its tables, and its plots."""

from __future__ import annotations

import json

import pytest
from result_files import write_attacked, write_result
from study_runs import suite_of

from bench.reading.layout import names_of_configs
from bench.studies import adversarial, adversarial_plots
from bench.studies.adversarial import STUDY
from bench.studies.adversarial_tables import Point, curves, read, sections
from bench.studies.rows import rows_of
from bench.suites.robust_step import RobustStep, mode_of
from bench.suites.step import Step
from dassl.utils import InputError

METHODS = ("ZeroshotCLIP", "CoOp", "RTPT")
WORDS = ["--attacks", "pgd", "aa", "--eps", "1", "4", "--steps", "7", "20", "--seeds", "1", "2", "--subset", "40"]


def words(methods=METHODS, **changes) -> list[str]:
    found = [*WORDS, "--methods", *methods, "--datasets", "digits"]
    for key, values in changes.items():
        found += [f"--{key}", *values]
    return found


def accuracy(method: str, eps: float, steps: int, kind: str, seed: int) -> float:
    start = {"ZeroshotCLIP": 70.0, "CoOp": 80.0, "RTPT": 75.0}[method] + seed
    fall = {"clean": 0, "transfer": 2, "own": 4, "worst": 5}[kind]
    return start - fall * eps - (steps > 7) * (kind != "clean")


def write(suite, changed=accuracy, failed=False) -> None:
    """Pretends that all evaluations, and what they test, are finished."""
    checks = [{"code": "S9", "name": "inputs have gradients", "passed": not failed, "detail": "why"}]
    for run in suite.runs:
        for step, folder in zip(run.job, run.folders, strict=True):
            name = names_of_configs()[step.dataset]
            if not isinstance(step, RobustStep):
                write_result(folder, step.method, name, step.seed, 50.0)
                continue
            eps, steps = float(step.settings.pairs[0]), int(step.settings.pairs[1])
            kinds = ("clean", "own", "worst") if step.mode == "transfer" else ("clean", "transfer", "own", "worst")
            figures = {k: changed(step.method, eps, steps, k, step.seed) for k in kinds}
            file = write_attacked(folder, step.method, name, step.seed, step.mode, **figures)
            label = "dynamic+random" if step.method == "RTPT" else "static"
            file.write_text(json.dumps(json.loads(file.read_text()) | {"images": 40, "checks": checks, "label": label}))


def found_in(suite, **more):
    return read(rows_of(suite, [], checked=False), suite.output, **more)


def points(suite) -> list[tuple[str, float, int]]:
    steps = [s for run in suite.runs for s in run.job if isinstance(s, RobustStep) and s.seed == 1]
    return list(
        dict.fromkeys((s.settings.pairs[4], float(s.settings.pairs[0]), int(s.settings.pairs[1])) for s in steps)
    )


def test_points_are_two_curves_and_not_a_grid():
    assert points(suite_of(STUDY, *words())) == [
        ("pgd", 1.0, 20), ("pgd", 4.0, 20), ("pgd", 4.0, 7), ("aa", 1.0, 100), ("aa", 4.0, 100),
    ]  # fmt: skip


def test_each_method_has_one_evaluation_an_attack():
    every = ("T", "W", "A")
    assert [mode_of(m, "pgd", every) for m in METHODS] == ["W", "W", "A"]
    assert [mode_of(m, "aa", every) for m in METHODS] == ["W", "W", "T"]
    assert [mode_of(m, "pgd", ["T"]) for m in METHODS] == ["T", "T", "T"]
    assert mode_of("RTPT", "pgd", ["W"]) is None


def test_runs_train_once_and_without_attack_keys():
    runs = suite_of(STUDY, *words(), "--jobs", "1", "--", "OPTIM.MAX_EPOCH", "2", "ATTACK.SEED", "3").runs
    flat = [step for run in runs for step in run.job]
    assert len(set(flat)) == len(flat) == 5 + 2 * (1 + 5) + 2 * 5  # zero-shot CLIP once, CoOp with its training
    coop = next(run for run in runs if run.method == "CoOp").job
    assert type(coop[0]) is Step and coop[0].protocol == "few_shot"
    assert coop[0].settings.pairs == ("OPTIM.MAX_EPOCH", "2")
    assert len(coop) == 6 and all(isinstance(step, RobustStep) for step in coop[1:])
    assert all(step.settings.pairs[-2:] == ("ATTACK.SEED", "3") for step in coop[1:])
    assert coop[1].settings.pairs[:7] == ("1", "20", "W", "ATTACK.NAME", "pgd", "ATTACK.SUBSET", "40")


def test_tables_keep_modes_apart(tmp_path):
    suite = suite_of(STUDY, *words(), output=tmp_path)
    write(suite)
    found = found_in(suite)
    pgd, aa = sections(found)
    assert pgd.title == "pgd, 20 steps: Digits (40 images)"
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
    suite = suite_of(STUDY, *words(datasets=["digits", "textures"], attacks=["pgd"], steps=["20"]), output=tmp_path)
    write(suite)
    step, folder = next(
        (step, folder) for run in suite.runs for step, folder in zip(run.job, run.folders, strict=True)
        if isinstance(step, RobustStep) and (step.method, step.dataset, step.seed) == ("CoOp", "textures", 2)
        and step.settings.pairs[0] == "4"
    )  # fmt: skip
    (folder / "results.json").unlink()
    table = sections(found_in(suite))[-1]
    assert table.title == "pgd, 20 steps: Digits (40 images), Textures (40 images)"
    row = next(dict(zip(table.headers, r, strict=True)) for r in table.rows if r[0] == "CoOp" and r[4] == "white-box")
    assert row["eps 4"] == "64.0" and row["eps 1"] == "76.5 ± 0.7"


def test_accuracy_that_rises_is_told(tmp_path):
    suite = suite_of(STUDY, *words(attacks=["pgd"]), output=tmp_path)
    write(suite, lambda m, eps, steps, kind, seed:
          accuracy(m, eps, steps, kind, seed) + 30 * (kind == "own" and eps == 4 and m == "CoOp"))  # fmt: skip
    found = found_in(suite)
    assert len(found.failed) == 1 and found.failed[0].startswith("CoOp, digits, white-box pgd: S3")


def test_failed_checks_are_told(tmp_path):
    suite = suite_of(STUDY, *words(["CoOp"], attacks=["pgd"], steps=["20"], seeds=["1"]), output=tmp_path)
    write(suite, failed=True)
    found = found_in(suite)
    assert len(found.failed) == 2 and "S9 inputs have gradients failed (why)" in found.failed[0]


def test_curves_and_plots(tmp_path):
    suite = suite_of(STUDY, *words(), output=tmp_path / "runs")
    write(suite)
    found = found_in(suite)
    by_eps, by_steps = curves(found, "CoOp", "digits", "pgd", "white-box")
    assert {k: v[0] for k, v in by_eps.items()} == {0.0: 81.0, 1.0: 76.0, 4.0: 64.0}
    assert {k: v[0] for k, v in by_steps.items()} == {7: 65.0, 20: 64.0}
    files = adversarial_plots.plot(found, tmp_path / "plots")
    assert sorted(f.name for f in files) == [
        "accuracy_eps.pdf", "accuracy_eps.png", "accuracy_steps.pdf", "accuracy_steps.png",
    ]  # fmt: skip
    assert all(f.stat().st_size > 5000 for f in files)
    assert Point("digits", "pgd", 4.0, 7) in found.points("digits", "pgd")


@pytest.mark.parametrize("changes", [{"attacks": ["pdg"]}, {"attacks": ["cw-l2"]}, {"modes": ["X"]}, {"eps": ["0"]},
                                     {"steps": ["0"]}, {"subset": ["-1"]}])  # fmt: skip
def test_sweeps_that_cannot_be_are_refused(changes):
    with pytest.raises(InputError):
        suite_of(STUDY, *words(**changes))


def test_the_command_prints_what_is_there(tmp_path, capsys):
    argv = words(["ZeroshotCLIP", "CoOp"], attacks=["pgd"])
    write(suite_of(STUDY, *argv, output=tmp_path / "runs"))
    argv += ["--tables-only", "--markdown", str(tmp_path / "t.md")]
    assert adversarial.main([*argv, "--output", str(tmp_path / "runs")]) == 0
    assert "64.5 ± 0.7" in capsys.readouterr().out and "64.5 ± 0.7" in (tmp_path / "t.md").read_text()
    assert adversarial.main([*argv, "--modes", "W", "--output", str(tmp_path / "runs")]) == 0
    assert "transfer  " not in capsys.readouterr().out
    assert adversarial.main([*argv, "--output", str(tmp_path / "none")]) == 2
