"""A script of several runs says what is wrong with all of them once, before the first is run."""

from __future__ import annotations

import pytest

import runs.one_run
from dassl.utils import InputError
from robustness.__main__ import run as attacks
from runs.__main__ import main
from runs.corruption_protocol import GROUPS, NAMES
from runs.defaults import default_cfg
from runs.text_noise_protocol import USUAL
from runs.words import check_can_write, meant_for

ZERO = ("ZeroshotCLIP", "digits", "1")


@pytest.fixture
def never_run(monkeypatch):
    def started(words):
        raise AssertionError("a run was started")

    monkeypatch.setattr(runs.one_run, "run", started)
    monkeypatch.setattr("robustness.__main__.evaluate", lambda words, options: started(words))


def refused(capsys, command, *words) -> str:
    """The one line that a command says."""
    assert command([*words]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ") and said.err.count("\n") == 1 and not said.out, said
    return said.err


@pytest.mark.usefixtures("never_run")
@pytest.mark.parametrize(
    ("protocol", "words", "says"),
    [
        ("text_noise_test", ["TYPO", "0.1"], "TYPO is neither a config key nor a kind of text noise; if typo is meant"),
        ("text_noise_test", ["Paraphrases", "2"], "if paraphrase is meant, write paraphrase"),
        ("text_noise_test", ["TYPO,OCR", "0.1"], "nearest first: typo"),
        ("text_noise_test", ["NOTHING", "0.1"], "Unknown config key NOTHING in the command line"),
        ("text_noise_test", ["OPTIM.LT", "0.1"], "nearest: OPTIM.LR"),
        ("text_noise_test", ["OPTIM.LR", "much"], "OPTIM.LR"),
        ("corruption_test", ["FOG", "1"], "FOG is neither a config key nor a corruption; if fog is meant"),
        ("corruption_test", ["WEATHER", "1"], "if weather is meant"),
        ("corruption_test", ["NOTHING", "1"], "Unknown config key NOTHING"),
    ],
)
def test_a_wrong_word_is_told_once(protocol, words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OUTPUT", str(tmp_path / "out"))
    assert says in refused(capsys, main, protocol, *ZERO, *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("never_run")
def test_of_attacks_too(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OUTPUT", str(tmp_path / "out"))
    words = ("ZeroshotCLIP", "digits,letters", "1", "4", "5", "T")
    assert "Unknown config key NOTHING" in refused(capsys, attacks, *words, "NOTHING", "1")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("never_run")
@pytest.mark.parametrize("protocol", ["text_noise_test", "corruption_test"])
def test_a_folder_that_cannot_be_written_is_told_once(protocol, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OUTPUT", str(tmp_path))
    (tmp_path / protocol.removesuffix("_test")).write_text("a file\n")  # in the place of a folder
    said = refused(capsys, main, protocol, *ZERO)
    assert "Nothing can be written in" in said and "not a directory" in said and "give another OUTPUT" in said

    def read_only(**_):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setenv("OUTPUT", str(tmp_path / "new"))
    monkeypatch.setattr("runs.words.tempfile.TemporaryFile", read_only)
    said = refused(capsys, main, protocol, *ZERO)
    assert f"Nothing can be written in {tmp_path}, where " in said and "(permission denied)" in said
    assert not (tmp_path / "new").exists()


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path):
    check_can_write(tmp_path / "a" / "b", "OUTPUT")
    check_can_write(tmp_path, "OUTPUT")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="Nothing can be written in /proc"):
        check_can_write("/proc/x", "OUTPUT")


def test_no_config_key_is_taken_for_a_name():
    ours = [key for key in default_cfg() if key.isupper()]
    for known in (USUAL, (*NAMES, *GROUPS), ("all",)):
        assert [key for key in ours if meant_for([key], known)] == []


def test_runs_that_can_begin_are_run(tmp_path, monkeypatch, capsys):
    seen = []
    monkeypatch.setenv("OUTPUT", str(tmp_path / "out"))
    monkeypatch.setattr(runs.one_run, "run", lambda words: seen.append(words) or 0)
    assert main(["text_noise_test", *ZERO]) == 0 and len(seen) == 23
