"""The commands of the tutorials, one after another as a reader calls them, in a short form: one epoch, one shot."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
COMMAND = re.compile(r"    ((?:[A-Z]+=\S+ )*)(bash|python) (.*)")
TRAINS = ("runs", "robustness")  # what scripts lead to
SUBSET = ("--subset", "ATTACK.SUBSET")  # attacked images, of which ten are enough
SHORT = ["OPTIM.MAX_EPOCH", "1"]
KEPT_OUT = ("doctor",)  # looks at this computer
STUB = '#!/bin/sh\n[ "$1" = -c ] || printf "%s\\n" "$@"\n'  # an interpreter that says what it is called with


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A folder in which the commands write, with the tree's files as links."""
    here = tmp_path / "checkout"
    here.mkdir()
    for path in ROOT.iterdir():
        if path.name not in ("output", "data", ".git"):
            (here / path.name).symlink_to(path)
    (tmp_path / "python").write_text(STUB)
    (tmp_path / "python").chmod(0o755)
    monkeypatch.chdir(here)
    monkeypatch.setenv("ROBUSTPROMPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SHOTS", "1")
    return here


def words_of(program: str, words: list[str], given: dict[str, str], checkout: Path) -> list[str]:
    """What the command calls, as the words after `python -m`."""
    if program == "python":
        return words[1:] if words[0] == "-m" else [words[0].removesuffix(".py"), *words[1:]]
    import os

    env = os.environ | given | {"PYTHON": str(checkout.parent / "python")}
    done = subprocess.run(["bash", str(ROOT / words[0]), *words[1:]], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[1:]


def shortened(words: list[str]) -> list[str]:
    words = ["10" if before in SUBSET else word for before, word in zip(["", *words], words, strict=False)]
    if words[0] in TRAINS or words[:2] == ["bench", "plan"]:
        return [*words, *SHORT]
    if words[:2] == ["bench", "run"]:  # in this process, as a Slurm task does
        return ["bench", "work", *words[2:], "--seeds", "1", "--", *SHORT]
    if words[:2] == ["bench", "status"]:
        return [*words, "--seeds", "1", "--", *SHORT]
    return words


def run(words: list[str], monkeypatch) -> int:
    module, *rest = words
    monkeypatch.setattr(sys, "argv", [module, *rest])
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda file: file.stem)
def test_every_command_of_a_tutorial_runs(tutorial, checkout, monkeypatch):
    text = tutorial.read_text(encoding="utf-8")
    for example in re.findall(r"```yaml\n(.*?)```", text, re.S):
        name = re.search(r"^name: (\w+)$", example, re.M)[1]
        assert f"save this as {name}.yaml" in text.lower()
        (checkout / f"{name}.yaml").write_text(example.replace("subset: 100", "subset: 10"))
    commands = [match for line in text.splitlines() if (match := COMMAND.fullmatch(line))]
    assert len(commands) >= 5
    for match in commands:
        given = dict(pair.split("=") for pair in match[1].split())
        words = words_of(match[2], shlex.split(match[3], comments=True), given, checkout)
        if words[1:2] and words[1] in KEPT_OUT:
            continue
        with monkeypatch.context() as patch:
            for name, value in given.items():
                patch.setenv(name, value)
            assert run(shortened(words), patch) == 0, match[0]
    assert list(checkout.glob("output/**/results.json"))
