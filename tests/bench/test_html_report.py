"""The report page as a file: its numbers, its links, and that nothing in results can become markup."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from report_samples import COMMIT, Samples, write_everything

from bench.__main__ import main

HOSTILE = "<img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """What a test asks of a page. tables: {caption: [[cell texts], ...]}, the head first."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file, self.text = file, file.read_text(encoding="utf-8")
        self.tags: dict[str, int] = {}
        self.links: list[str] = []
        self.strong: list[str] = []
        self.ids: set[str] = set()
        self.tables: dict[str, list[list[str]]] = {}
        self.data: dict = {}
        self.notes: list[str] = []
        self._rows: list[list[str]] = []
        self._open: list[tuple[str, dict]] = []
        self.feed(self.text)

    def handle_starttag(self, tag, attrs) -> None:
        attrs = dict(attrs)
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.ids |= {attrs["id"]} if "id" in attrs else set()
        if tag == "a":
            self.links.append(attrs["href"])
        if tag == "table":
            self._rows = [[""]]
        if tag == "tr":
            self._rows.append([])
        if tag in ("td", "th"):
            self._rows[-1].append("")
        if (tag, attrs.get("class")) == ("p", "note"):
            self.notes.append("")
        if tag not in ("meta", "input"):
            self._open.append((tag, attrs))

    def handle_endtag(self, tag) -> None:
        assert self._open.pop()[0] == tag
        if tag == "table":
            self.tables[self._rows[0][0]] = self._rows[1:]

    def handle_data(self, data) -> None:
        tags = [tag for tag, _ in self._open]
        if "script" in tags and dict(self._open)["script"].get("id") == "data":
            self.data = json.loads(data)
        if "caption" in tags:
            self._rows[0][0] += data
        if "td" in tags or "th" in tags:
            self._rows[-1][-1] += data
        if "strong" in tags:
            self.strong.append(data)
        if ("p", {"class": "note"}) in self._open:
            self.notes[-1] += data

    def table(self, start: str) -> list[list[str]]:
        return next(rows for caption, rows in self.tables.items() if caption.startswith(start))

    def row(self, start: str, *heads: str) -> list[str]:
        """The numbers of the row with these words."""
        return next(row[len(heads) :] for row in self.table(start) if tuple(row[: len(heads)]) == heads)


def report(folder: Path, file: Path | None = None) -> Page:
    file = file or folder / "report.html"
    assert main(["report", str(folder), "--output", str(file)]) == 0
    return Page(file)


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> Page:
    root = tmp_path_factory.mktemp("all") / "output"
    write_everything(root)
    return report(root)


def test_base_new_hm_and_the_average_by_hand(tmp_path):
    made = Samples(tmp_path)
    for seed, (base, new) in enumerate(((80, 60), (82, 62), (84, 64)), start=1):
        made.base2new("CoOp", "digits", seed, base, new)
        made.base2new("CoOp", "textures", seed, base - 20, new - 20)
    made.base2new("ANPrompt", "digits", 1, 90, 30)
    page = report(tmp_path)
    # HM of 82 and 62 is 2 * 82 * 62 / 144 = 70.611; over the seeds' own: 68.571, 70.611, 72.649
    assert page.row("Base and new", "Digits", "CoOp") == ["82.00±2.00", "62.00±2.00", "70.61±2.04", "3"]
    assert page.row("Base and new", "Digits", "ANPrompt") == ["90.00", "30.00", "45.00", "1"]
    # of the averages 72 and 52: 2 * 72 * 52 / 124 = 60.387; over seeds 58.333, 60.387, 62.438
    assert page.row("Base and new", "average of 2", "CoOp") == ["72.00±2.00", "52.00±2.00", "60.39±2.05", "3"]
    assert not [row for row in page.table("Base and new") if row[:2] == ["average of 2", "ANPrompt"]]
    assert sorted(page.strong) == ["62.00", "70.61", "90.00"]  # only digits has two methods to compare


