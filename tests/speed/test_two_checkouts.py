"""The encoders of two checkouts in turn: a copy of this one's clipkit is as fast and computes the same."""

from __future__ import annotations

import shutil

from speed import two_checkouts

SMALL = ["--backbone", "Embedded", "--size", "48", "--classes", "3", "--images", "1", "--repeats", "1"]


def test_a_copy_does_the_same_work(tmp_path, capsys):
    for name in ("clipkit", "dassl"):
        shutil.copytree(two_checkouts.HERE / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    assert two_checkouts.run([str(tmp_path), *SMALL]) == 0
    rows = [line.strip("|").split("|") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0].strip() for row in rows] == list(two_checkouts.WORK)
    for row in rows:
        here, there, ratio, ours, theirs, apart = map(float, row[1:])
        assert here > 0 and there > 0 and ratio > 0 and ours == theirs and apart == 0


def test_what_is_no_checkout(tmp_path, capsys):
    assert two_checkouts.run([str(tmp_path), *SMALL]) == 2
    assert "is no checkout of this project" in capsys.readouterr().err
