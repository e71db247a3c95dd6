"""results.json says which cell of a table a run fills; what its folders are called does not matter then."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest
from result_files import write_result

from bench.__main__ import main
from bench.drawing import table
from bench.reading.collect import collect
from bench.reading.layout import place, recorded
from bench.suites.robust_step import RobustStep
from bench.suites.step import Step
from bench.suites.suite import suite_of
from runs.about import FIELDS, about_run
from runs.options import build_parser
from runs.protocols import Settings, plan

SYM = ("sym_other", "0.125")
STEPS = [
    Step(protocol, method, dataset, 3, Settings(shots=16, pairs=pairs, load_epoch="1", source=source))
    for protocol, method, dataset, pairs, source in (
        ("base2new_train", "CoOp", "dtd", (), ""),
        ("base2new_test", "CoOp", "dtd", (), ""),
        ("base2new_test", "ZeroshotCLIP", "dtd", (), ""),
        ("xd_train", "CoOp", "imagenet", (), ""),
        ("xd_test", "CoOp", "dtd", (), ""),
        ("xd_test", "ZeroshotCLIP", "letters", (), "digits"),
        ("dg_test", "CoOp", "shapes_sketch", (), ""),
        ("few_shot", "CoOp", "dtd", (), ""),
        ("few_shot", "ZeroshotCLIP", "digits", (), ""),
        ("noise_train", "CoOp", "dtd", SYM, ""),
        ("noise_train", "ZeroshotCLIP", "digits", SYM, ""),
        ("noise_xd_train", "CoOp", "shapes", SYM, ""),
        ("noise_xd_test", "CoOp", "digits", SYM, ""),
        ("real_noise_train", "CoOp", "webvision", (), ""),
        ("real_noise_test", "CoOp", "webvision", (), ""),
        ("test_time", "RTPT", "digits", (), ""),
        ("test_time", "RTPT", "digits", ("4", "100"), ""),
    )
]
EVERY_IMAGE = Settings(shots=-1, load_epoch="1")
STEPS += [Step(f"real_noise_{half}", "CoOp", "webvision", 3, EVERY_IMAGE) for half in ("train", "test")]
STEPS += [
    RobustStep("robust", method, "digits", 3, Settings(pairs=(*pairs, "ATTACK.SUBSET", "20"), load_epoch="1"))
    for method, pairs in (("CoOp", ("4", "10")), ("CoOp", ("4", "10", "T")), ("RTPT", ()))
]


def run_of(step: Step, output: Path) -> tuple[Path, dict]:
    """(its folder, what results.json says of it beside its numbers)."""
    step = replace(step, settings=replace(step.settings, output=str(output)))
    args = build_parser().parse_args(step.arguments())
    half = dict(zip(args.opts[::2], args.opts[1::2], strict=True)).get("DATASET.SUBSAMPLE_CLASSES", "all")
    return Path(args.output_dir), {**about_run(args), "trainer": step.method, "seed": 3, "subsample_classes": half}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step.protocol} {step.method}")
def test_a_record_says_what_the_folder_said(step, tmp_path):
    for above in ("", "variants/N_CTX=4", "lambda/0.1", "set/variants/a/b"):
        folder, record = run_of(step, tmp_path / above)
        for inside in range(5):  # what is collected may lie below the set
            output = tmp_path.joinpath(*folder.relative_to(tmp_path).parts[:inside])
            seen = "/".join(folder.relative_to(output).parts), str(output)
            found, expected = recorded(record, *seen), place(*seen)
            assert repr(asdict(found)) == repr(asdict(expected))  # a rate may be NaN


def finished(output: Path) -> None:
    """A set of runs: base-to-new, plain and as a variant, a cross-dataset test and one under label noise."""
    for seed in (1, 2):
        for above, more in (("", 0), ("variants/LR=0.02", 5)):
            for i, part in enumerate(("base2new_train", "base2new_test", "xd_train", "xd_test", "noise_train")):
                dataset = "digits" if part != "xd_train" else "shapes"
                pairs = SYM if part == "noise_train" else ()
                step = Step(part, "CoOp", dataset, seed, Settings(pairs=pairs, load_epoch="1"))
                folder, about = run_of(step, output / above)
                name = {"digits": "Digits", "shapes": "Shapes"}[dataset]
                about = {key: about[key] for key in (*FIELDS, "cell", "subsample_classes")}
                write_result(folder, "CoOp", name, seed, 70.0 + more + 3 * i + seed, **about)


def rename(output: Path) -> None:
    """Every folder that means something gets another name, the deepest first."""
    for folder in sorted((p for p in output.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts)):
        folder.rename(folder.with_name(f"my_{folder.name.replace('seed', 's')}"))


def rows(frame: pd.DataFrame) -> list[dict]:
    return json.loads(frame.drop(columns="folder").to_json(orient="records"))


def test_renamed_folders_give_the_same_table(tmp_path, capsys):
    output = tmp_path / "out"
    finished(output)
    before, means = collect(output), tmp_path / "means.csv"
    assert len(before) == 20 and set(before["variant"]) == {"", "LR=0.02"} and "other" not in set(before["protocol"])
    assert table.main([str(output)]) == 0
    shown = capsys.readouterr().out
    assert "83" not in shown and "71.50 ± 0.71" in shown
    rename(output)
    assert rows(collect(output)) == rows(before)
    assert table.main([str(output)]) == 0 and capsys.readouterr().out == shown
    assert main(["collect", str(output), "--means", str(means), "--strict"]) == 0
    assert len(pd.read_csv(means)) == 12  # two halves of each and their HM


def test_moved_runs_are_what_they_were(tmp_path):
    finished(tmp_path / "out")
    before = collect(tmp_path / "out")
    for number, folder in enumerate(before["folder"]):
        shutil.move(tmp_path / "out" / folder, tmp_path / "kept" / f"run {number}")
    assert rows(collect(tmp_path / "kept")) == rows(before)


def test_sets_side_by_side_stay_apart(tmp_path):
    for name in ("first", "second"):
        finished(tmp_path / name)
    assert set(collect(tmp_path)["variant"]) == {"first", "second", "first/LR=0.02", "second/LR=0.02"}


def test_a_cell_that_is_damaged_is_named(tmp_path):
    finished(tmp_path)
    file = next(tmp_path.rglob("results.json"))
    record = json.loads(file.read_text())
    for damage in (None, [], {}, {"target": "digits", "shots": "many", "folder": "x"}):
        file.write_text(json.dumps(record | {"cell": damage}))
        broken: list[str] = []
        assert len(collect(tmp_path, broken)) == 19 and len(broken) == 1 and str(file) in broken[0]


# ---------------------------------------------------------------------- how it reaches the run


def test_scripts_and_suites_say_protocol_suite_and_variant(tmp_path):
    env = {"OUTPUT": str(tmp_path / "variants" / "wide")}
    ((*arguments,),) = plan("few_shot", "CoOp", "digits", 1, env, [])
    found = about_run(build_parser().parse_args(arguments))
    assert {key: found[key] for key in FIELDS} == {
        "protocol": "few_shot", "suite": None, "variant": "wide", "cfg": "embedded", "source": "digits",
    }  # fmt: skip
    assert found["cell"]["folder"] == "variants/wide/few_shot/digits/shots_16/CoOp/embedded/seed1"
    block = {"protocol": "cross_dataset", "methods": ["CoOp"], "source": "shapes", "datasets": ["digits"],
             "sweep": {"OPTIM.LR": [0.02]}}  # fmt: skip
    tree = {"name": "mine", "seeds": [1], "output": str(tmp_path), "blocks": [block]}
    (run,) = suite_of(tree, tmp_path / "s.yaml").runs
    first, second = (about_run(build_parser().parse_args(step.planned(1))) for step in run.job)
    assert [about["suite"] for about in (first, second)] == ["mine", "mine"]
    assert first["variant"] == "LR=0.02" and first["protocol"] == second["protocol"] == "cross_dataset"
    assert (second["source"], second["cell"]["target"]) == ("shapes", "digits")


def test_a_plain_run_says_what_its_options_say():
    parse = build_parser().parse_args
    files = ["--dataset-config-file", "configs/datasets/dtd.yaml", "--config-file", "configs/trainers/CoOp/rn50.yaml"]
    nothing = dict.fromkeys(FIELDS) | {"protocol_version": None, "cell": {}}
    trained = about_run(parse(files))
    assert trained == nothing | {"cfg": "rn50", "source": "dtd", "cell": {"target": "dtd"}}
    assert about_run(parse([*files, "--eval-only"])) == trained | {"source": None}
    assert about_run(parse([])) == nothing
    assert recorded(trained | {"trainer": "CoOp", "seed": 1}, "a") is None


@pytest.mark.parametrize("text", ["{", "[]", '{"colour": "red"}'])
def test_an_option_that_nobody_wrote_is_refused(text, capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--about", text])
    assert "argument --about" in capsys.readouterr().err
