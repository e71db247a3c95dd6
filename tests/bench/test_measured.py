"""The archives in docs/measured print the tables of the documents."""

from __future__ import annotations

import csv
import json
import re
import tarfile
from pathlib import Path

import pytest
import yaml

from bench.__main__ import main as bench
from bench.drawing import table as bench_table
from bench.studies import (
    adversarial,
    adversarial_base2new,
    anprompt_ablation,
    claims,
    dpsep_ablation,
    generalization,
    noise,
    noise_analysis,
    sar,
    streams,
    text_noise,
)

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


def rows(text: str, start: str = "|") -> list[list[str]]:
    """Cells of the Markdown rows that begin so."""
    lines = (line for line in text.splitlines() if line.startswith(start))
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]


def section(page: str, title: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8").split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


@pytest.fixture
def unpacked(tmp_path, monkeypatch):
    """A folder where archives were unpacked, with the configs of the checkout. only: parts of the names wanted."""
    (tmp_path / "configs").symlink_to(DOCS.parent / "configs")
    monkeypatch.chdir(tmp_path)

    def unpack(name: str, only: tuple[str, ...] = ("",)) -> None:
        with tarfile.open(DOCS / "measured" / f"{name}.tar.xz") as archive:
            wanted = [each for each in archive if any(word in each.name for word in only)]
            archive.extractall(tmp_path, wanted, filter="data")

    return unpack


THIRTEEN = [
    "ZeroshotCLIP", "CoOp", "CoCoOp", "KgCoOp", "ProGrad", "VPT", "IVLP", "MaPLe", "PromptSRC", "TCP", "CoPrompt",
    "MMRL", "ANPrompt",
]  # fmt: skip


def test_across_datasets_shifted_and_few_images(unpacked, capsys):
    unpacked("generalization")
    words = ["--tables-only", "--methods", *THIRTEEN, "--output", "output/generalization", "--markdown", "t.md"]
    assert generalization.main(words) == 0
    printed = Path("t.md").read_text(encoding="utf-8")
    head, _, *large = rows(printed.split("## All protocols", 1)[1].split("\n\nAccuracy", 1)[0])
    wanted = [
        head.index(name) for name in ("method", "XD", "DG", "1 shot", *(f"{n} shots" for n in (2, 4, 8, 16)), "seeds")
    ]
    table = rows(section("results.md", "Across datasets, shifted variants, few images"))[2:]
    assert [[row[k] for k in wanted] for row in large] == table and len(table) == 13


def test_written_sentences_and_templates(unpacked, capsys):
    unpacked("descriptions")
    table = rows(section("language.md", "What written sentences are worth: measured on the embedded suite"))[2:]
    for place, variant in ((2, "descriptions"), (5, "templates")):
        assert bench_table.main([f"output/descriptions/variants/{variant}", "--markdown", f"{variant}.md"]) == 0
        printed = {(c[1], c[0]): c[2:5] for c in rows(Path(f"{variant}.md").read_text(encoding="utf-8"))[2:]}
        assert printed == {(c[0], c[1]): c[place : place + 3] for c in table} and len(table) == 12


def test_why_some_clean_trainings_fall(unpacked, capsys):
    unpacked("diverged")
    assert bench(["collect", "output/diverged", "--csv", "diverged.csv"]) == 0
    with open("diverged.csv", encoding="utf-8", newline="") as stream:
        found = {(r["method"], r["variant"], r["seed"]): f"{float(r['accuracy']):.2f}" for r in csv.DictReader(stream)}
    page = (DOCS / "card.md").read_text(encoding="utf-8").split("### Why some clean trainings fall")[1]
    table = rows(page.split("\n### ")[0])[2:]
    assert len(found) == 48 and len(table) == 8
    for method, _, *cells in table:
        for rate, *told in (cells[:4], cells[4:]):
            assert told == [found[method, f"LR={rate}", seed] for seed in "123"]


def test_why_three_methods_come_near_chance(unpacked, capsys):
    unpacked("near_chance")
    folders = sorted({str(file.parent) for file in Path("output/near_chance").rglob("curves.json")})
    assert noise_analysis.main([*folders, "--figures", "memorisation", "--output", "analysis"]) == 0
    printed = rows(Path("analysis/curves.md").read_text(encoding="utf-8"))[2:]
    page = (DOCS / "card.md").read_text(encoding="utf-8").split("### Why three methods come near chance")[1]
    curves, others = page.split("**Eight others**")
    assert sorted(row[2:9] for row in printed) == sorted(row[1:] for row in rows(curves)[2:]) and len(printed) == 10
    assert bench(["collect", "output/near_chance", "--csv", "near.csv"]) == 0
    with open("near.csv", encoding="utf-8", newline="") as stream:
        found = {(r["method"], r["variant"], r["seed"]): f"{float(r['accuracy']):.2f}" for r in csv.DictReader(stream)}
    table = rows(others)[2:]
    assert len(table) == 8
    for method, _, *cells in table:
        for rate, *told in (cells[:4], cells[4:]):
            assert told == [found[method, f"LR={rate}", seed] for seed in "123"]


def test_base_to_new_of_all_methods(unpacked, capsys):
    unpacked("generalization")
    words = ["--tables-only", "--published-order", "--output", "output/generalization", "--markdown", "t.md"]
    assert generalization.main(words) == 0
    printed = Path("t.md").read_text(encoding="utf-8")
    page = section("results.md", "Base to new, all methods")
    averages = {cells[1]: cells[2:] for cells in rows(printed, "| average of 5")}
    table = rows(page.split("![", 1)[0])
    assert {cells[0]: cells[1:] for cells in table[2:]} == averages
    assert len(averages) == 31
    orders = page.split("**Beside the published order.**", 1)[1]
    assert rows(orders)[2:11] == rows(printed.split("## The order of anprompt", 1)[1])[2:11]


def test_prompts_trained_against_attacks(unpacked, capsys):
    unpacked("adversarial_base2new")
    words = ["--tables-only", "--output", "output/adversarial_base2new", "--markdown", "t.md"]
    assert adversarial_base2new.main(words) == 0
    printed = Path("t.md").read_text(encoding="utf-8")
    tables = section("adversarial_training.md", "Measured").split("and at eps 4:")
    for eps, shown in zip((1, 4), tables, strict=True):
        own = printed.split(f"## pgd-eps{eps}-20-n100, average of 2\n", 1)[1].split("\n## ", 1)[0]
        assert rows(shown)[2:] == rows(own)[2:]
        assert len(rows(shown)) == 10


def test_streams(unpacked, capsys):
    unpacked("streams")
    assert streams.main(["--tables-only", "--output", "output/streams", "--markdown", "t.md"]) == 0
    page = section("test_time.md", "Methods that learn from the stream")
    shown = [cells for cells in rows(page) if len(cells) == 9][2:]
    assert shown == rows(Path("t.md").read_text(encoding="utf-8"))[2:]
    assert len(shown) == 7


METHODS = {
    "adversarial.md": (["ZeroshotCLIP", "CoOp", "ANPrompt", "TPT", "RTPT"], ["1", "4", "8"], ["1", "3", "10"], "TWA"),
    "test_time.md": (["ZeroshotCLIP", "ZERO", "TPS", "OTPT", "TPT", "RTPT"], ["4"], ["10"], "TA"),
}


@pytest.mark.parametrize("page", METHODS)
def test_methods_under_attack(unpacked, capsys, page):
    unpacked("adversarial")
    methods, eps, steps, modes = METHODS[page]
    words = ["--methods", *methods, "--datasets", "digits", "--eps", *eps, "--steps", *steps, "--modes", *modes]
    words += ["--attacks", "pgd", "--subset", "100", "--seeds", "1", "2", "3"]
    words += ["--tables-only", "--output", "output/adversarial", "--markdown", "t.md"]
    assert adversarial.main([*words, "--", "ATTACK.EOT.DRAWS", "2", "ATTACK.EOT.VIEWS", "4"]) == 0
    printed = rows(Path("t.md").read_text(encoding="utf-8"))
    shown = rows(section(page, "Measured").split("What", 1)[0])[2:]
    assert shown and all(cells in printed for cells in shown)


@pytest.mark.parametrize(
    ("name", "main", "count"), [("noise", noise.main, 21), ("dpsep_ablation", dpsep_ablation.main, 12)]
)
def test_label_noise(unpacked, capsys, name, main, count):
    unpacked(name)
    assert main(["--tables-only", "--output", f"output/{name}", "--markdown", "t.md"]) == 0
    printed = [cells for cells in rows(Path("t.md").read_text(encoding="utf-8")) if cells[-1] in ("1", "3")]
    shown = rows(section("label_noise.md", "Measured"))
    assert len(printed) == count
    assert all(cells in shown for cells in printed)


def test_anprompts_ablation(unpacked, capsys):
    unpacked("anprompt_ablation")
    words = ["--tables-only", "--output", "output/anprompt_ablation", "--markdown", "t.md"]
    assert anprompt_ablation.main(words) == 0
    printed = rows(Path("t.md").read_text(encoding="utf-8"))[2:]
    assert rows(section("results.md", "ANPrompt's ablation"))[2:] == printed and len(printed) == 7


def test_claims_and_their_follow_ups(unpacked, capsys):
    unpacked("claims")
    page = rows(section("claims.md", "As measured"))
    words = ["--tables-only", "--output", "output/claims", "--markdown", "t.md"]
    for more in ([], ["--follow-up"]):
        assert claims.main([*words, *more]) == 0, "no claim lacks a run"
        printed = rows(Path("t.md").read_text(encoding="utf-8"))
        headers = printed[0]
        printed = [cells for cells in printed if cells[0] != "claim" and not cells[0].startswith("---")]
        shown = [cells[-len(headers) :] for cells in page]
        assert len(printed) >= 10 and all(cells in shown for cells in printed)


@pytest.mark.parametrize("table", ["hosts", "ablation", "lambda"])
def test_sar(unpacked, capsys, table):
    unpacked("claims")
    words = [table, "--tables-only", "--output", "output/claims", "--markdown", "t.md"]
    assert sar.main([*words, *(["--datasets", "textures"] if table == "lambda" else [])]) == 0
    printed = rows(Path("t.md").read_text(encoding="utf-8"))[2:]
    shown = rows(section("sar.md", "As measured"))
    assert len(printed) == {"hosts": 10, "ablation": 4, "lambda": 6}[table] and all(cells in shown for cells in printed)


FIVE = "PTNL DPSEP --types sym_other:0.125,0.25,0.5,0.65,0.8 idn:0.2,0.4,0.6,0.8 --seeds 1 2 3 4 5"
THREE = "NLPrompt JoAPR VisPrompt --types sym_other:0.5,0.8 idn:0.4,0.8 --seeds 1 2 3"


@pytest.mark.parametrize(("words", "seeds", "count"), [(FIVE, "5", 12), (THREE, "3", 18)])
def test_label_noise_on_three_sets(unpacked, capsys, words, seeds, count):
    unpacked("claims")
    words = ["--methods", *words.split(), "--datasets", "letters", "textures", "objects"]
    assert noise.main([*words, "--tables-only", "--output", "output/claims", "--markdown", "t.md"]) == 0
    printed = [cells for cells in rows(Path("t.md").read_text(encoding="utf-8")) if cells[-1] == seeds]
    shown = [cells[1:] for cells in rows((DOCS / "label_noise.md").read_text(encoding="utf-8"))]
    assert len(printed) == count and all(cells in shown for cells in printed)


def test_noisy_text(unpacked, capsys):
    unpacked("text_noise")
    assert text_noise.main(["--tables-only", "--output", "output/text_noise", "--markdown", "t.md"]) == 0
    printed = Path("t.md").read_text(encoding="utf-8")
    page = section("text_noise.md", "As measured")
    shown = rows(page)
    assert len(rows(printed)) == 32 and all(cells in shown for cells in rows(printed) if "---" not in cells[0])
    assert all(line in page for line in printed.splitlines() if line.startswith("- ANPrompt loses"))


def test_rates_chosen_on_validation_images(unpacked, capsys):
    unpacked("selection")
    suite = DOCS.parent / "configs/suites/selection.yaml"
    assert bench(["select", str(suite), "--seeds", "1"]) == 0
    shown = rows(section("selection.md", "As measured"))
    told = yaml.safe_load(Path("output/selection/selected.yaml").read_text(encoding="utf-8"))
    methods = [(name, each) for block in told.values() for name, each in block["methods"].items()]
    assert len(methods) == 17
    for name, each in methods:
        scores = [f"{score:.2f}" for score in each["scores"].values()]
        assert [name, *scores, each["published"], each["chosen"]] in shown
    assert bench(["card", "output/selection", "--json", "card.json"]) == 0
    for name, axes in json.loads(Path("card.json").read_text(encoding="utf-8"))["methods"].items():
        columns = ("base", "new", "hm") if axes["base"].get("mean") else ("noise_area", "noise_worst", "collapsed")
        figures = [f"{axes[axis]['mean']:.{1 if axis == 'collapsed' else 2}f}" for axis in columns]
        assert [name, *figures] in shown


def test_the_card(unpacked, capsys):
    """Its table is too wide for a page, which has the same rows in three tables of some columns each."""
    unpacked("card")
    assert bench(["card", "output/card", "--markdown", "card.md"]) == 0
    printed = rows(Path("card.md").read_text(encoding="utf-8").removeprefix("## ").split("\n## ", 1)[0])
    figures = {cells[0]: dict(zip(printed[0], cells, strict=True)) for cells in printed[2:]}
    tables = re.findall(r"(?:^\|.*\n)+", section("card.md", "What was measured").split("\n### ")[0], flags=re.MULTILINE)
    assert len(tables) == 3
    for table in map(rows, tables):
        shown = [dict(zip(table[0], cells, strict=True)) for cells in table[2:]]
        assert shown and all(own.items() <= figures[own["method"]].items() for own in shown)
        left_out = set(figures) - {own["method"] for own in shown}
        columns = [column for column in table[0] if column not in ("method", "mean rank")]
        assert all(figures[name][column] == "-" for name in left_out for column in columns)
    assert bench(["corruptions", "output/card", "--format", "markdown", "--output", "mce.md"]) == 0
    errors = rows(Path("mce.md").read_text(encoding="utf-8").split("## Accuracy", 1)[0])
    assert rows(section("corruptions.md", "Measured"))[2:] == errors[2:] and len(errors) > 9


def test_another_kind_of_cpu(unpacked):
    """docs/running.md: one training on two kinds of processor, which zero-shot CLIP's last bits tell apart."""
    unpacked("card", only=("/few_shot/digits/shots_16/", "/noise/digits/sym_other_r0000/"))
    unpacked("other_cpu")
    card, runs = Path("output/card"), "few_shot/digits/shots_16/*/embedded/seed*/results.json"
    noise = card / "noise/digits/sym_other_r0000"
    pairs = [(file, noise / Path(*file.parts[-5:])) for file in card.glob(runs.replace("seed*", "seed1"))]
    pairs += [(file, card / file.relative_to("output/other_cpu")) for file in Path("output/other_cpu").glob(runs)]
    alike, differ, same = [], [], []
    for files in pairs:
        if not files[1].is_file():  # trained on attacked images, or not at all
            continue
        one, other = (json.loads(each.read_text(encoding="utf-8")) for each in files)
        accuracies = [f"{r['results']['accuracy']:.1f}" for r in (one, other)]
        if one["zero_shot_class_feature_distance"] == other["zero_shot_class_feature_distance"]:
            assert all(one[key] == other[key] for key in ("results", "class_feature_distance"))
            alike.append(files)
        else:
            (same if accuracies[0] == accuracies[1] else differ).append(
                [files[0].parts[-4], files[0].parts[-2][4:], *accuracies]
            )
    assert sorted(rows(section("running.md", "Another kind of CPU"))[2:]) == sorted(differ)
    assert (len(alike), len(same), len(differ)) == (16, 15, 19)
