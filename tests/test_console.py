"""Names in any script, and file names that are no text, reach every terminal: as they are, or as escapes."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dassl.utils import setup_logger
from dassl.utils.console import tolerant_console
from dassl.utils.logger import StdoutHandler

ROOT = Path(__file__).resolve().parents[1]
NAMES = "日本, naïve, im\udcff.png"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_what_the_terminal_cannot_show_is_an_escape(encoding, errors, monkeypatch, tmp_path):
    written = {name: io.BytesIO() for name in ("stdout", "stderr")}
    for name, buffer in written.items():
        monkeypatch.setattr(sys, name, io.TextIOWrapper(buffer, encoding=encoding, errors=errors, write_through=True))
    tolerant_console()
    setup_logger(str(tmp_path / "log.txt"))  # a run's log too, whose file is UTF-8
    log = logging.Logger("x")
    log.addHandler(StdoutHandler())
    log.warning(NAMES)
    sys.stdout.write(f"{NAMES}\n")
    sys.stderr.write(f"{NAMES}\n")
    shown = written["stdout"].getvalue().decode(encoding, "surrogateescape")
    assert shown.count("\n") == 2
    assert written["stderr"].getvalue().count(b"\n") == 1  # no "Logging error" with its traceback
    assert shown.startswith("日本, naïve" if encoding == "utf-8" else "\\u65e5\\u672c, ")
    assert (tmp_path / "log.txt").read_text(encoding="utf-8").startswith("日本, naïve, im\\udcff.png\n")


def entry_points() -> list[str]:
    command = ["git", "grep", "-l", '__name__ == "__main__"', "--", "*.py"]
    files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return [file for file in files if not file.startswith(("tests/", "speed/", "interop/export/"))]


def test_every_command_line_begins_so():
    """Also those that must not import the engine: they say it themselves."""
    found = entry_points()
    assert {"train.py", "predict.py", "clipkit/__main__.py", "bench/__main__.py"} <= set(found)
    for file in found:
        block = (ROOT / file).read_text(encoding="utf-8").rpartition('if __name__ == "__main__":')[2]
        assert re.search(r"tolerant_console\(\)|backslashreplace", block), file