def test_base_new_and_hm_are_drawn_on_one_axis(tmp_path):
    made = Samples(tmp_path)
    for seed in (1, 2):
        for dataset in ("digits", "letters"):
            made.base2new("CoOp", dataset, seed, 80 + 2 * seed, 60)
    made.base2new("ANPrompt", "digits", 1, 90, 30)
    page = report(tmp_path)
    charts = page.data["charts"]["base2new"]
    assert [chart["title"] for chart in charts] == ["average of 2", "Digits", "Letters"]
    assert {tuple(chart["range"]) for chart in charts} == {(29.0, 91.0)}
    digits = {page.data["methods"][line[0]][0]: line[1:] for line in charts[1]["series"]}
    assert digits["ANPrompt"] == [[90.0, None], [30.0, None], [45.0, None]]
    assert digits["CoOp"][:2] == [[83.0, 1.414], [60.0, None]] and len(charts[2]["series"]) == 1
    assert dict(page.data["methods"])["CoOp"] == [0, 0, 0]  # colour, mark and line of looks.py


def test_targets_and_shifted_variants_are_two_tables(tmp_path):
    made = Samples(tmp_path)
    made.source("CoOp", "shapes", 1, 70)
    for target, accuracy in (("digits", 50), ("letters", 60), ("shapes_sketch", 20), ("shapes_inverted", 40)):
        made.target("CoOp", "shapes", target, 1, accuracy)
    page = report(tmp_path)
    others, shifted = page.table("Other datasets, trained on Shapes"), page.table("Shifted variants, trained on Shapes")
    assert others == [
        ["Method", "Shapes (source)", "Digits", "Letters", "average of 2", "Seeds"],
        ["CoOp", "70.00", "50.00", "60.00", "55.00", "1"],
    ]
    assert shifted == [
        ["Method", "Shapes (source)", "ShapesInverted", "ShapesSketch", "average of 2", "Seeds"],
        ["CoOp", "70.00", "40.00", "20.00", "30.00", "1"],
    ]


def test_shots_and_a_method_without_training(tmp_path):
    made = Samples(tmp_path)
    made.few_shot("ZeroshotCLIP", "digits", 0, 1, 72.7)
    for shots, accuracy in ((1, 74), (4, 75.5), (16, 78)):
        made.few_shot("CoOp", "digits", shots, 1, accuracy)
    page = report(tmp_path)
    assert page.table("Accuracy against shots") == [
        ["Dataset", "Method", "1 shot", "4 shots", "16 shots", "Seeds"],
        ["Digits", "ZeroshotCLIP", "72.70", "72.70", "72.70", "1"],
        ["Digits", "CoOp", "74.00", "75.50", "78.00", "1"],
    ]
    (chart,) = page.data["charts"]["few_shot"]
    assert chart["x"] == {"label": "training images a class", "log": True, "ticks": [1, 4, 16]}
    zero_shot, coop = chart["series"]
    assert zero_shot[1:] == [[1, 16], [72.7, 72.7], None, True]
    assert coop[1:] == [[1, 4, 16], [74, 75.5, 78], None, False]


