"""The robustness card from results written by hand: each axis, what is missing and why, ranks, files, refusals."""

from __future__ import annotations

import json
import math
import re
import shutil

import pytest
from pandas import DataFrame

from bench.__main__ import main
from bench.drawing import card_page
from bench.drawing.card import notes
from bench.reading.card import AXES, ORACLE, card
from bench.reading.card_tests import AxisTests
from bench.reading.collect import collect, collect_all
from bench.suites.load import load
from bench.suites.select import ORACLE as CHOSEN_BY_TEST
from bench.suites.values import joined
from runs.about import VERSIONS
from runs.config_names import METHODS
from runs.corruption_protocol import FIFTEEN, SEVERITIES
from runs.protocols import PROTOCOLS
from runs.targets import ROOT

PLACES = {
    "few_shot": "few_shot/{dataset}/shots_{shots}/{method}/embedded",
    "base": "base2new/train_base/{dataset}/shots_{shots}/{method}/embedded",
    "new": "base2new/test_new/{dataset}/shots_{shots}/{method}/embedded",
    "noise": "noise/{dataset}/{more}/shots_16/{method}/embedded",
    "corruption": "corruption/{dataset}/{more}/shots_{shots}/{method}/embedded",
    "text_noise": "text_noise/{dataset}/{more}/shots_{shots}/{method}/embedded",
    "target": "evaluation_shapes/{method}/embedded_16shots/{dataset}",
}


def write(top, kind, method, accuracy, seed=1, dataset="digits", shots=16, more="", backbone="Embedded", **record):
    place = PLACES[kind].format(dataset=dataset, shots=shots, method=method, more=more)
    folder = top / place / f"seed{seed}"
    folder.mkdir(parents=True)
    half = kind if kind in ("base", "new") else "all"
    told = {
        "version": 1, "trainer": method, "dataset": "Digits", "seed": seed, "mode": "test", "subsample_classes": half,
        "results": {"accuracy": accuracy}, "backbone": {"name": backbone}, "settings_hash": f"{place}{seed}",
        "wall_seconds": 10.0 * seed, "peak_memory_bytes": 2**21, "learnable_numbers": 40, "scores": {"ece": 3.5},
        "collapsed": False, **record,
    }  # fmt: skip
    if dataset != "digits":
        told["dataset"] = "".join(word.capitalize() for word in dataset.split("_"))
    (folder / "results.json").write_text(json.dumps(told))


@pytest.fixture
def made(tmp_path):
    """CoOp on most axes with two seeds, zero-shot CLIP on some, MaPLe on one."""
    for seed in (1, 2):
        for shots, accuracy in ((1, 60.0), (4, 70.0), (16, 80.0 + seed)):
            write(tmp_path, "few_shot", "CoOp", accuracy, seed, shots=shots)
        write(tmp_path, "base", "CoOp", 90.0, seed)
        write(tmp_path, "new", "CoOp", 60.0, seed)
        for rate, accuracy in (("0000", 80.0), ("0250", 70.0), ("0500", 40.0)):
            fell = {"collapsed": rate == "0500" and seed == 2}
            write(tmp_path, "noise", "CoOp", accuracy, seed, more=f"sym_other_r{rate}", **fell)
        for more, accuracy in (("typo-0.1", 75.0), ("typo-0.4", 65.0), ("embedding-0.4", 50.0)):
            write(tmp_path, "text_noise", "CoOp", accuracy, seed, more=more)
        write(tmp_path, "target", "CoOp", 55.0, seed)
        write(tmp_path, "target", "CoOp", 45.0, seed, dataset="shapes_sketch")
    write(tmp_path, "few_shot", "ZeroshotCLIP", 72.0, shots=0)
    write(tmp_path, "text_noise", "ZeroshotCLIP", 71.0, shots=0, more="typo-0.1")
    for method, shots, accuracy in (("CoOp", 16, 55.0), ("ZeroshotCLIP", 0, 40.0)):
        for name in FIFTEEN:
            for level in SEVERITIES:
                write(tmp_path, "corruption", method, accuracy, shots=shots, more=f"{name}-{level}")
    write(tmp_path, "new", "MaPLe", 66.0)
    return tmp_path


