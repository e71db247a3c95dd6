"""The table for a paper: booktabs, best and second, small spreads, and nothing that stands out of the page."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.drawing.base_new import lines
from bench.drawing.base_new_latex import MOST_ROWS, latex
from bench.drawing.formats import Cell, TextTable, render
from bench.drawing.table import main
from dassl.utils.spread import Marked
from tests.bench.test_table import write_run

FOUND = {
    ("Digits", "CoOp"): {"base": {1: 80.0, 2: 82.0}, "new": {1: 60.0, 2: 62.0}},
    ("Digits", "A_B%"): {"base": {1: 90.0, 2: 90.0}, "new": {1: Marked(50.0, "‡"), 2: 50.0}},
    ("Digits", "MaPLe"): {"base": {1: 70.0}, "new": {1: 61.0}},
}


def test_best_second_small_spreads_and_marks():
    text = latex(lines(FOUND), ["± is 5 % of it"])
    assert r"\toprule" in text and r"\bottomrule" in text and r"\label{tab:base2new}" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert rows[0] == r"Dataset & Method & Base & New & HM & Seeds \\"
    assert rows[1].startswith(
        r"Digits & CoOp & \underline{81.00}{\scriptsize\,$\pm$\,1.41} & \textbf{61.00}{\scriptsize"
    )
    assert rows[2].startswith(r" & A\_B\% & \textbf{90.00}{\scriptsize\,$\pm$\,0.00} & \underline{50.00}{\scriptsize")
    assert r"{\scriptsize\,$\pm$\,0.00}$\ddagger$ &" in rows[2]
    assert rows[3] == r" & MaPLe & 70.00 & \textbf{61.00} & \underline{65.19} & 1 \\"
    assert r"$\pm$ is 5 \% of it" in text


def test_a_long_table_is_several():
    found = {(f"set {k}", f"m{i}"): FOUND["Digits", "CoOp"] for k in range(12) for i in range(9)}
    text = latex(lines(found), [])
    tables = text.split(r"\begin{table}")[1:]
    assert len(tables) == 4 and all(each.count(r"\\") - 1 <= MOST_ROWS for each in tables)
    assert len(set(re.findall(r"\\label\{(.*?)\}", text))) == 4
    assert all(
        len(re.findall(r"set \d", each)) == each.count(r"\midrule") for each in tables[:-1]
    )  # no dataset is torn apart


def test_the_command_writes_it(tmp_path, capsys):
    for part in ("train_base", "test_new"):
        write_run(tmp_path / "out", part, "CoOp", "digits", 1, 80.0)
    assert main([str(tmp_path / "out"), "--latex", str(tmp_path / "new" / "t.tex")]) == 0
    assert r"Digits & CoOp & 80.00" in (tmp_path / "new" / "t.tex").read_text(encoding="utf-8")
    assert main([str(tmp_path / "out"), "--latex", str(tmp_path)]) == 2
    assert "--latex" in capsys.readouterr().err


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex: apt-get install texlive-latex-recommended")
@pytest.mark.parametrize("columns", ["onecolumn", "twocolumn"])
def test_it_compiles_and_nothing_stands_out(tmp_path, columns):
    found = FOUND | {
        (f"set number {k}", f"{name} (OPTIM.LR 0.002, DATASET.NOISE.RATE 0.5)"): FOUND["Digits", "CoOp"]
        for k in range(30)
        for name in ("CoOp", "MaPLe")
    }
    note = "± is the sample standard deviation over seeds; ‡: with runs that collapsed, 100 % <1 & more_1."
    wide = TextTable("wide", [f"column {i}" for i in range(30)], [[Cell("12.34 ± 5.67")] * 30], [note])
    text = latex(lines(found), [note]) + render([wide], "latex")
    head = rf"\documentclass[{columns}]{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}"
    (tmp_path / "t.tex").write_text(head + "\n" + text + r"\end{document}", encoding="utf-8")
    log = compiled(tmp_path)
    assert "Overfull" not in log and "too large" not in log, log[-3000:]


def compiled(folder: Path) -> str:
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:]
    return (folder / "t.log").read_text(encoding="latin-1")