def test_rates_variants_and_the_spread_of_the_curve(tmp_path):
    made = Samples(tmp_path)
    made.noise("ZeroshotCLIP", "digits", "sym_other", 0.0, 1, 66, curves=0)
    for seed, accuracy in ((1, 60), (2, 63)):
        made.noise("CoOp", "digits", "sym_other", 0.5, seed, accuracy)
        made.noise("CoOp", "digits", "sym_other", 0.0, seed, 80)
    made.noise("CoOp", "digits", "pair", 0.5, 1, 40)
    made.noise("PTNL", "digits", "sym_other", 0.5, 1, 70, variant="PTNL-GCE")
    page = report(tmp_path)
    assert page.table("Accuracy under symmetric label noise") == [
        ["Dataset", "Method", "0 %", "50 %", "Seeds"],
        ["Digits", "ZeroshotCLIP", "66.00", "66.00", "1"],
        ["Digits", "CoOp", "80.00±0.00", "61.50±2.12", "2"],
        ["Digits", "PTNL (PTNL-GCE)", "-", "70.00", "1"],
    ]
    # runs on right labels stand in the table of every type
    assert page.row("Accuracy under pair label noise", "Digits", "CoOp") == ["80.00±0.00", "40.00", "1–2"]
    curve = next(c for c in page.data["charts"]["noise"] if c["about"] == "symmetric")
    coop = next(line for line in curve["series"] if page.data["methods"][line[0]][0] == "CoOp")
    assert coop[1:] == [[0.0, 50.0], [80.0, 61.5], [0.0, 2.121], False]


def test_attacked_numbers_and_curves_against_eps_and_steps(tmp_path):
    made = Samples(tmp_path)
    for eps, steps, attacked in ((1, 100, 30), (4, 100, 10), (4, 5, 20)):
        made.robust("CoOp", "digits", "white-box", f"pgd-eps{eps}-{steps}", 1, 75, attacked, attacked + 5)
    made.robust("RTPT", "digits", "adaptive", "pgd-eps4-100", 1, 72, 9, 40, failed=("S6",))
    page = report(tmp_path)
    heads = page.table("Clean accuracy and accuracy under attack")[0]
    assert heads[4:] == ["Clean", "Attacked", "Transfer", "Worst", "Seeds"]
    words = ("Digits", "pgd-eps4-100", "white-box", "CoOp")
    assert page.row("Clean accuracy and accuracy under attack", *words) == ["75.00", "10.00", "15.00", "10.00", "1"]
    by_eps, by_steps = page.data["charts"]["robust"]
    lines = {page.data["methods"][line[0]][0]: line[1:3] for line in by_eps["series"]}
    assert lines == {"CoOp": [[0.0, 1.0, 4.0], [75, 30, 10]], "RTPT": [[0.0, 4.0], [72, 9]]}
    assert by_steps["about"] == "pgd, white-box or adaptive, eps 4"
    lines = {page.data["methods"][line[0]][0]: line[1:3] for line in by_steps["series"]}
    assert lines == {"CoOp": [[5, 100], [20, 10]], "RTPT": [[100], [9]]}
    doubted = page.row("Clean accuracy and accuracy under attack", "Digits", "pgd-eps4-100", "adaptive", "RTPT †")
    assert doubted[1] == "9.00" and page.strong == []  # one of two is doubtful: nothing to compare
    assert any("RTPT, Digits, pgd-eps4-100, adaptive, seed 1: failed checks S6" in note for note in page.notes)


def test_runs_on_other_wrong_labels_are_named(tmp_path):
    made = Samples(tmp_path)
    made.noise("CoOp", "digits", "sym_other", 0.5, 1, 60, manifest="a" * 64)
    made.noise("NLPrompt", "digits", "sym_other", 0.5, 1, 70, manifest="b" * 64)
    assert any("rate 0.5, seed 1: methods were trained on different wrong labels" in n for n in report(tmp_path).notes)


def test_configs_and_backbones_are_told_apart_where_they_meet(tmp_path):
    Samples(tmp_path, cfg="ctx4").base2new("CoOp", "digits", 1, 80, 60)
    Samples(tmp_path, cfg="ctx16").base2new("CoOp", "digits", 2, 90, 70)
    Samples(tmp_path, cfg="other").few_shot("CoOp", "digits", 1, 1, 50)
    Samples(tmp_path).few_shot("MaPLe", "digits", 1, 1, 50, backbone={"name": "ViT-B/16"})
    page = report(tmp_path)
    assert page.row("Base and new", "Digits", "CoOp (ctx4)")[:2] == ["80.00", "60.00"]
    assert page.row("Base and new", "Digits", "CoOp (ctx16)")[:2] == ["90.00", "70.00"]
    assert [row[1] for row in page.table("Accuracy against shots")[1:]] == ["CoOp (Embedded)", "MaPLe (ViT-B/16)"]


