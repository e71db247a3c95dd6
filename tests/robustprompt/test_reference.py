"""docs/reference: every key has a meaning, and the pages are as the code has them."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from robustprompt import reference
from robustprompt.help_pages import commands_page, python_version
from robustprompt.key_comments import comments_of
from robustprompt.key_pages import ROOT

SOURCE = """
N = "TRAINER.X."
KEYS = {
    N + "A": 1,  # of the sum
    # above, in two
    # lines
    f"{N}B": 2,
    "C": 3, "D": 4,
    "E": {"F": 5},  # of the dict
}
cfg.DATASET.G = 6  # of the line
other.H = 7  # of something else
"""
NEW = "write it anew: python -m robustprompt.reference"


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


def page(name: str) -> str:
    return (reference.FOLDER / name).read_text(encoding="utf-8")


def test_comments_are_read_beside_and_above_a_default():
    found = {said.key: said.text for said in comments_of(SOURCE)}
    own = {"A": "of the sum", "B": "above, in two lines", "E": "of the dict", "F": "of the dict"}
    assert found == own | {"DATASET.G": "of the line"}


ALONE = """
import json
from robustprompt.key_pages import all_keys, config_page, unused_meanings
keys = all_keys()
bare = [key.name for key in keys if not key.meaning or not key.values]
print(json.dumps({"count": len(keys), "bare": bare, "unused": unused_meanings(), "page": config_page()}))
"""


@pytest.fixture(scope="module")
def alone() -> dict:
    """What a process of its own finds: other tests of this one register methods."""
    done = subprocess.run([sys.executable, "-c", ALONE], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_every_key_has_a_meaning_and_every_meaning_a_key(alone):
    assert alone["count"] > 500 and not alone["bare"] and not alone["unused"]


def test_the_page_of_keys_is_current(alone):
    assert page("config.md") == alone["page"], NEW


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_the_page_of_commands_is_current():
    text, made = page("commands.md"), commands_page()
    if f"with Python {python_version()};" in text:
        assert text == made, NEW
    else:  # another version of Python has the same commands and options, in another form
        for pattern in (r"^### .*", r"(?<![\w-])--[a-z][\w-]+"):
            assert set(re.findall(pattern, text, re.M)) == set(re.findall(pattern, made, re.M)), NEW


def test_the_command_writes_what_is_stale_and_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    monkeypatch.setattr(reference, "PAGES", {"one.md": lambda: "text\n"})
    assert reference.main(["--check"]) == 1 and not list(tmp_path.iterdir())
    assert reference.main([]) == 0 and (tmp_path / "one.md").read_text() == "text\n"
    assert reference.main(["--check"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "All pages are as the code has them."