def means(found, label):
    return {name: figure.mean for name, figure in found.figures[label].items() if not figure.missing}


def test_every_axis_by_hand(made):
    found = card(collect(made))
    own = means(found, "CoOp")
    assert own == pytest.approx(
        {
            "clean": 81.5, "slope": (21.5 / 2) / 2, "base": 90, "new": 60, "hm": 72, "cross": 55, "shifted": 45,
            "noise_area": (75 + 55) / 2, "noise_worst": 40, "collapsed": 100 / 6, "clean_collapsed": 0,
            "corrupted": 55, "mce": 75,
            "text": (70 + 50) / 2, "text_worst": 50, "ece": 3.5, "values": 40, "seconds": 15, "memory": 2,
        }
    )  # fmt: skip
    clean = found.figures["CoOp"]["clean"]
    assert (clean.spread, clean.seeds, clean.rank, clean.of) == (pytest.approx(math.sqrt(0.5)), (1, 2), 1, 2)
    assert found.figures["ZeroshotCLIP"]["clean"].rank == 2 and found.figures["ZeroshotCLIP"]["mce"].mean == 100
    assert found.figures["CoOp"]["mce"].rank == 1  # lower is better
    assert found.datasets["cross"] == ("digits",) and found.datasets["shifted"] == ("shapes_sketch",)
    assert found.backbone == "Embedded" and found.versions["few_shot"] == 1


def test_missing_cells_are_named_and_never_filled(made):
    found = card(collect(made))
    zero, maple = found.figures["ZeroshotCLIP"], found.figures["MaPLe"]
    assert zero["text"].missing == "without embedding-0.4, typo-0.4, which another method has"
    assert zero["base"].missing == "no runs of this protocol" and math.isnan(zero["base"].mean)
    assert maple["hm"].missing == "no figure on Digits" and maple["new"].mean == 66
    write(made, "few_shot", "CoOp", 90.0, 1, dataset="shapes")
    found = card(collect(made))  # zero-shot CLIP has one data set, CoOp both with seed 1
    assert found.figures["ZeroshotCLIP"]["clean"].missing == "no figure on Shapes"
    assert found.figures["CoOp"]["clean"].seeds == (1,) and found.figures["CoOp"]["clean"].mean == pytest.approx(85.5)


