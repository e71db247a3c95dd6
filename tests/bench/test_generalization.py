"""All protocols in one command: the jobs, the one table, the plots; and a real run from training to table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from study_runs import run_study, suite_of
from suite_files import overrides

from bench.drawing.report import sections
from bench.drawing.results import results
from bench.drawing.summary import Scope, summarize
from bench.reading.collect import collect
from bench.running.time_left import TimeLeft
from bench.studies import base2new
from bench.studies.generalization import STUDY, main
from bench.studies.published_order import published_order
from bench.suites.methods import check_methods
from dassl.utils import InputError
from runs.config_names import METHODS, UNTRAINED
from runs.protocols import Settings, base2new_folder, few_shot_folder, source_folder, target_folder

SCOPE = Scope("shapes", ["digits", "letters"], ["digits", "letters"], ["digits", "letters"], ["shapes_sketch"], [1, 4])


def write(folder: Path, dataset: str, method: str, seed: int, half: str, accuracy: float) -> Path:
    folder.mkdir(parents=True)
    record = {"trainer": method, "dataset": dataset.title(), "seed": seed, "subsample_classes": half,
              "results": {"accuracy": accuracy}}  # fmt: skip
    (folder / "results.json").write_text(json.dumps(record))
    return folder / "results.json"


def fill(output: Path, method: str, seeds: tuple[int, ...], offset: float = 0.0) -> None:
    """A finished tree. Digits: base 80, new 60; letters 10 less; each seed one more than the one before."""
    s = Settings(output=str(output))
    for seed in seeds:
        for dataset, less in (("digits", 0), ("letters", 10)):
            value = offset + seed - less
            write(base2new_folder("train_base", method, dataset, seed, s), dataset, method, seed, "base", 80 + value)
            write(base2new_folder("test_new", method, dataset, seed, s), dataset, method, seed, "new", 60 + value)
            write(target_folder(method, "shapes", dataset, seed, s), dataset, method, seed, "all", 50 + value)
            for shots in [16] if method in UNTRAINED else [1, 4]:
                folder = few_shot_folder(method, dataset, seed, replace(s, shots=shots))
                write(folder, dataset, method, seed, "all", 40 + value + (shots if method not in UNTRAINED else 0))
        write(source_folder(method, "shapes", seed, s), "shapes", method, seed, "all", 90 + seed)
        write(
            target_folder(method, "shapes", "shapes_sketch", seed, s), "shapes_sketch", method, seed, "all", 30 + seed
        )


@pytest.fixture
def output(tmp_path) -> Path:
    fill(tmp_path / "out", "CoOp", (1, 2, 3))
    fill(tmp_path / "out", "ZeroshotCLIP", (1,), offset=-1)
    return tmp_path / "out"


def table(output: Path, scope: Scope = SCOPE) -> dict[str, dict[str, str]]:
    """{method: {header: cell}} of the one table."""
    first = sections(results(collect(output)), scope)[0]
    return {row[0]: dict(zip(first.headers, row, strict=True)) for row in first.rows}


def test_the_one_table(output):
    row = table(output)["CoOp"]
    # seeds 1, 2, 3 add 1, 2, 3; letters have 10 less: averages 76, 77, 78 and so on; sample deviation 1
    assert row["Base"] == "77.00 ± 1.00" and row["New"] == "57.00 ± 1.00"
    assert row["HM"].startswith(f"{2 * 77 * 57 / (77 + 57):.2f} ± ")
    assert row["XD"] == "47.00 ± 1.00" and row["DG"] == "32.00 ± 1.00"
    assert row["1 shot"] == "38.00 ± 1.00" and row["4 shots"] == "41.00 ± 1.00" and row["seeds"] == "3"
    flat = table(output)["ZeroshotCLIP"]
    assert flat["Base"] == "75.00" and flat["1 shot"] == flat["4 shots"] == "35.00" and flat["seeds"] == "1"


def test_hm_is_of_the_averages_and_not_the_mean_of_hms(tmp_path):
    s = Settings(output=str(tmp_path))
    for dataset, base, new in (("digits", 90, 10), ("letters", 10, 90)):
        write(base2new_folder("train_base", "CoOp", dataset, 1, s), dataset, "CoOp", 1, "base", base)
        write(base2new_folder("test_new", "CoOp", dataset, 1, s), dataset, "CoOp", 1, "new", new)
    assert table(tmp_path, Scope())["CoOp"]["HM"] == "50.00"  # each dataset's own HM is 18


def test_a_seed_counts_when_every_dataset_is_there(output):
    s = Settings(output=str(output))
    (base2new_folder("test_new", "CoOp", "letters", 3, s) / "results.json").unlink()
    (target_folder("CoOp", "shapes", "digits", 1, s) / "results.json").unlink()
    row = table(output)["CoOp"]
    assert row["Base"] == "76.50 ± 0.71" and row["New"] == "56.50 ± 0.71" and row["XD"] == "47.50 ± 0.71"
    assert "CoOp: seed 3 is left out of Base, New and HM" in sections(results(collect(output)), SCOPE)[0].note
    assert row["seeds"] == "2-3"
    for seed in (2, 3):
        (target_folder("CoOp", "shapes", "digits", seed, s) / "results.json").unlink()
    assert table(output)["CoOp"]["XD"] == "-"
    assert table(output, replace(SCOPE, targets=["letters"]))["CoOp"]["XD"] == "42.00 ± 1.00"


def test_the_published_order(output):
    """Published: MMRL 81.2, MaPLe 78.55, CLIP 71.7, CoOp 71.66 (ANPrompt's Table 1). Here MaPLe, CoOp, CLIP, MMRL: of
    the six pairs MaPLe's two with CLIP and CoOp are alike."""
    fill(output, "MMRL", (1, 2, 3), offset=-20)
    fill(output, "MaPLe", (1, 2, 3), offset=0.5)
    found = {s.title: s for s in published_order(summarize(results(collect(output)), SCOPE), 16)}
    section = found["The order of anprompt, Table 1"]
    assert [row[0] for row in section.rows] == ["MMRL", "MaPLe", "ZeroshotCLIP", "CoOp"]
    assert [row[1] for row in section.rows] == ["81.20", "78.55", "71.70", "71.66"]
    assert [(row[2], row[4]) for row in section.rows] == [("1", "4"), ("2", "1"), ("3", "3"), ("4", "2")]
    assert section.note.startswith("2 of 6 pairs of methods are in the published order: Kendall's tau -0.33")
    # CLIP has one seed and so no spread: 2 below CoOp, whose spread is 1; MaPLe and CoOp lie within their spreads
    assert section.note.endswith("MMRL below MaPLe, MMRL below ZeroshotCLIP, MMRL below CoOp, ZeroshotCLIP below CoOp.")
    assert published_order(summarize(results(collect(output)), SCOPE), 4) == []  # no table of 4 shots has three of them


def test_the_command_prints_the_published_order(output, capsys):
    words = ["--output", str(output), "--protocols", "base2new", "--datasets", "digits", "letters", "--tables-only"]
    fill(output, "MMRL", (1, 2, 3))
    main([*words, "--methods", "CoOp", "ZeroshotCLIP", "MMRL", "--published-order"])
    assert "The order of anprompt, Table 1" in capsys.readouterr().out
    main([*words, "--methods", "CoOp", "ZeroshotCLIP", "MMRL"])
    assert "The order of" not in capsys.readouterr().out


def test_a_method_without_new_classes_says_so(output):
    s = Settings(output=str(output))
    for dataset in ("digits", "letters"):
        write(base2new_folder("train_base", "LPpp", dataset, 1, s), dataset, "LPpp", 1, "base", 70.0)
    assert table(output)["LPpp"]["New"] == table(output)["LPpp"]["HM"] == "-"
    first, second = sections(results(collect(output)), SCOPE)[:2]
    rows = {row[0]: row[2:] for row in second.rows if row[1] == "LPpp"}
    assert rows == dict.fromkeys(("Digits", "Letters", "average of 2"), ["70.00", "-", "-", "1"])
    assert "LPpp" not in second.note  # no seed of it is left out
    note = first.note
    assert "LPpp can only predict training classes, so there is no New and no HM." in note


def test_tables_of_each_protocol(output):
    found = {s.title: s for s in sections(results(collect(output)), SCOPE)}
    assert set(found) == {
        "All protocols", "Base-to-new", "Cross-dataset", "Domain generalisation",
        "Few-shot, Digits", "Few-shot, Letters",
    }  # fmt: skip
    away = found["Cross-dataset"]
    assert away.headers == ["method", "Shapes (source)", "Digits", "Letters", "average"]
    assert away.rows[1] == ["CoOp", "92.00 ± 1.00", "52.00 ± 1.00", "42.00 ± 1.00", "47.00 ± 1.00"]
    assert found["Few-shot, Letters"].rows[1] == ["CoOp", "33.00 ± 1.00", "36.00 ± 1.00"]


def test_protocols_without_results_have_no_columns(tmp_path):
    s = Settings(output=str(tmp_path))
    write(few_shot_folder("CoOp", "digits", 1, replace(s, shots=2)), "digits", "CoOp", 1, "all", 50.0)
    assert table(tmp_path, Scope(shots=[1, 2, 4])) == {"CoOp": {"method": "CoOp", "2 shots": "50.00", "seeds": "1"}}


def test_another_source_is_another_table(output):
    s = Settings(output=str(output), cfg="other")
    write(target_folder("CoOp", "imagenet", "digits", 1, s), "digits", "CoOp", 1, "all", 11.0)
    write(target_folder("CoOp", "imagenet", "imagenet_a", 1, s), "imagenet_a", "CoOp", 1, "all", 12.0)
    assert table(output)["CoOp"]["XD"] == "47.00 ± 1.00"
    row = table(output, Scope("imagenet"))["CoOp"]
    assert row["XD"] == "11.00" and row["DG"] == "12.00"


def test_two_configs_of_one_method_are_two_rows(output):
    s = Settings(output=str(output), cfg="other")
    write(base2new_folder("train_base", "CoOp", "digits", 1, s), "digits", "CoOp", 1, "base", 1.0)
    rows = table(output, replace(SCOPE, datasets=["digits"]))
    assert rows["CoOp (other, 16 shots)"]["Base"] == "1.00"
    assert rows["CoOp (embedded, 16 shots)"]["Base"] == "82.00 ± 1.00"
    assert rows["CoOp"]["XD"] == "47.00 ± 1.00"


def test_broken_results_are_named(output, capsys):
    file = base2new_folder("test_new", "CoOp", "digits", 1, Settings(output=str(output))) / "results.json"
    file.write_text("{}")
    assert main(["--tables-only", "--output", str(output)]) == 1
    out, error = capsys.readouterr()
    assert str(file) in error and "82.50 ± 0.71" in out


def test_command_reads_writes_and_draws(output, tmp_path, capsys):
    files = ["--markdown", str(tmp_path / "new" / "t.md"), "--plots", str(tmp_path / "plots")]
    assert main(["--tables-only", "--output", str(output), *files]) == 0
    assert "77.00 ± 1.00" in capsys.readouterr().out
    text = (tmp_path / "new" / "t.md").read_text()
    assert text.startswith("## All protocols") and "| CoOp " in text and "Digits, Letters" in text
    for name in ("base_new.png", "few_shot.png"):
        assert (tmp_path / "plots" / name).stat().st_size > 10_000
    assert main(["--tables-only", "--output", str(output), "--methods", "ZeroshotCLIP"]) == 0
    assert "CoOp " not in capsys.readouterr().out


def test_a_method_is_trained_once_for_all_targets():
    words = ["--methods", "ZeroshotCLIP", "CoOp", "--datasets", "digits", "letters", "--targets", "digits", "letters"]
    words += ["--shifts", "shapes_sketch", "--shots", "1", "4", "--seeds", "1", "2"]
    runs = suite_of(STUDY, *words).runs
    away = [run.job for run in runs if run.job[0].protocol == "xd_train"]
    assert [(job[0].method, job[0].seed) for job in away] == [("ZeroshotCLIP", 1), ("CoOp", 1), ("CoOp", 2)]
    tested = [("xd_test", "digits"), ("xd_test", "letters"), ("dg_test", "shapes_sketch")]
    assert all([(s.protocol, s.dataset) for s in job[1:]] == tested for job in away)
    assert all(s.settings.source == "shapes" for job in away for s in job)
    few = [(run.method, run.dataset, run.job[0].settings.shots, run.seed) for run in runs if len(run.job) == 1]
    assert few.count(("ZeroshotCLIP", "digits", 1, 1)) == 1 and len(few) == 2 + 2 * 2 * 2
    assert len(suite_of(STUDY, *words, "--protocols", "base2new", "--methods", "CoOp").runs) == 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--methods", "CoOpp"], "nearest first: CoOp"),
        (["--datasets", "digts"], "digits"),
        (["--source", "dtd"], "--targets"),
        (["--source", "nothing"], "'nothing'"),
        (["--shots", "0"], "at least 1"),
        (["--tables-only", "--output", "/nowhere"], "/nowhere"),
    ],
)
def test_bad_input_is_one_sentence(arguments, says, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and error[0].startswith("error: ") and says in error[0]


def test_all_methods():
    assert check_methods(["all"]) == list(METHODS) and check_methods(["CoOp", "CoOp"]) == ["CoOp"]
    with pytest.raises(InputError):
        check_methods([""])


def test_time_left_is_by_kind():
    left = TimeLeft(["aa", "b", "cc", "dd", "e"], workers=2, kind=len)
    assert str(left) == "time left unknown"
    left.done("aa", 100.0)
    left.done("b", 10.0)
    assert str(left) == "about 01:45 left"  # (100 + 100 + 10) / 2


def test_time_left_follows_the_last_runs():
    """A machine that others use now: earlier times of a kind that has not run since count at today's pace."""
    left = TimeLeft(["aa", "aa", "b", "ccc"], workers=1, kind=len, seconds={2: [900.0, 20, 20, 20, 20], 1: [10.0]})
    assert str(left) == "about 01:05 left"  # 2 of 20, 1 of 10, and one of a kind that is not known: (20 + 10) / 2
    left.done("aa", 100.0)  # five times as long as the last ones
    assert left.pace == 5.0
    assert str(left) == "about 04:10 left"  # 100, 10 at that pace, and 100 as the last of any
    for seconds in (400.0, 50.0, 50.0, 50.0, 50.0):
        left.done("aa", seconds)
    assert left.here[2] and max(left.here[2]) == 50.0  # the old ones are forgotten


def test_from_training_to_table(tiny, tmp_path):
    """Every protocol of two methods, with real training on the tiny dataset; the same command again runs nothing."""
    pairs = [word for pair in overrides(tiny).items() for word in map(str, pair)]
    words = ["--methods", "ZeroshotCLIP", "CoOp", "--datasets", "digits", "--targets", "digits", "--seeds", "1"]
    words += ["--shifts", "shapes_sketch", "--shots", "1", "2", "--jobs", "1", "--root", str(tiny.root)]
    command = [*words, "--output", str(tmp_path), "--", *pairs]
    code, text = run_study(STUDY, command)
    assert code == 0 and "DG" in text, text
    settings = Settings(output=str(tmp_path))
    found = summarize(
        results(collect(tmp_path)), Scope("shapes", ["digits"], ["digits"], ["digits"], ["shapes_sketch"], [1, 2])
    )
    assert found.methods == ["ZeroshotCLIP", "CoOp"] and list(found.few_shot) == [1, 2]
    record = json.loads((target_folder("CoOp", "shapes", "digits", 1, settings) / "results.json").read_text())
    assert record["task"] == "CD" and record["mode"] == "test" and record["results"]["total"] == 20
    assert found.cross_dataset["CoOp"][1] == record["results"]["accuracy"]
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("results.json")}
    code, text = run_study(STUDY, command)
    assert code == 0 and "0 to do" in text
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("results.json")} == before


def test_a_failure_does_not_stop_the_others(tmp_path):
    """What fails is told, and noted for `status` and `retry`."""
    code, text = run_study(
        base2new.STUDY, ["--methods", "CoOp", "--datasets", "dtd", "--seeds", "1", "--root", str(tmp_path / "data"),
                         "--output", str(tmp_path / "out"), "--jobs", "1"]
    )  # fmt: skip
    assert code == 1 and "failed: " in text and "does not exist" in text
    assert "bench status" in text and list((tmp_path / "out" / ".bench").glob("*.failed.json"))
