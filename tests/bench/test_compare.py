"""Published numbers: are they all there, which contradict each other, and how ours stand beside them."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from result_files import folder_of, write_result

from bench.__main__ import main as bench_main
from bench.comparing.comparison import compare
from bench.comparing.published import (
    BY_THEM,
    COPIED,
    NOT_STATED,
    Paper,
    Printed,
    Table,
    choose,
    contradictions,
    load,
    papers,
    unreliable,
)
from bench.drawing.formats import BEST, SECOND, Cell, TextTable, escape_latex, ranks, render
from bench.reading.collect import collect
from dassl.utils import InputError
from runs.config_names import PUBLISHED
from runs.targets import ELEVEN, ROOT, SHIFTS


def main(argv: list[str]) -> int:
    """`python -m bench compare ...`; the exit code."""
    return bench_main(["compare", *argv])


PARTS = {"base2new": {"base", "new", "hm"}, "cross_dataset": {"source", "target"}, "noise_xd": {"target"}}
NOT_HERE = {"pcam", "cifar10", "webvision_ilsvrc12_val"}  # two datasets without a loader, and a second test set


def table_of(name: str, number: str) -> tuple[Paper, Table]:
    ((paper, (table,)),) = choose(name, number)
    return paper, table


# ---------------------------------------------------------------------- what is printed


def test_every_table_loads():
    tables = {paper: [t.table for t in load(paper).tables] for paper in papers()}
    assert tables == {
        "anprompt": ["1", "2", "3", "4", "5", "6"], "dpsep": ["1", "2", "3", "4"],
        "rtpt": ["tpt_ood", "issue_4", "issue_6", "aggregator"], "sar": ["1", "2", "3", "4", "5"],
    }  # fmt: skip
    counts = {t.name: len(t.cells) for _, found in choose() for t in found}
    assert counts["anprompt, Table 1"] == 9 * 12 * 3 and counts["anprompt, Table 2"] == 7 * 12
    assert counts["sar, Table 3"] == 10 * 12 * 3 and counts["sar, Table 5"] == 10 * 6
    assert counts["dpsep, Table 1"] == 7 * 2 * 9 and counts["dpsep, Table 3"] == 4 * 2 * 9
    assert counts["rtpt, tpt_ood"] == 7 * 7


@pytest.mark.parametrize("name", papers())
def test_names_are_those_of_the_project(name):
    configs = {file.stem for file in (ROOT / "configs" / "datasets").glob("*.yaml")} | NOT_HERE
    for table in load(name).tables:
        assert {c.part for c in table.cells} <= PARTS.get(table.protocol, {"all"})
        assert {c.dataset for c in table.cells} <= configs | set(table.averages)
        assert all(c.value is None and c.note or 0 < c.value < 100 for c in table.cells)
        assert {o.method for o in table.methods.values()} <= set(PUBLISHED)
        assert set(table.methods) <= {c.method for c in table.cells}
        assert all(set(datasets) <= configs for datasets in table.averages.values())
        assert {c.noise_type for c in table.cells} <= set(table.noise_types or [""])


def test_some_numbers_are_the_papers():
    assert _value("anprompt", "1", "ANprompt", "average", "hm") == 81.7
    assert _value("anprompt", "2", "ANprompt", "average", "target") == 67.14
    assert _value("sar", "3", "CoOp+SAR", "eurosat", "base") == 90.48
    assert _value("sar", "4", "TCP+SAR", "average", "hm") == 77.41
    assert _value("dpsep", "1", "DP-SEP", "oxford_pets", "all", "symmetric", 0.8) == 83.54
    assert _value("dpsep", "1", "DP-SEP", "dtd", "all", "symmetric", 0.5) is None  # cannot be read
    assert _value("rtpt", "tpt_ood", "TPT", "ood_average", "all") == 43.89


def _value(name: str, number: str, method: str, dataset: str, part: str, *noise):
    _, table = table_of(name, number)
    found = [c for c in table.cells if (c.method, c.dataset, c.part) == (method, dataset, part)]
    (cell,) = [c for c in found if (c.noise_type, c.noise_rate) == (noise or ("", None))]
    return cell.value


def test_settings_of_printed_rows_are_keys_of_their_methods():
    import trainers  # noqa: F401  registers them
    from dassl.engine import TRAINER_REGISTRY

    for _, tables in choose():
        for ours in (o for t in tables for o in t.methods.values()):
            known = TRAINER_REGISTRY.get(ours.method).config_defaults if ours.settings else {}
            for key, value in ours.settings.items():
                assert type(known[key]) is type(value) or {type(known[key]), type(value)} <= {int, float}


# ---------------------------------------------------------------------- contradictions


def small(cells: list[Printed], averages=None, **more) -> tuple[Table, Paper]:
    table = Table("p", "1", "t", "base2new", "ViT-B/16", 16, 3, 2, tuple(cells), {}, averages or {}, {}, "", "")
    table = replace(table, **more)
    return table, Paper("p", "title", "source", [], [table])


def base_new_hm(base: float, new: float, hm: float, dataset="dtd", method="M") -> list[Printed]:
    return [Printed(method, dataset, part, v) for part, v in (("base", base), ("new", new), ("hm", hm))]


@pytest.mark.parametrize(
    ("base", "new", "hm", "right"),
    [
        (88.10, 80.07, 83.89, True),  # 2 * 88.10 * 80.07 / 168.17 = 83.8933
        (88.10, 80.07, 83.39, False),
        (88.10, 80.07, 83.90, True),  # 88.105 and 80.075 give 83.8983
        (88.10, 80.07, 83.88, False),  # 88.095 and 80.065 give 83.8883
        (88.10, 80.07, 83.91, False),
    ],
)
def test_a_harmonic_mean_follows_within_rounding(base, new, hm, right):
    assert (not contradictions(*small(base_new_hm(base, new, hm)))) is right


def test_an_average_follows_within_rounding():
    columns = [Printed("M", d, "base", v) for d, v in (("dtd", 80.00), ("eurosat", 81.01))]  # 80.505
    for printed, right in ((80.50, True), (80.51, True), (80.52, False), (80.49, False)):
        cells = [*columns, Printed("M", "average", "base", printed)]
        found = contradictions(*small(cells, {"average": ["dtd", "eurosat"]}))
        assert (not found) is right
    assert not contradictions(*small(cells[:1] + cells[2:], {"average": ["dtd", "eurosat"]}))  # a column is missing


def test_a_number_that_a_paper_gives_twice():
    table, paper = small([Printed("M", "dtd", "base", 80.0)])
    other = replace(table, table="2", cells=(Printed("M", "dtd", "base", 81.0),))
    other_shots = replace(other, table="3", shots=4)
    paper = replace(paper, tables=[table, other, other_shots])
    assert contradictions(table, paper) == {table.cells[0]: "also printed as 81.00 in Table 2"}
    assert not contradictions(other_shots, paper)


def test_the_known_contradictions_are_found():
    found = {(t.name, c.method, c.dataset, c.part, c.noise_rate): why
             for p, tables in choose() for t in tables for c, why in contradictions(t, p).items()}  # fmt: skip
    assert found["anprompt, Table 1", "MMRL", "ucf101", "hm", None] == "base and new give 83.89"
    # 2 * 74.57 * 75.82 / 150.39 = 75.19, printed as 73.68
    assert found["anprompt, Table 1", "TextRefiner", "eurosat", "hm", None] == "base and new give 75.19"
    # 70.80 is the source; the ten others add up to 666.72
    assert found["anprompt, Table 2", "CoPrompt", "average", "target", None] == "the columns give 66.67"
    # (64.85 + 48.85 + 49.59 + 76.25) / 4 = 59.885, printed as 59.74
    assert found["sar, Table 5", "TCP+SAR", "average", "target", None].startswith("the columns give 59.8")
    assert found["dpsep, Table 1", "PTNL", "oxford_pets", "all", 0.65] == "also printed as 64.81 in Table 4"
    assert found["dpsep, Table 4", "PTNL", "oxford_pets", "all", 0.65] == "also printed as 56.93 in Table 1"
    hms = {key[1:3] for key in found if key[0] == "anprompt, Table 1" and key[3] == "hm"}
    assert hms == {
        ("CoOp", "caltech101"), ("CoCoOp", "imagenet"), ("PromptSRC", "eurosat"), ("CoPrompt", "oxford_pets"),
        ("TextRefiner", "eurosat"), ("MMRL", "dtd"), ("MMRL", "ucf101"), ("ANprompt", "eurosat"),
    }  # fmt: skip
    assert not [key for key in found if key[0].startswith("sar") and key[0] != "sar, Table 5"]


def test_a_row_with_a_contradiction_is_unreliable_as_a_whole():
    paper, table = table_of("anprompt", "1")
    found = {(c.method, c.dataset, c.part): why for c, why in unreliable(table, paper).items()}
    whole = {part for method, dataset, part in found if (method, dataset) == ("MMRL", "ucf101")}
    assert whole == {"base", "new", "hm"}
    assert found["MMRL", "ucf101", "base"] == "hm 83.39: base and new give 83.89"
    assert ("MMRL", "eurosat", "base") not in found and ("CoOp", "ucf101", "hm") not in found


def test_each_number_says_who_reports_and_who_measured_it(tmp_path):
    for paper, tables in choose():
        for table in tables:
            assert table.reported_by and set(table.measured) == {cell.method for cell in table.cells}, paper
            assert set(table.measured.values()) <= {BY_THEM, COPIED, NOT_STATED}
    ours = row(tmp_path, "anprompt", "1", "ANprompt", "ucf101", "hm")
    other = row(tmp_path, "anprompt", "1", "MMRL", "ucf101", "base")
    assert (ours.reported_by, ours.measured, other.measured) == ("the authors of ANPrompt", BY_THEM, NOT_STATED)
    assert other.contradiction == "" and other.unreliable.startswith("hm ")
    assert row(tmp_path, "sar", "3", "CoOp", "dtd", "base").measured == BY_THEM


# ---------------------------------------------------------------------- ours beside them


def base2new(output: Path, method: str, dataset: str, base: list[float], new: list[float], backbone="ViT-B/16", **more):
    for part, values, half in (("base2new_train", base, "base"), ("base2new_test", new, "new")):
        for seed, value in enumerate(values, start=1):
            folder = folder_of(output, part, method, dataset, seed, shots=more.get("shots", 16))
            record = {"subsample_classes": half, "backbone": {"name": backbone}, "config": more.get("config", {})}
            write_result(folder, method, dataset, seed, value, **record)


def rows(output: Path, name: str, number: str) -> pd.DataFrame:
    paper, table = table_of(name, number)
    found = compare(collect(output), output, paper, [table])
    assert len(found) == len(table.cells)
    return found


def row(output: Path, name: str, number: str, method: str, dataset: str, part: str) -> pd.Series:
    found = rows(output, name, number)
    ((_, one),) = found[(found.method == method) & (found.dataset == dataset) & (found.part == part)].iterrows()
    return one


def test_difference_and_spread(tmp_path):
    base2new(tmp_path, "CoOp", "dtd", [78.44, 79.44, 80.44], [30.0, 30.1, 30.2])  # printed: 79.44, 41.18
    base = row(tmp_path, "anprompt", "1", "CoOp", "dtd", "base")
    assert (base.ours, base["std"], base.n) == (pytest.approx(79.44), pytest.approx(1.0), 3)
    assert base.difference == pytest.approx(0.0) and base.comparable == "yes" and base.inside is True
    new = row(tmp_path, "anprompt", "1", "CoOp", "dtd", "new")
    assert new.difference == pytest.approx(30.1 - 41.18) and new.inside is False
    hm = row(tmp_path, "anprompt", "1", "CoOp", "dtd", "hm")
    assert hm.ours == pytest.approx(2 * 79.44 * 30.1 / (79.44 + 30.1)) and hm.remarks == ""
    average = row(tmp_path, "anprompt", "1", "CoOp", "average", "hm")
    assert average.n == 0 and math.isnan(average.ours) and average.remarks == "ours has 1 of its 11 datasets"
    missing = row(tmp_path, "anprompt", "1", "TextRefiner", "dtd", "hm")
    assert missing.n == 0 and math.isnan(missing.difference) and missing.inside is None


def test_one_seed_has_a_difference_and_no_verdict(tmp_path):
    base2new(tmp_path, "CoOp", "dtd", [80.0], [40.0])
    base = row(tmp_path, "anprompt", "1", "CoOp", "dtd", "base")
    assert base.difference == pytest.approx(0.56) and base.inside is None and math.isnan(base.ci95)


def test_averages_as_the_papers_print_them(tmp_path):
    for i, dataset in enumerate(ELEVEN):
        base2new(tmp_path, "CoOp", dataset, [70.0 + i, 72.0 + i], [60.0, 60.0])
    base = row(tmp_path, "anprompt", "1", "CoOp", "average", "base")
    assert base.ours == pytest.approx(76.0) and base.n == 2 and base["std"] == pytest.approx(math.sqrt(2))
    hm = row(tmp_path, "anprompt", "1", "CoOp", "average", "hm")
    assert hm.ours == pytest.approx(2 * 76 * 60 / 136) and hm.difference == pytest.approx(2 * 76 * 60 / 136 - 71.66)
    assert row(tmp_path, "sar", "3", "CoOp", "average", "hm").ours == hm.ours
    assert row(tmp_path, "sar", "4", "CoOp", "average", "hm").remarks == "ours with 16 shots, not 4"


@pytest.mark.parametrize(
    ("more", "remark"),
    [
        ({"backbone": "Embedded"}, "ours on Embedded, not ViT-B/16"),
        ({"backbone": "RN50"}, "ours on RN50, not ViT-B/16"),
        ({"shots": 4}, "ours with 4 shots, not 16"),
    ],
)
def test_what_is_not_comparable_has_no_difference(tmp_path, more, remark):
    base2new(tmp_path, "CoOp", "dtd", [80.0, 81.0], [40.0, 41.0], **more)
    base = row(tmp_path, "anprompt", "1", "CoOp", "dtd", "base")
    assert base.ours == 80.5 and base.comparable == "no" and base.remarks == remark
    assert math.isnan(base.difference) and base.inside is None


def test_the_papers_own_setting_is_preferred(tmp_path):
    base2new(tmp_path, "CoOp", "dtd", [80.0], [40.0])
    base2new(tmp_path, "CoOp", "dtd", [1.0, 1.0], [1.0, 1.0], shots=4)
    base = row(tmp_path, "anprompt", "1", "CoOp", "dtd", "base")
    assert base.ours == 80.0 and base.comparable == "yes"
    assert row(tmp_path, "sar", "3", "CoOp", "dtd", "base").ours == 80.0


def test_the_embedded_suite_stands_beside_averages_without_a_difference(tmp_path):
    for dataset, value in (("digits", 60.0), ("letters", 80.0)):
        base2new(tmp_path, "CoOp", dataset, [value, value], [50.0, 50.0], backbone="Embedded")
    average = row(tmp_path, "anprompt", "1", "CoOp", "average", "base")
    assert average.ours == 70.0 and average.comparable == "no" and math.isnan(average.difference)
    assert average.remarks == "ours on Embedded, not ViT-B/16; ours over Digits, Letters"
    for seed in (1, 2):
        for target in ("digits", "shapes_sketch"):
            folder = folder_of(tmp_path, "xd_test", "CoOp", target, seed, source="shapes")
            write_result(folder, "CoOp", target, seed, 30.0 if target == "digits" else 20.0)
    assert row(tmp_path, "anprompt", "2", "CoOp", "average", "target").ours == 30.0
    shifted = row(tmp_path, "anprompt", "3", "CoOp", "average", "target")
    assert shifted.ours == 20.0 and "trained on shapes, not imagenet" in shifted.remarks


def test_cross_dataset_and_domain_generalisation_are_kept_apart(tmp_path):
    for name, value in [("imagenet", 71.0), *((d, 60.0) for d in ELEVEN[1:]), *((d, 50.0) for d in SHIFTS["imagenet"])]:
        protocol = "xd_train" if name == "imagenet" else "xd_test"
        write_result(folder_of(tmp_path, protocol, "CoOp", name, 1), "CoOp", name, 1, value)
    away = row(tmp_path, "anprompt", "2", "CoOp", "average", "target")
    shifted = row(tmp_path, "anprompt", "3", "CoOp", "average", "target")
    assert (away.ours, shifted.ours) == (60.0, 50.0) and away.difference == pytest.approx(60 - 63.88)
    assert row(tmp_path, "anprompt", "3", "CoOp", "imagenet", "source").ours == 71.0


def test_what_a_paper_leaves_open_is_said(tmp_path):
    for kind, rate, value in (("sym_other", "0.5", 70.0), ("sym_all", "0.5", 1.0), ("idn", "0.4", 75.0)):
        for seed in (1, 2):
            folder = folder_of(tmp_path, "noise_train", "DPSEP", "oxford_pets", seed, (kind, rate))
            write_result(folder, "DPSEP", "OxfordPets", seed, value, backbone={"name": "ViT-B/32"})
    found = rows(tmp_path, "dpsep", "1").dropna(subset="ours").set_index("noise_type")
    assert list(found.index) == ["symmetric", "instance"]
    symmetric, instance = found.loc["symmetric"], found.loc["instance"]
    assert symmetric.ours == 70.0 and symmetric.ours_noise_type == "sym_other"
    assert symmetric.comparable == "unknown" and symmetric.difference == pytest.approx(70 - 85.08)
    assert symmetric.inside is None and "which symmetric noise is not stated, ours is sym_other" in symmetric.remarks
    assert instance.remarks == "backbone not stated, ours is ViT-B/32; shots not stated, ours are 16"


def test_top5_and_the_second_test_set_of_webvision(tmp_path):
    for protocol, value in (("real_noise_train", 70.0), ("real_noise_test", 71.0)):
        folder = folder_of(tmp_path, protocol, "PTNL", "webvision", 1)
        file = write_result(folder, "PTNL", "WebVisionMini", 1, value)
        file.write_text(file.read_text().replace('"macro_f1"', '"top5_accuracy": 90.0, "macro_f1"'))
    found = rows(tmp_path, "dpsep", "2").dropna(subset="ours").set_index(["dataset", "metric"])["ours"].to_dict()
    assert found == {
        ("webvision", "accuracy"): 70.0, ("webvision", "top5_accuracy"): 90.0,
        ("webvision_ilsvrc12_val", "accuracy"): 71.0, ("webvision_ilsvrc12_val", "top5_accuracy"): 90.0,
    }  # fmt: skip


def test_clean_and_attacked_numbers_of_test_time_methods(tmp_path):
    for pairs, value in (((), 20.0), (("1", "7"), 15.0), (("4", "100"), 1.0)):
        folder = folder_of(tmp_path, "test_time", "RTPT", "fgvc_aircraft", 1, pairs, cfg="rn50")
        write_result(folder, "RTPT", "FGVCAircraft", 1, value, backbone={"name": "RN50"})
    found = rows(tmp_path, "rtpt", "issue_4")
    own = found[found.method == "R-TPT"].set_index("attack")
    assert own.loc["", "ours"] == 20.0 and own.loc["pgd-eps1-7", "ours"] == 15.0
    assert own.loc["pgd-eps1-7", "difference"] == pytest.approx(-2.5) and own.loc["", "comparable"] == "yes"


def test_rows_of_an_ablation_are_found_by_their_settings(tmp_path):
    def config(tokens: int) -> dict:
        switches = {"TEXT_NOISE": True, "WA_LOSS": True, "ANTI_PROMPT": True}
        return {"TRAINER": {"ANPROMPT": {**switches, "N_TOKENS": tokens, "ALPHA": 0.001}}}

    for tokens, where in ((5, tmp_path), (3, tmp_path / "variants" / "N_TOKENS=3")):
        for dataset in ELEVEN:
            base2new(where, "ANPrompt", dataset, [80.0 + tokens], [70.0], config=config(tokens))
    found = rows(tmp_path, "anprompt", "5").dropna(subset="ours").set_index(["method", "part"])
    assert set(found.index.get_level_values(0)) == {"T = 3", "T = 5"}
    assert found.loc[("T = 3", "base"), "ours"] == pytest.approx(83.0)
    assert found.loc[("T = 3", "base"), "ours_variant"] == "N_TOKENS=3"
    full = rows(tmp_path, "anprompt", "4").set_index("method")
    assert full.loc["text noise + WA loss + anti-noise prompts", "ours_variant"] == ""  # both fit: the plain run
    for dataset in ELEVEN:
        base2new(tmp_path / "variants" / "again", "ANPrompt", dataset, [1.0], [1.0], config=config(3))
    lost = rows(tmp_path, "anprompt", "5").set_index(["method", "part"]).loc[("T = 3", "base")]
    assert math.isnan(lost.ours) and "several of ours" in lost.remarks


# ---------------------------------------------------------------------- formats


def test_ranks_are_of_printed_numbers():
    assert ranks([1.0, 3.0, 2.0, None, float("nan")]) == ["", BEST, SECOND, "", ""]
    assert ranks([1.0]) == [""] and ranks([1.0, 2.0]) == ["", BEST] and ranks([]) == []
    assert ranks([2.001, 2.004, 1.0]) == [BEST, BEST, SECOND]


TABLE = TextTable(
    "A_1: 50 % & more", ["set_name", "accuracy"],
    [[Cell("a_b"), Cell("81.70 ± 0.30 (3)", BEST, "*")], [Cell("c#d-1"), Cell("-80.00", SECOND)]],
    ["a: {x}~y^2"], frozenset({1}), frozenset({1}), "a-1",
)  # fmt: skip


def test_latex():
    lines = render([TABLE], "latex").splitlines()
    fit = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{"
    assert lines[2:-1] == [
        r"\begin{table}[t]", r"\centering", r"\caption{A\_1: 50 \% \& more}", r"\label{tab:a-1}",
        fit + r"\begin{tabular}{lr}", r"\toprule", r"set\_name & accuracy \\", r"\midrule",
        r"a\_b & \textbf{81.70}{\scriptsize\,$\pm$\,0.30 (3)}* \\", r"\midrule",
        r"c\#d-1 & \underline{$-$80.00} \\", r"\bottomrule", r"\end{tabular}}",
        r"\par\smallskip{\footnotesize\raggedright a: \{x\}\textasciitilde{}y\textasciicircum{}2\par}",
    ]  # fmt: skip
    assert "booktabs" in lines[0]
    assert escape_latex("50% of A_B & C\\$") == r"50\% of A\_B \& C\textbackslash{}\$"


def test_markdown_and_terminal():
    text = render([TABLE], "markdown")
    assert "| a\\_b" in text and "**81.70 ± 0.30 (3)**\\*" in text and "<u>-80.00</u>" in text
    plain = render([TABLE], "terminal")
    assert "81.70 ± 0.30 (3)*" in plain and "**" not in plain and plain.count("----") >= 2


# ---------------------------------------------------------------------- the command


@pytest.fixture
def output(tmp_path) -> Path:
    base2new(tmp_path / "out", "CoOp", "caltech101", [97.0, 98.0, 99.0 + 1 / 3], [88.0, 89.0, 90.0])
    base2new(tmp_path / "out", "MaPLe", "caltech101", [90.0], [90.0], backbone="RN50")
    return tmp_path / "out"


def test_the_command_prints_two_decimals(output, capsys):
    assert main([str(output), "--paper", "anprompt", "--table", "1", "--datasets", "caltech101"]) == 0
    text = capsys.readouterr().out
    coop = [line.split() for line in text.splitlines() if " CoOp " in f" {line} "]
    assert coop[0] == ["CoOp", "98.00(*)", "98.11", "±", "1.17", "(3)", "+0.11", "yes"]
    assert coop[2][:3] == ["CoOp", "94.20*", "93.33"] and coop[2][-1] == "b"
    assert "b: base and new give 93.73" in text and "ours on RN50, not ViT-B/16" in text
    assert "TextRefiner" in text
    assert "Caltech101" in text and "caltech101" not in text  # spelled as in the report, taken either way
    assert main([str(output), "--paper", "anprompt", "--table", "1", "--datasets", "Caltech101"]) == 0
    assert capsys.readouterr().out == text
    assert main([str(output), "--paper", "anprompt", "--table", "1", "--found"]) == 0
    assert "TextRefiner" not in capsys.readouterr().out


def test_csv_keeps_every_digit(output, tmp_path):
    file = tmp_path / "new" / "x.csv"
    assert main([str(output), "--format", "csv", "--output", str(file)]) == 0
    with file.open() as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == sum(len(t.cells) for _, tables in choose() for t in tables)
    (one,) = [x for x in lines if (x["paper"], x["table"], x["method"], x["dataset"], x["part"])
              == ("anprompt", "1", "CoOp", "caltech101", "base")]  # fmt: skip
    assert float(one["ours"]) == pytest.approx((97 + 98 + 99 + 1 / 3) / 3, abs=1e-12) and len(one["ours"]) > 12
    assert one["published"] == "98.0" and one["inside"] == "True"


@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_text_files(output, tmp_path, form):
    file = tmp_path / "x"
    assert main([str(output), "--paper", "sar", "--format", form, "--output", str(file)]) == 0
    text = file.read_text()
    assert "Caltech101" in text and "CoOp+SAR" in text
    if form == "latex":
        assert text.count(r"\begin{tabular}") == text.count(r"\bottomrule") > 10
        outside = [line for line in text.splitlines() if not line.startswith("%")]
        assert all("%" not in line.replace(r"\%", "") and "±" not in line for line in outside)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--paper", "nothing"], "anprompt"),
        (["--table", "9"], "tpt_ood"),
        (["--datasets", "digits"], "caltech101"),
        (["--methods", "CoOpp"], "MaPLe"),
        (["--output", "/dev/null/x/y"], "cannot be written"),
    ],
)
def test_bad_input_is_one_sentence(output, arguments, says, capsys):
    assert main([str(output), *arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and error[0].startswith("error: ") and says in error[0]


def test_broken_results_are_named(output, tmp_path, capsys):
    bad = write_result(folder_of(output, "few_shot", "CoOp", "dtd", 1), "CoOp", "dtd", 1, 50.0)
    bad.write_text("{")
    assert main([str(output), "--found"]) == 1 and str(bad) in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty")]) == 2 and "no results" in capsys.readouterr().err


def test_a_folder_above_the_runs_is_named(output, capsys):
    assert main([str(output.parent), "--paper", "sar"]) == 0
    assert "name one of these" in capsys.readouterr().err


def test_a_paper_that_is_not_there():
    with pytest.raises(InputError, match="anprompt"):
        load("../anprompt")
