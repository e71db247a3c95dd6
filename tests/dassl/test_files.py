"""Atomic writing: what is no plain file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dassl.utils import atomic_path


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    with atomic_path(link) as temporary:
        Path(temporary).write_text("new")
    assert link.is_symlink() and target.read_text() == "new"


def test_no_file_takes_the_place_of_a_device_or_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place in (pipe, Path("/dev/null")):
        before = os.stat(place).st_mode
        with pytest.raises(OSError, match="a device or a pipe"), atomic_path(place) as temporary:
            Path(temporary).write_text("x")
        assert os.stat(place).st_mode == before
