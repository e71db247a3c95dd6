"""Every `python -m ROOM` without a word lists its commands, with exit code 2; and no text says "1 runs"."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WORDS = {
    "bench": "retry", "clipkit": "export", "datasets": "doctor", "datasets.embedded": "make", "language": "encode",
    "robustness": "compare FOLDER", "robustprompt": "doctor", "runs": "base2new_train",
    "speed": "many_runs", "trainers": "new",
}  # fmt: skip
COUNTED = re.compile(r" (runs|results|tasks|failures|folders|experiments|datasets|sets|settings|jobs|methods)\b")
FINE = {"datasets/imagenetv2.py"}  # it never has one folder


@pytest.mark.parametrize("room", WORDS)
def test_without_a_word_the_commands_are_listed(room, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", [room])
    module = importlib.import_module(f"{room}.__main__")
    call = module.run if room in ("clipkit", "robustness") else module.main
    try:
        code = call([]) if room == "runs" else call()
    except SystemExit as error:
        code = error.code
    out, shown = capsys.readouterr()
    assert code == 2 and not out and shown.startswith("usage: ") and WORDS[room] in shown


def test_no_room_with_commands_is_forgotten():
    rooms = {str(file.parent.relative_to(ROOT)).replace("/", ".") for file in ROOT.glob("[a-z]*/**/__main__.py")}
    assert rooms - {"tests", "datasets.embedded.regime"} == set(WORDS)  # the latter has no commands


def test_numbers_agree_with_their_nouns():
    """A count of runs, results, ... is written by `counted`."""
    found = []
    logged = re.compile("%d" + COUNTED.pattern)
    for file in [*ROOT.glob("[a-z]*/**/*.py"), *ROOT.glob("*.py")]:
        below = str(file.relative_to(ROOT))
        if below.startswith(("tests/", "speed/", "output/", "data/")) or below in FINE:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and logged.search(node.value):
                found.append(f"{below}:{node.lineno}")
            parts = node.values if isinstance(node, ast.JoinedStr) else []
            for value, text in zip(parts, parts[1:], strict=False):
                number = isinstance(value, ast.FormattedValue) and not value.format_spec and _counts(value.value)
                if number and isinstance(text, ast.Constant) and COUNTED.match(str(text.value)):
                    found.append(f"{below}:{node.lineno}")
    assert not found


def _counts(node: ast.expr) -> bool:
    """Whether the value is a number by its looks: len(...), or a name such as count."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in ("len", "sum")
    return isinstance(node, ast.Name) and node.id in ("count", "number", "total", "unknown", "failed", "done")
