"""Scripts called with a Python that prints its arguments and starts nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "scripts").glob("*/*.sh"))
LINKS = [script for script in SCRIPTS if script.parent.name != "adv"]  # scripts/adv has two of its own


def make_stub(folder: Path) -> Path:
    """An interpreter that passes the check of scripts/python.sh (its `-c`) and prints what else it is called with."""
    file = folder / "python"
    file.write_text('#!/bin/sh\n[ "$1" = -c ] || printf "%s|" "$@"\n')
    file.chmod(0o755)
    return file


def call(script: str | Path, *words: str, python: Path | str = "", shell: str = "bash", **options):
    """The finished process. python: the stub; options: of subprocess.run."""
    env = os.environ | {"PYTHON": str(python)}
    return subprocess.run([shell, str(script), *words], capture_output=True, text=True, env=env, **options)


def started(done: subprocess.CompletedProcess) -> list[str]:
    """[protocol, trainer, other words ...] that a script handed on."""
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("-m|runs|"), done.stdout
    return done.stdout.split("|")[2:-1]
