"""The one entrance: every word leads to its command, with words and exit codes as they are."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from robustprompt import entrance
from robustprompt.completion import completion
from robustprompt.doors import DOORS

ROOT = Path(__file__).resolve().parents[2]
SUITE = "configs/suites/embedded.yaml"


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "argv", ["robustprompt"])


def called(words, capsys) -> tuple[int, str, str]:
    """(exit code, stdout, stderr)."""
    try:
        code = entrance.main(words)
    except SystemExit as end:
        code = end.code or 0
    return code, *capsys.readouterr()


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")  # tests imported these modules before
@pytest.mark.parametrize("word", DOORS)
def test_help_of_every_word_ends_with_an_example(word, capsys):
    code, out, err = called([word, "--help"], capsys)
    assert code == 0 and not err
    assert out.startswith("usage: ") and f"example: {'' if word == 'completion' else 'python -m robustprompt '}" in out
    assert DOORS[word].example.split()[-1] in out.rpartition("example: ")[2]
    assert all(re.search(rf"\b{then}\b", out) for then in DOORS[word].then)
    assert _rows(out) <= 50


def _rows(text: str) -> int:
    """Lines that the text takes on a terminal of 100 columns."""
    return sum(max(1, -(-len(line) // 100)) for line in text.splitlines())


@pytest.mark.parametrize("word", DOORS)
def test_the_files_of_every_example_are_in_the_tree(word):
    words = shlex.split(DOORS[word].example)
    assert words[0] == word or word == "completion"
    assert all((ROOT / each).is_file() for each in words if each.startswith("configs/"))


def test_all_words_are_on_one_screen_of_100_columns(capsys):
    code, out, err = called(["--help"], capsys)
    lines = out.splitlines()
    assert code == 0 and not err and len(lines) < 55 and max(map(len, lines)) <= 100
    assert all(f"\n  {word} " in out for word in DOORS)
    code, out, err = called([], capsys)
    assert code == 2 and not out and err.startswith("usage: ")


@pytest.mark.parametrize(
    "wrong, near", [("plann", "plan"), ("Compare", "compare"), ("prepare", "data prepare"), ("reprot", "report")]
)
def test_an_unknown_word_names_the_nearest(wrong, near, capsys):
    code, out, err = called([wrong, SUITE], capsys)
    assert code == 2 and not out
    assert err == f"error: there is no word {wrong!r}; the nearest is `robustprompt {near}`.\n"


def test_words_and_exit_codes_pass_through(capsys, monkeypatch, tmp_path):
    """As `python -m bench` has them: a plan, a suite that is missing, an option that is not known."""
    seen = ["--output", str(tmp_path), "--seeds", "1"]
    code, out, err = called(["plan", SUITE, *seen], capsys)
    assert code == 0 and out.startswith("embedded: ") and f" runs into {tmp_path}\n" in out and not err
    code, out, err = called(["status", "configs/suites/nothing.yaml"], capsys)
    assert code == 2 and not out and err.startswith("error: There is no suite configs/suites/nothing.yaml")
    code, out, err = called(["plan", SUITE, "--nothing"], capsys)
    assert code == 2 and "python -m bench plan: error: unrecognized arguments: --nothing" in err
    assert sys.argv == ["robustprompt"]

    given = []
    monkeypatch.setattr(entrance.runpy, "run_module", lambda *args, **more: given.append((args, more, [*sys.argv])))
    words = ["--trainer", "CoOp", "A.B", "-1", "--", "--help", "two words", ""]
    assert entrance.main(["show-config", *words]) == 0
    assert given == [(("train",), {"run_name": "__main__", "alter_sys": True}, ["train", "--show-config", *words])]


@pytest.mark.parametrize("code", [0, 1, 2, 130, "a sentence"])
def test_the_commands_exit_code_is_the_entrances(code, monkeypatch):
    def ending(*args, **more):
        raise SystemExit(code)

    monkeypatch.setattr(entrance.runpy, "run_module", ending)
    with pytest.raises(SystemExit) as end:
        entrance.main(["run", SUITE])
    assert end.value.code == code


@pytest.mark.parametrize("missing, told", [("tabulate", True), ("clip.model", True), ("bench.nothing", False)])
def test_a_missing_package_is_told_and_a_missing_file_of_ours_is_a_bug(missing, told, capsys, monkeypatch):
    def lacking(*args, **more):
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr(entrance.runpy, "run_module", lacking)
    if told:
        assert entrance.main(["run", SUITE]) == 2
        said = f"has no package {missing.partition('.')[0]}; python -m robustprompt doctor says what to do.\n"
        assert said in capsys.readouterr().err
    else:
        with pytest.raises(ModuleNotFoundError):
            entrance.main(["run", SUITE])


def test_the_installed_script_becomes_the_checkouts_command(capsys, monkeypatch, tmp_path):
    become = []
    monkeypatch.setattr(os, "execv", lambda file, words: become.append((file, words)))
    monkeypatch.setattr(sys, "argv", ["/x/bin/robustprompt", "plan", "a b", "--list"])
    entrance.installed()
    assert become == [(sys.executable, [sys.executable, "-m", "robustprompt", "plan", "a b", "--list"])]
    monkeypatch.chdir(tmp_path)
    assert entrance.installed() == 2 and len(become) == 1
    assert f"error: {tmp_path} is not a checkout of RobustPrompt" in capsys.readouterr().err


BASH = """
eval "$(cat)"
COMP_WORDS=(robustprompt {words}) COMP_CWORD={at}
_robustprompt
echo "${{COMPREPLY[@]}}"
complete -p robustprompt
"""


@pytest.mark.parametrize(
    "words, found",
    [("pl", "plan"), ("c", "clean collect compare card corruptions claims cache completion"), ("data d", "doctor"),
     ("list ''", "methods datasets protocols suites"), ("plan conf", ""), ("data doctor d", "")],
)  # fmt: skip
def test_completion_in_bash(words, found):
    script = BASH.format(words=words, at=len(shlex.split(words)))
    done = subprocess.run(["bash", "-c", script], input=completion(), capture_output=True, text=True, check=True)
    reply, how = done.stdout.splitlines()
    assert reply == found and how == "complete -o default -F _robustprompt robustprompt" and not done.stderr


def test_train_without_a_word_prints_its_usage(capsys):
    import train

    with pytest.raises(SystemExit) as end:
        train.run([])
    out, err = capsys.readouterr()
    assert end.value.code == 2 and not out and err.startswith("usage: ") and "--trainer CoOp" in err
    assert "** Config **" not in err


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"--trainer": "CoOpp"}, "expected to belong to [CoOp,"),
        ({"DATASET.NAME": "Digitz"}, "expected to belong to [Digits,"),
        ({"--trainer": ""}, "No trainer is given"),
    ],
)
def test_a_wrong_name_is_told_before_the_configuration(changes, said, capsys, tmp_path):
    import train

    words = {"--trainer": "CoOp", "--dataset-config-file": "configs/datasets/digits.yaml",
             "--output-dir": str(tmp_path / "run")} | changes  # fmt: skip
    assert train.run([part for pair in words.items() for part in pair]) == 2
    out, err = capsys.readouterr()
    assert said in err and "** Config **" not in out + err and not (tmp_path / "run").exists()