def test_the_files(made, tmp_path, capsys):
    names = {"html": "c.html", "markdown": "c.md", "latex": "c.tex", "json": "c.json"}
    words = [x for form, name in names.items() for x in (f"--{form}", str(tmp_path / "own" / name))]
    assert main(["card", str(made), *words]) == 0
    said = capsys.readouterr().out
    assert (
        "81.50 ± 0.71" in said
        and "Missing Base, HM (no figure on Digits): MaPLe." in said
        and "Versions of the protocols: base2new 1" in said
    )
    told = json.loads((tmp_path / "own" / "c.json").read_text())
    assert told["methods"]["MaPLe"]["hm"] == {
        "mean": None, "spread": None, "seeds": [], "rank": None, "of": None, "missing": "no figure on Digits"
    }  # fmt: skip
    assert told["protocol_versions"]["corruption"] == 1 and told["axes"]["mce"]["higher_is_better"] is False
    page = (tmp_path / "own" / "c.html").read_text()
    assert page.count("<svg") == 1 + 3 and page.count('<h2 id="m') == 3 and "<script" not in page
    assert (
        "missing: no figure on Digits" in page
        and "missing: no figure on Digits" in (tmp_path / "own" / "c.md").read_text()
    )
    assert r"\begin{tabular}" in (tmp_path / "own" / "c.tex").read_text()
    assert main(["card", str(made), "--methods", "CoOp"]) == 0
    assert "MaPLe" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words", "says"),
    [
        (
            {"backbone": "ViT-B/16"},
            (),
            "of the backbones Embedded and ViT-B/16: a card is of one; give --backbone NAME",
        ),
        ({}, ("--backbone", "RN50"), "There are no runs of the backbone RN50; there are of Embedded"),
        ({"protocol_version": 2}, (), "of versions 1 and 2 of the protocol few_shot"),
        ({}, ("--methods", "Foo"), "--methods Foo: there are no runs of it"),
        ({}, ("--html", "/dev/null/x.html"), "/dev/null is a file, not a folder"),
        ({}, ("--html", "/dev/full"), "--html /dev/full cannot be written (it is a device or a pipe)"),
        ({}, ("--markdown", "@a.md", "--json", "/proc/none/x.json"), "--json /proc/none/x.json cannot be written"),
        ({}, ("--markdown", "@a.md", "--json", "@sub/../a.md"), "--markdown and --json are both"),
        ({}, ("--html", "@"), "is a folder; give the name of a file"),
        ({}, ("--html", ""), "--html is empty"),
        ({}, ("",), "OUTPUT is empty"),
    ],
)
def test_refused_in_one_sentence(made, capsys, tmp_path_factory, change, words, says):
    here = tmp_path_factory.mktemp("files")
    (here / "sub").mkdir()
    write(made, "few_shot", "KgCoOp", 50.0, **change)
    assert main(["card", str(made), *(word.replace("@", f"{here}/") for word in words)]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
    assert [file.name for file in here.rglob("*")] == ["sub"], "nothing is half written"


def test_nothing_to_show(tmp_path, capsys):
    assert main(["card", str(tmp_path)]) == 2
    assert "There are no results" in capsys.readouterr().err
    assert main(["card", str(tmp_path / "none")]) == 2
    assert "There is no folder" in capsys.readouterr().err


def test_the_worst_of_label_noise_is_at_each_types_highest_rate():
    rates = {("sym_other", 0.0): 80.0, ("sym_other", 0.8): 50.0, ("pair_next", 0.25): 30.0, ("pair_next", 0.5): 45.0}
    rows = DataFrame(
        [{"method": "CoOp", "noise_type": t, "noise_rate": r, "accuracy": a} for (t, r), a in rates.items()]
    )
    (worst,) = (axis.values for axis in AXES if axis.name == "noise_worst")
    assert worst(rows) == 45.0 and worst(rows[rows["noise_type"] == "sym_other"]) == 50.0
    assert math.isnan(worst(rows[:1])), "a clean run has no wrong labels"


def test_the_shipped_suite_and_names():
    blocks = load(ROOT / "configs" / "suites" / "card.yaml")["blocks"]
    protocols = {block["protocol"] for block in blocks}
    told = {"adversarial": "robust", "domain_generalization": "cross_dataset"}
    needed = {axis.protocol for axis in AXES} - {"mce", "shifted"} | {"corruption"}
    assert needed <= {told.get(name, name) for name in protocols}
    assert ORACLE == CHOSEN_BY_TEST
    named = {name.removesuffix("_train").removesuffix("_test") for name in PROTOCOLS} - {"xd", "dg"}
    assert named <= set(VERSIONS)


def test_the_shipped_suite_has_every_method_on_every_axis():
    """Trained methods on all axes; what has no new classes, what is trained on attacks and defences on theirs."""
    blocks = {block["name"]: block for block in load(ROOT / "configs" / "suites" / "card.yaml")["blocks"]}
    names = {name: set(joined(block["methods"])) for name, block in blocks.items()}
    everywhere = names["clean"]
    assert all(everywhere <= names[axis] for axis in ("unseen", "cross", "shifted", "labels", "corrupted", "text"))
    assert names["attacked"] >= everywhere | names["clean_others"] | {"RTPT", "TTC"}
    hosts = {"CoOpSAR", "KgCoOpSAR", "TCPSAR", "MaPLeSAR", "CoPromptSAR"}
    assert everywhere >= {*METHODS, *hosts, "NLPrompt", "JoAPR", "DPSEP", "VisPrompt", "PTNL-GCE"} - {"PTNL"}


def test_names_stand_beside_their_lines_without_touching(made):
    found = card(collect(made))
    axes = [axis for axis in found.axes if any(not own[axis.name].missing for own in found.figures.values())]
    svg = card_page.lines(found, axes)
    ends = {name: float(y) for y, name in re.findall(r'<text x="968" y="([\d.]+)">([^<]+)</text>', svg)}
    assert set(ends) == set(found.figures)
    heights = sorted(ends.values())
    assert all(b - a >= 12.9 for a, b in zip(heights, heights[1:], strict=False))


def test_crowded_names_are_moved_apart_and_stay_on_the_picture():
    ends = {f"m{i}": (0.0, 100.0 + 0.1 * i) for i in range(10)} | {"low": (0.0, 249.0), "lower": (0.0, 250.0)}
    found = card_page._apart(ends, 250.0)
    heights = sorted(found.values())
    assert all(b - a >= card_page.GAP - 1e-9 for a, b in zip(heights, heights[1:], strict=False))
    assert heights[-1] <= 250 and heights[0] >= card_page.TOP - card_page.GAP
    assert sorted(found, key=found.get) == sorted(ends, key=lambda label: ends[label][1])


def test_candidates_on_validation_images_are_no_rows_and_have_no_rank(made):
    before = card(collect(made))
    write(made / "variants/select/rate,LR=0.1", "base", "CoOp", 99.0, split="val")
    write(made / "variants/select/rate,LR=0.1", "noise", "CoOp", 99.0, more="sym_other_r0800", split="val")
    after = card(collect(made))
    assert after.figures == before.figures
    assert after.remarks == (*before.remarks, "Left out: 2 results on validation images.")


def test_the_number_of_seeds_is_told(made):
    found = card(collect(made))
    told = notes(found, found.axes)
    assert "Seeds: 2 where nothing else is said." in told
    assert {"1 seed in New: MaPLe.", "1 seed in Corrupted, mCE: CoOp."} <= set(told)


def test_a_seed_without_the_most_shots_does_not_count(made):
    """Fewer shots never stand in for a missing or damaged result, and a slope is over the shots that others have."""
    write(made, "few_shot", "KgCoOp", 50.0)
    shutil.rmtree(made / "few_shot/digits/shots_16/CoOp/embedded/seed2")
    own = card(collect(made)).figures["CoOp"]
    for name in ("clean", "slope", "ece", "values", "seconds", "memory"):
        assert own[name].seeds == (1,), name
    assert own["clean"].mean == 81.0
    shutil.rmtree(made / "few_shot/digits/shots_16/CoOp/embedded/seed1")
    found = card(collect(made)).figures
    assert found["CoOp"]["clean"].missing == "without 16 shots, which another method has"
    assert found["KgCoOp"]["slope"].missing == "without 1 shot, 4 shots, which another method has"
    assert found["ZeroshotCLIP"]["clean"].mean == 72.0, "it is trained on no shots"


def test_other_shots_of_a_protocol_have_rows_of_their_own(made):
    write(made, "new", "CoOp", 10.0, shots=1)
    write(made, "text_noise", "CoOp", 10.0, shots=4, more="typo-0.1")
    for name in FIFTEEN:
        for level in SEVERITIES:
            write(made, "corruption", "CoOp", 5.0, shots=1, more=f"{name}-{level}")
    found = card(collect(made))
    assert means(found, "CoOp")["new"] == 60.0 and means(found, "CoOp")["corrupted"] == 55.0
    assert means(found, "CoOp (1 shot)")["new"] == 10.0 and means(found, "CoOp (1 shot)")["corrupted"] == 5.0
    assert "CoOp (4 shots)" in found.figures


def test_results_of_two_configs_are_not_averaged(made):
    """But a protocol whose cells have a config each, as published settings by shots or data set do, is one row."""
    place = "base2new/test_new/digits/shots_16/CoOp/other/seed1"
    shutil.copytree(made / "base2new/test_new/digits/shots_16/CoOp/embedded/seed1", made / place)
    found = card(collect(made))
    assert {"CoOp (embedded)", "CoOp (other)"} < set(found.figures)
    assert means(found, "CoOp")["clean"] == 81.5 and "new" not in means(found, "CoOp")
    shutil.rmtree(made / place)
    (made / "few_shot/digits/shots_4/CoOp/embedded").rename(made / "few_shot/digits/shots_4/CoOp/short")
    assert means(card(collect(made)), "CoOp")["slope"] == pytest.approx(means(card(collect(made)), "CoOp")["slope"])
    assert not any("(short)" in name for name in card(collect(made)).figures)


def test_what_is_left_out_is_told_and_mce_needs_no_row_of_its_reference(made):
    file = made / "few_shot/digits/shots_16/CoOp/embedded/seed2/results.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"backbone": None}))
    found = card(collect(made), methods=["CoOp"])
    assert "Left out: 1 result without a known backbone." in found.remarks
    assert list(found.figures) == ["CoOp"] and found.figures["CoOp"]["mce"].mean == pytest.approx(75.0)


def test_several_devices_are_named(tmp_path):
    write(tmp_path, "few_shot", "CoOp", 80.0, device="cpu")
    assert not card(collect(tmp_path)).remarks
    write(tmp_path, "few_shot", "MaPLe", 80.0, device="AMD EPYC, family 25, model 1, AVX2, 1 thread")
    write(tmp_path, "few_shot", "MaPLe", 81.0, seed=2, device="AMD EPYC, family 25, model 1, AVX2, 1 thread")
    (told,) = card(collect(tmp_path)).remarks
    assert "one seed trains differently" in told and "times do not compare" in told
    assert told.endswith(": AMD EPYC, family 25, model 1, AVX2, 1 thread (2 results); cpu (1 result).")


def test_several_folders_are_one_table(made, tmp_path_factory, caplog):
    """What lies in two of them counts once; another result of a cell, or of other settings, is not averaged with it."""
    alone, other = means(card(collect(made)), "CoOp"), tmp_path_factory.mktemp("other")
    inside = made / "few_shot"
    for folders in ([made, made], [made, inside], [inside, made], [made, made / ".." / made.name]):
        assert means(card(collect_all(folders)), "CoOp") == pytest.approx(alone), folders
    assert not caplog.records
    for seed in (1, 2):
        write(other, "few_shot", "CoOp", 70.0, seed, shots=4)  # a copy of one point of the slope
    assert means(card(collect_all([made, other])), "CoOp") == pytest.approx(alone)
    assert [record.message.endswith("is left out.") for record in caplog.records] == [True, True]
    for seed in (1, 2):
        write(other, "new", "CoOp", 20.0, seed, settings_hash="another")
    found = card(collect_all([made, other]))
    assert means(found, "CoOp") == pytest.approx(alone) and means(found, "CoOp (second)") == {"new": 20.0}
    third = tmp_path_factory.mktemp("third")
    write(third, "new", "CoOp", 30.0, settings_hash="a third")
    write(third, "new", "CoOp", 20.0, 2, settings_hash="another")
    found = card(collect_all([made, other, third]))
    assert means(found, "CoOp (second)") == {"new": 20.0} and means(found, "CoOp (third)") == {"new": 30.0}
    many = tmp_path_factory.mktemp("many")
    for more in ("0000", "0250", "0500"):
        for seed in (1, 2):
            write(
                many, "noise", "CoOp", {"0000": 80.0, "0250": 70.0, "0500": 40.0}[more], seed, more=f"sym_other_r{more}"
            )
    caplog.clear()
    collect_all([made, many])
    (record,) = caplog.records
    assert record.message.startswith("6 results are copies of others and are left out: ")


def test_a_setting_of_another_folder_has_a_row_of_its_own(tmp_path):
    for seed, rate in ((1, 0.002), (2, 0.5)):
        top = tmp_path / f"out{seed}"
        write(top, "few_shot", "CoOp", 50.0 + seed, seed)
        file = next(top.rglob("results.json"))
        file.with_name("config.yaml").write_text(f'# settings: {{"OPTIM.LR": {rate}}}\n')
    found = card(collect_all([tmp_path / "out1", tmp_path / "out2"]))
    assert len(found.figures) == 2 and "CoOp" not in found.figures, list(found.figures)


def test_the_tests_of_a_dataset_are_listed_once_however_many_methods_there_are(tmp_path, monkeypatch):
    listed = []
    listing = AxisTests._on

    def count(self, dataset):
        listed.append((self.axis, dataset))
        return listing(self, dataset)

    monkeypatch.setattr(AxisTests, "_on", count)
    for number, method in enumerate(METHODS[1:9]):
        for seed in (1, 2):
            write(tmp_path, "few_shot", method, 60.0 + number, seed)
            write(tmp_path, "text_noise", method, 50.0 + number, seed, more="typo-1")
    found = card(collect(tmp_path))
    assert len(found.figures) == 8 and all(each["clean"].seeds == (1, 2) for each in found.figures.values())
    assert ("clean", "digits") in listed and ("text", "digits") in listed and len(listed) == len(set(listed))
