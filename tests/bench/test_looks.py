"""One look a method in all figures and in the report, and small multiples of many methods."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from bench.drawing import figures
from bench.drawing.looks import COLOURS, GREY, MARKS, look, looks
from bench.drawing.multiples import MOST, Panel, draw, groups
from datasets.noise.config import TYPES
from datasets.noise.names import NAMES, spoken
from runs.config_names import PUBLISHED

ROOT = Path(__file__).parents[2]


def test_every_method_has_a_look_of_its_own():
    assert len(set(map(look, PUBLISHED))) == len(PUBLISHED)
    assert len(set(COLOURS)) == 7 and GREY not in COLOURS
    assert {look("ZeroshotCLIP").style()["color"], look("ZeroshotCLIP2").style()["color"]} == {GREY}


@pytest.mark.parametrize(("mixed", "host"), [("CoOpSAR", "CoOp"), ("MaPLeDePT", "MaPLe"), ("CoOpATPrompt", "CoOp")])
def test_a_mix_in_has_its_hosts_colour(mixed, host):
    assert look(mixed).colour == look(host).colour and look(mixed) != look(host)


# Machado, Oliveira and Fernandes (2009), severity 1: what eyes without one kind of cone see, in linear RGB.
BLIND = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
    "": np.eye(3),
}


@pytest.mark.parametrize("eyes", BLIND)
def test_colours_differ_to_any_eyes(eyes):
    def lab(colour: str) -> np.ndarray:
        value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
        xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
        part = xyz @ np.clip(np.array(BLIND[eyes]) @ linear, 0, 1) / np.array([0.9505, 1, 1.089])
        f = np.where(part > 0.008856, np.cbrt(part), 7.787 * part + 16 / 116)
        return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])

    assert min(np.linalg.norm(lab(a) - lab(b)) for a, b in itertools.combinations(COLOURS, 2)) > 10  # 2 is just seen


def test_a_look_does_not_depend_on_what_is_beside_it():
    for beside in (["CoOp"], ["ZeroshotCLIP", "TPT", "CoOp"], [*reversed(PUBLISHED)]):
        assert looks(beside)["CoOp"] == look("CoOp")
    variants = looks(["CoOp", "CoOp (OPTIM.LR 0.01)", "CoOp (OPTIM.LR 0.02)", "PTNL", "PTNL-GCE", "Mine", "Mine (b)"])
    assert len(set(variants.values())) == len(variants)
    assert {variants[name].colour for name in variants if name.startswith("CoOp")} == {look("CoOp").colour}
    assert variants["PTNL-GCE"].colour == variants["PTNL"].colour


def test_methods_that_are_compared_most_differ_in_colour():
    for compared in (("CoOp", "ANPrompt", "PromptSRC", "MaPLe", "KgCoOp", "CoCoOp", "TCP"),
                     ("CoOp", "DPSEP", "NLPrompt", "JoAPR", "DeFT", "PTNL", "VisPrompt"),
                     ("TPT", "RTPT", "CTPT", "OTPT", "SSTPT", "TPS", "ZERO"),
                     ("CoOp", "MaPLe", "PromptSRC", "MMRL", "ANPrompt"), ("ANPrompt", "TPT")):  # fmt: skip
        assert len({look(method).colour for method in compared}) == len(compared)


def test_few_methods_in_colour_in_each_panel_and_all_of_them_somewhere():
    labels = ["ZeroshotCLIP", *(name for name in PUBLISHED if name in ("CoOp", "MaPLe", "TCP", "MMRL", "KgCoOp"))]
    labels += ["ANPrompt", "PromptSRC", "CoPrompt", "VPT"]
    split = groups(looks(labels))
    assert len(split) == 2 and all(own[0] == "ZeroshotCLIP" and len(own) <= MOST + 1 for own in split)
    assert {label for own in split for label in own} == set(labels)
    lines = {label: {0: [70.0, 72.0], 50: [float(i), i + 4.0]} for i, label in enumerate(labels)}
    figure = draw([Panel("one", lines, [(0, "0"), (50, "50")])], "wrong labels, %", "accuracy, %", "Lines: means")
    first, second = figure.axes
    assert first.get_ylim() == second.get_ylim() and first.get_ylim()[0] >= -3  # nothing runs below 0
    for ax, own in zip(figure.axes, split, strict=True):
        assert [text.get_text() for text in ax.get_legend().get_texts()] == own
        assert sum(len(dots.get_offsets()) for dots in ax.collections) == 4 * len(own)  # two seeds at two places
        assert sum(line.get_color() == "#d0d0d0" for line in ax.lines) == len(labels) - len(own)
    assert figure.get_suptitle() == "Lines: means"
    figures.pyplot().close(figure)


def test_types_of_noise_are_named():
    assert set(TYPES) <= set(NAMES) and spoken("sym_other") == "symmetric" and spoken("my_own") == "my own"


def test_the_report_has_the_colours_of_the_figures():
    style = (ROOT / "bench/drawing/html/style.css").read_text(encoding="utf-8")
    light = re.findall(r"--s(\d): light-dark\((#\w{6})", style)
    assert [colour for _, colour in sorted(light)] == list(map(str.lower, COLOURS))
    script = (ROOT / "bench/drawing/html/chart.js").read_text(encoding="utf-8")
    marks = script.partition("const MARKS = [")[2].partition("];")[0]
    assert len(re.findall(r'"M', marks)) == len(MARKS)