def test_every_result_has_its_environment_revision_and_files(tmp_path):
    made = Samples(tmp_path)
    made.few_shot("CoOp", "digits", 1, 1, 50)
    made.few_shot("CoOp", "digits", 1, 2, 50, device="NVIDIA H100", git=COMMIT + "+changes")
    page = report(tmp_path)
    head, first, second = page.table("One row a result")
    at = {name: i for i, name in enumerate(head)}
    assert [first[at["Environment"]], second[at["Environment"]]] == ["E1", "E2"]
    assert [first[at["Revision"]], second[at["Revision"]]] == [COMMIT[:7], COMMIT[:7] + "+"]
    assert first[at["Files"]] == "log config results"
    made_with = page.table("What results were made with")
    assert made_with[1][:4] == ["E1", "1", COMMIT[:7], "cpu"] and made_with[2][3] == "NVIDIA H100"
    assert "2.11.0+cu130" in made_with[1] and {"e1", "e2", "r0", "r1"} <= page.ids


@pytest.mark.parametrize("place", ["report.html", "../pages/deep/report.html", "base2new/report.html"])
def test_links_lead_to_files_from_wherever_the_page_is(tmp_path, place):
    root = tmp_path / "out put #1 100%"
    Samples(root).base2new("CoOp", "digits", 1, 80, 60)
    page = report(root, root / place)
    outside = [link for link in page.links if not link.startswith("#")]
    assert len(outside) == 6 and not [link for link in outside if re.match(r"[a-z]+:|/", link)]
    found = {(page.file.parent / unquote(link)).resolve() for link in outside}
    runs = [root / f"base2new/{part}/digits/shots_16/CoOp/embedded/seed1" for part in ("train_base", "test_new")]
    assert found == {(run / name).resolve() for run in runs for name in ("log.txt", "config.yaml", "results.json")}
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids


def test_nothing_in_results_becomes_markup(tmp_path):
    made = Samples(tmp_path / HOSTILE)
    end = "</script><script>alert(2)</script>"
    folder = made.noise(HOSTILE, '"><script>alert(3)<', "sym_other", 0.5, 1, 60, classes=[end, "b"])
    record = json.loads((folder / "results.json").read_text())
    hostile = {"device": HOSTILE, "git": HOSTILE, "versions": {HOSTILE: HOSTILE}, "finished": HOSTILE}
    (folder / "results.json").write_text(json.dumps(record | hostile))
    broken = tmp_path / HOSTILE / "few_shot" / HOSTILE / "results.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    file = tmp_path / "report.html"
    assert main(["report", str(tmp_path / HOSTILE), "--output", str(file), "--title", end]) == 1
    page = Page(file)
    assert page.tags["script"] == 2 and "img" not in page.tags and end not in page.text
    assert page.data["names"] == [[end, "b"]]
    assert page.table("Accuracy under symmetric label noise")[1][0] == '"><script>alert(3)<'
    (sentence,) = [note for note in page.notes if "is not a run's results.json" in note]
    assert str(broken) in sentence


def test_nothing_outside_the_page_is_asked_for(everything):
    text = everything.text.replace("http://www.w3.org/2000/svg", "")  # the name of SVG, not an address
    assert not re.search(r"https?://|//cdn|@import|url\(|\bsrc=|<link|fetch\(|XMLHttpRequest|import\(", text)
    assert "default-src 'none'" in text


def test_equal_results_give_equal_bytes_and_a_small_page(tmp_path, everything):
    write_everything(tmp_path / "again" / "output")
    assert report(tmp_path / "again" / "output").text == everything.text
    assert len(everything.text) < 1_000_000


