"""torchattacks comes without what it asks for: an old `requests` must not take a newer one's place."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from attacks.adapter import VERSION

ROOT = Path(__file__).resolve().parents[2]


def test_it_is_installed_alone():
    lines = [line for line in (ROOT / "requirements-attacks.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines == [f"torchattacks=={VERSION}"]
    assert "torchattacks" not in re.sub(r"#.*", "", (ROOT / "requirements.txt").read_text())
    installs = [line for line in (ROOT / "scripts/setup.sh").read_text().splitlines() if "requirements-attacks" in line]
    assert any(line.startswith("install ") for line in installs)
    assert all("--no-deps" in line for line in installs if line.startswith("install "))


def test_requests_is_not_downgraded():
    try:
        version = metadata.version("requests")
    except metadata.PackageNotFoundError:
        return
    assert tuple(map(int, version.split(".")[:2])) > (2, 25)


def test_it_runs_without_requests():
    pytest.importorskip("torchattacks")
    code = "import sys; sys.modules['requests'] = None; import torchattacks; torchattacks.APGD"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
