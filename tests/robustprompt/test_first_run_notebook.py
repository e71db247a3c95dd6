"""Every cell of the notebook in the docs runs, and shows what the file shows."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import notebooks
import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebooks" / "first_run.ipynb"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
NEAR = 10.0  # another processor can turn a few answers: percent, and images of 100


@pytest.fixture
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OUTPUT", str(tmp_path / "output"))
    monkeypatch.chdir(tmp_path)


def test_cells_run_from_any_folder_and_give_what_the_file_shows(own_folders, tmp_path):
    names: dict = {}
    for cell in notebooks.code_cells(NOTEBOOK):
        printed, value = notebooks.executed(notebooks.source(cell), names)
        was, now = notebooks.shown(cell), printed + value
        assert NUMBER.sub("0", now) == NUMBER.sub("0", was), now
        pairs = zip(NUMBER.findall(now), NUMBER.findall(was), strict=True)
        assert all(abs(float(a) - float(b)) <= NEAR for a, b in pairs), (now, was)
    assert [path.name for path in tmp_path.iterdir() if path.name != "data"] == ["output"]
    assert Path.cwd() == tmp_path


def test_the_file_is_a_notebook_whose_outputs_are_of_this_machine_s_kind_alone():
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in found["cells"]}) == len(found["cells"])
    for number, cell in enumerate(notebooks.code_cells(NOTEBOOK), start=1):
        assert cell["execution_count"] == number
        shown = notebooks.shown(cell)
        assert "Traceback" not in shown and not re.search(r"(^|['\s])/\w", shown), "no path of a machine"
        ast.parse(notebooks.source(cell))