def test_a_thousand_results_stay_below_two_megabytes(tmp_path):
    made = Samples(tmp_path)
    classes = [f"class {i}" for i in range(47)]
    for d in range(8):
        for m in range(7):
            for seed in (1, 2, 3):
                for rate in (0.0, 0.2, 0.4, 0.6, 0.8, 0.9):
                    made.noise(f"Method{m}", f"dataset{d}", "sym_other", rate, seed, 80 - 40 * rate, classes, curves=50)
    page = report(tmp_path)
    assert len(page.table("One row a result")) == 1 + 8 * 7 * 3 * 6
    assert len(page.text.encode()) < 2_000_000
    assert page.data["training"] and page.data["matrices"]


def test_training_curves_from_curves_json_and_else_from_the_log(tmp_path):
    made = Samples(tmp_path)
    folder = made.noise("CoOp", "digits", "sym_other", 0.5, 1, 60)
    made.few_shot("CoOp", "digits", 4, 1, 70)
    page = report(tmp_path)
    few, noisy = sorted(page.data["training"], key=lambda setting: setting["protocol"])
    curves = json.loads((folder / "curves.json").read_text())
    ((_, line),) = noisy["methods"]
    assert noisy["title"] == "Digits, label noise, symmetric 50 %"
    assert line["epochs"] == curves["epochs"] and line["lines"]["test"] == [[round(v, 1) for v in curves["test"]], None]
    assert line["loss"][0] == [round(v, 4) for v in curves["train_loss"]]
    ((_, line),) = few["methods"]
    log = (tmp_path / "few_shot/digits/shots_4/CoOp/embedded/seed1/log.txt").read_text()
    assert line["loss"][0] == [float(x) for x in re.findall(r"loss 9.0000 \(([\d.]+)\)", log)[1::2]]
    assert line["epochs"] == list(range(1, 11)) and "lines" not in line
    few_epochs = {key: values and values[-1:] for key, values in curves.items()}
    for text in (json.dumps(few_epochs), "{"):  # only the last epoch was watched; cut in half
        (folder / "curves.json").write_text(text)
        again = report(tmp_path).data["training"]
        ((_, line),) = next(setting for setting in again if setting["protocol"] == "noise")["methods"]
        assert line["epochs"] == list(range(1, 11)) and "lines" not in line


def test_confusions_are_added_over_seeds_and_listed_for_many_classes(tmp_path):
    made = Samples(tmp_path)
    for seed in (1, 2):
        folder = made.noise("CoOp", "digits", "sym_other", 0.5, seed, 60)
        (folder / "confusion.json").write_text(json.dumps({"classnames": ["a", "b"], "counts": [[3, seed], [0, 4]]}))
    many = [f"class {i}" for i in range(61)]
    folder = made.noise("CoOp", "many", "sym_other", 0.5, 1, 60, classes=many)
    counts = [[5 * (i == j) for j in range(61)] for i in range(61)]
    counts[7][9], counts[3][2] = 4, 2
    (folder / "confusion.json").write_text(json.dumps({"classnames": many, "counts": counts}))
    page = report(tmp_path)
    digits, listed = page.data["matrices"]
    assert digits["methods"] == [[0, {"about": "82.4 % right, 2 runs", "names": 0, "rows": [[0, 6, 1, 3], [1, 8]]}]]
    assert listed["methods"][0][1]["top"] == [[7, 9, 4, 9], [3, 2, 2, 7]]
    assert page.data["names"] == [["a", "b"], many]


def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for arguments, said in (
        ([tmp_path / "empty"], "There are no results under"),
        ([tmp_path / "nowhere"], "There is no folder"),
        ([tmp_path / "empty", "--output", tmp_path], "is a folder; give the name of a file"),
    ):
        assert main(["report", *map(str, arguments)]) == 2
        error = capsys.readouterr().err.strip()
        assert said in error and "\n" not in error
    assert [file.name for file in tmp_path.rglob("*")] == ["empty"]
