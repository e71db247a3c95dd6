"""One damaged results.json among good ones: every command names the file; none ends in a traceback or a wrong mean."""

from __future__ import annotations

import json
import math
import re
import shutil
import sys
from pathlib import Path

import pytest
from helpers import locked
from result_files import folder_of, write_attacked, write_result

import parse_test_res
from bench.__main__ import main as bench
from bench.drawing import table
from bench.reading.collect import collect
from bench.studies import adversarial, anprompt_ablation, generalization, noise, noise_xd, sar
from runs.protocols import Settings
from runs.robust_protocol import robust_folder

DEEP = "[" * 100_000


def changed(**more):
    """A damage that changes the record."""
    return lambda record: json.dumps(record | more)


def of_results(accuracy):
    """... or its accuracy, of whatever kind of run."""

    def damage(record):
        for figure in [record.get("results"), *record.get("figures", {}).values()]:
            if figure:
                figure["accuracy"] = accuracy
        return json.dumps(record)

    return damage


DAMAGES = {
    "empty": lambda record: "",
    "cut off": lambda record: json.dumps(record)[:60],
    "a list": lambda record: "[]",
    "an object of nothing": lambda record: "{}",
    "null": lambda record: "null",
    "a text": lambda record: '"abc"',
    "nested": lambda record: DEEP,
    "not UTF-8": None,
    "accuracy null": of_results(None),
    "accuracy a text": of_results("abc"),
    "accuracy NaN": of_results(math.nan),
    "accuracy infinite": of_results(math.inf),
    "accuracy true": of_results(True),
    "accuracy a list": of_results([1]),
    "accuracy 150": of_results(150.0),
    "accuracy -1": of_results(-1),
    "results a list": changed(results=[1], figures=[1]),
    "of another seed": changed(seed=7),
    "seed a text": changed(seed="x"),
    "no method": changed(trainer=None),
}
ONLY_COLLECT = {
    "memory a text": changed(peak_memory_bytes="much"),
    "seconds a list": changed(wall_seconds=[1]),
    "seconds negative": changed(wall_seconds=-0.6),
    "memory negative": changed(peak_memory_bytes=-1),
    "ECE negative": changed(scores={"ece": -3.0}),
    "ECE above 100": changed(scores={"ece": 101.0}),
    "NLL negative": changed(scores={"nll": -0.5}),
    "a Brier score of 3": changed(scores={"brier": 3.0}),
    "numbers to learn negative": changed(learnable_numbers=-5),
    "F1 of 150": changed(results={"accuracy": 80.0, "macro_f1": 150.0}),
    "seed too large": changed(seed=2**70),
    "noise a list": changed(noise=[1]),
    "backbone a text": changed(backbone="RN50"),
}


def damage(file: Path, how) -> None:
    if how is None:
        file.write_bytes(b'{"trainer": "\xff\xfe"}')
    else:
        file.write_text(how(json.loads(file.read_text())))


def base2new(output: Path, method: str = "CoOp") -> Path:
    for seed in (1, 2):
        for part, half in (("base2new_train", "base"), ("base2new_test", "new")):
            folder = folder_of(output, part, method, "digits", seed)
            file = write_result(folder, method, "Digits", seed, 80.0, subsample_classes=half)
    return file


def of_noise(output: Path) -> Path:
    about = {"noise": {"type": "sym_other", "rate": 0.5, "sha256": "ab"}}
    for seed in (1, 2):
        folder = folder_of(output, "noise_train", "CoOp", "digits", seed, ("sym_other", "0.5"))
        file = write_result(folder, "CoOp", "Digits", seed, 60.0, **about)
    return file


def of_noise_xd(output: Path) -> Path:
    about = {"noise": {"type": "sym_other", "rate": 0.5, "sha256": "ab"}}
    for seed in (1, 2):
        for part, name in (("noise_xd_train", "shapes"), ("noise_xd_test", "digits")):
            folder = folder_of(output, part, "CoOp", name, seed, ("sym_other", "0.5"), source="shapes")
            file = write_result(folder, "CoOp", name.title(), seed, 60.0, **about)
    return file


def of_attacks(output: Path) -> Path:
    for seed in (1, 2):
        settings = Settings(output=str(output), pairs=("4", "10"))
        figures = {"clean": 80.0, "transfer": 60.0, "own": 20.0, "worst": 15.0}
        file = write_attacked(
            robust_folder("CoOp", "digits", seed, settings), "CoOp", "Digits", seed, "white-box", **figures
        )
        record = json.loads(file.read_text()) | {"images": 10, "label": "static", "checks": []}
        file.write_text(json.dumps(record))
        write_result(folder_of(output, "few_shot", "CoOp", "digits", seed), "CoOp", "Digits", seed, 80.0)
    return file


def of_ablation(output: Path) -> Path:
    return base2new(output / "111", "ANPrompt")


def of_sar(output: Path) -> Path:
    return base2new(output)


