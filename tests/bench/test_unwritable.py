"""Files that cannot be written: one sentence, before the work where it can be seen, and in any case no traceback."""

from __future__ import annotations

import errno
import importlib
import os

import pytest
import test_selection
from result_files import folder_of, write_result
from test_go_ahead import LONG, SHORT

from bench.__main__ import main as bench
from bench.drawing import table
from bench.running import selection
from bench.running.trouble import writing
from bench.studies import claims, door, noise_analysis, regime, semantics, text_noise
from dassl.utils import InputError

STUDIES = {name: importlib.import_module(f"bench.studies.{name}").main for name in [*LONG, *SHORT]}
NOWHERE = "/proc/x.md"
OTHERS = {
    "table --markdown": (table.main, [".", "--markdown", NOWHERE]),
    "table --latex": (table.main, [".", "--latex", NOWHERE]),
    "table --plot": (table.main, [".", "--plot", "/proc/x.png"]),
    "semantics": (semantics.main, ["run", "--plot", "/proc/x.png"]),
    "noise_analysis": (noise_analysis.main, ["run", "--output", "/proc/x"]),
    "regime --markdown": (regime.main, ["--markdown", NOWHERE]),
    "regime --json": (regime.main, ["--json", NOWHERE]),
    "claims --json": (claims.main, ["--json", NOWHERE]),
    "text_noise --tables-only": (text_noise.main, ["--tables-only", "--output", ".", "--markdown", NOWHERE]),
    "noise --plots": (STUDIES["noise"], ["--plots", "/proc/x"]),
} | {f"{name} --markdown": (main, [*(LONG | SHORT)[name], "--markdown", NOWHERE]) for name, main in STUDIES.items()}


def denied(*_, **__):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "some/file.tmp")


@pytest.mark.parametrize("name", OTHERS)
def test_a_place_that_cannot_be_written_is_refused_before_the_work(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main, words = OTHERS[name]
    assert main(words) == 2
    out, error = capsys.readouterr()
    assert error.startswith("error: --") and " /proc/x" in error and " cannot be written (No such file" in error, error
    assert error.count("\n") == 1
    assert not out and list(tmp_path.iterdir()) == []


def test_a_table_that_cannot_be_written_after_all(tmp_path, monkeypatch, capsys):
    for part in ("base2new_train", "base2new_test"):
        write_result(folder_of(tmp_path / "out", part, "CoOp", "digits", 1), "CoOp", "Digits", 1, 50.0)
    words = ["--tables-only", "--methods", "CoOp", "--datasets", "digits", "--seeds", "1"]
    monkeypatch.setattr(door, "write_text", denied)
    file = tmp_path / "t.md"
    assert STUDIES["base2new"]([*words, "--output", str(tmp_path / "out"), "--markdown", str(file)]) == 2
    out, error = capsys.readouterr()
    text = f"error: {file} cannot be written (permission denied); mend that, or give another --markdown.\n"
    assert "50.00" in out and error == text and not file.exists()


def test_a_full_disk_stays_one(tmp_path):
    with pytest.raises(OSError, match="No space"), writing(tmp_path, "--plots"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(InputError, match=r"cannot be written \(is a directory\)"), writing(tmp_path, "--plots"):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def test_a_folder_in_the_place_of_the_choice(tmp_path, capsys):
    test_selection.suite_in(tmp_path, test_selection.SELECT, test_selection.TAKE)
    (tmp_path / "out" / "selected.yaml").mkdir(parents=True)
    for command in ("plan", "run", "select", "status"):
        assert bench([command, str(tmp_path / "s.yaml")]) == 2
        error = capsys.readouterr().err
        assert "selected.yaml is a folder, where `python -m bench select` writes a file" in error, error
        assert error.count("\n") == 1
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["selected.yaml"]


def test_a_choice_that_cannot_be_written(tmp_path, monkeypatch, capsys):
    suite = test_selection.suite_in(tmp_path, test_selection.SELECT)
    test_selection.finish(suite, test_selection.peak({"CoOp": "0.002", "PTNL": "0.001"}))
    monkeypatch.setattr(selection, "write_text", denied)
    assert bench(["select", str(tmp_path / "s.yaml")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "selected.yaml cannot be written (permission denied)" in error


def test_a_suite_that_cannot_be_read(tmp_path, monkeypatch, capsys):
    file = tmp_path / "s.yaml"
    file.write_text("name: s\n")
    monkeypatch.setattr("pathlib.Path.read_text", denied)
    assert bench(["plan", str(file)]) == 2
    assert capsys.readouterr().err == f"error: {file} cannot be read (permission denied); mend that.\n"