SEEDS = ["--seeds", "1", "2", "--tables-only", "--output"]
COMMANDS = {
    "collect": (base2new, lambda out: bench(["collect", out])),
    "compare": (base2new, lambda out: bench(["compare", out, "--paper", "sar", "--table", "3", "--found"])),
    "report": (base2new, lambda out: bench(["report", out])),
    "collect attacks": (of_attacks, lambda out: bench(["collect", out])),
    "table": (base2new, lambda out: table.main([out])),
    "generalization": (base2new, lambda out: generalization.main(["--methods", "CoOp", *SEEDS, out])),
    "noise": (of_noise, lambda out: noise.main(
        ["--methods", "CoOp", "--datasets", "digits", "--types", "sym_other:0.5", *SEEDS, out])),
    "noise_xd": (of_noise_xd, lambda out: noise_xd.main(["--methods", "CoOp", "--targets", "digits", *SEEDS, out])),
    "adversarial": (of_attacks, lambda out: adversarial.main(
        ["--methods", "CoOp", "--eps", "4", "--steps", "10", *SEEDS, out])),
    "ablation": (of_ablation, lambda out: anprompt_ablation.main(["--datasets", "digits", *SEEDS, out])),
    "sar": (of_sar, lambda out: sar.main(["ablation", "--datasets", "digits", *SEEDS, out])),
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_a_damaged_run_is_named(command, tmp_path, capsys):
    make, call = COMMANDS[command]
    damages = DAMAGES | (ONLY_COLLECT if command == "collect" else {})
    if command in ("compare", "report"):  # they read what `collect` gives
        damages = {name: DAMAGES[name] for name in ("cut off", "nested", "accuracy a text")}
    output = tmp_path / "output"
    file = make(output)
    whole = file.read_text()
    assert call(str(output)) in (0, 1)  # 1: rows that nothing was written for
    capsys.readouterr()
    for name, how in damages.items():
        file.write_text(whole)
        damage(file, how)
        code = call(str(output))
        error = capsys.readouterr().err
        assert code in (1, 2), (name, code)
        assert sum(str(file) in line for line in error.splitlines()) == 1, (name, error)


def test_a_run_that_may_not_be_read_is_named_so(tmp_path, capsys, monkeypatch):
    file = base2new(tmp_path / "output")
    locked(monkeypatch, str(file))
    assert bench(["collect", str(tmp_path / "output")]) == 1
    said = capsys.readouterr().err
    assert f"{file} cannot be read (Permission denied); make it readable, or move it away." in said
    assert "repeat the run" not in said


@pytest.fixture
def three_seeds(tmp_path):
    for seed, value in ((1, 80.0), (2, 82.0), (3, 10.0)):
        folder = tmp_path / f"seed{seed}"
        write_result(folder, "CoOp", "Digits", seed, value)
        (folder / "log.txt").write_text(f"Finish training\n* accuracy: {value:.1f}%\n")
    return tmp_path


OF_LOGS = ["1.2.3", "abc", "nan", "", "1_0", "150", "-1", "1e999"]
OF_RECORDS = [name for name in DAMAGES if not name.startswith(("of another", "seed", "no method"))]


@pytest.mark.parametrize("name", [*OF_LOGS, *OF_RECORDS])
def test_the_parser_of_logs_names_a_damaged_run(name, three_seeds, capsys):
    file, flags = three_seeds / "seed3" / "log.txt", []
    if name in OF_LOGS:
        file.write_text(f"Finish training\n* accuracy: {name}%\n")
    else:
        file, flags = file.with_name("results.json"), ["--exact"]
        damage(file, DAMAGES[name])
    assert parse_test_res.main([str(three_seeds), *flags]) == 1
    shown = capsys.readouterr()
    assert "* accuracy: 81.00% +- 1.00% (of 2 runs, 1 damaged left out)" in shown.out
    assert shown.err.count(str(file)) == 1
    for seed in ("seed1", "seed2"):
        shutil.rmtree(three_seeds / seed)
    assert parse_test_res.main([str(three_seeds), *flags]) == 2
    assert "no whole result" in capsys.readouterr().err


def test_both_layouts_of_one_name_are_read_and_no_number_is_there_twice(tmp_path, caplog, capsys):
    """Scripts write output/base2new/train_base/..., a suite called base2new output/base2new/base2new/train_base/..."""
    base2new(tmp_path)
    inner = tmp_path / "base2new"
    scripts = collect(inner)
    assert list(scripts["protocol"]) == ["base2new"] * 4 and set(scripts["variant"]) == {""}
    for depth in ("train_base", "train_base/digits", "train_base/digits/shots_16/CoOp"):
        frame = collect(inner / depth)
        assert (list(frame["part"]), list(frame["dataset"])) == (["base"] * 2, ["digits"] * 2)
    base2new(inner)  # the suite's, the same numbers
    assert len(collect(inner)) == 4 and "is a copy of" in caplog.text
    folder = folder_of(inner, "base2new_train", "CoOp", "digits", 1)
    write_result(folder, "CoOp", "Digits", 1, 70.0, subsample_classes="base")
    frame = collect(inner)
    assert sorted(frame["variant"]) == ["", "", "", "", "second"]
    assert frame[(frame["variant"] == "") & (frame["seed"] == 1) & (frame["part"] == "base")]["accuracy"].item() == 70.0
    assert table.main([str(inner)]) == 0  # the tables read the same rows
    assert {"75.00 ± 7.07", "80.00 ± 0.00"} <= set(re.split(r"\s{2,}", capsys.readouterr().out))
    folder_of(inner, "noise_xd_train", "CoOp", "shapes", 1, ("sym_other", "0.5"))
    of_noise_xd(tmp_path)
    assert set(collect(tmp_path / "noise_xd")["protocol"]) == {"noise_xd"}


def test_nesting_is_deep_enough_for_the_test():
    assert len(DEEP) > 10 * sys.getrecursionlimit()
