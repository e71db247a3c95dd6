"""scripts/setup.sh: what is wrong is said before anything is downloaded; which builds and installers it takes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from robustprompt.doctor import RUNTIME

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PIP = """#!/bin/sh
case "$*" in
  *find_spec*) exit ${TORCH_IS:-4} ;;
  *"pip --version"*) exit ${PIP_IS:-0} ;;
  -c*) exit 0 ;;
  *) echo "pip: $*" >>installed.txt ;;
esac
"""


@pytest.fixture
def tree(tmp_path):
    """A checkout with a .venv whose Python writes what it would install into installed.txt."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", symlinks=True)
    for name in ("requirements.txt", "requirements-attacks.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PIP)
    python.chmod(0o755)
    return tmp_path


def setup(tree: Path, **env: str) -> tuple[int, str, list[str]]:
    """(exit code, stderr, what would be installed)."""
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "VIRTUAL_ENV", "CONDA_PREFIX")}
    done = subprocess.run(["bash", "scripts/setup.sh"], cwd=tree, env=own | env, capture_output=True, text=True)
    file = tree / "installed.txt"
    return done.returncode, done.stderr, file.read_text().splitlines() if file.exists() else []


@pytest.mark.parametrize(
    ("answer", "said"), [("4", "has no torch"), ("3", "is too old"), ("1", "does not start"), (None, "does not start")]
)
def test_a_python_that_will_not_do_is_told_before_anything_is_installed(tree, answer, said):
    given = tree / "other"
    if answer:
        given.write_text(f"#!/bin/sh\nexit {answer}\n")
        given.chmod(0o755)
    code, err, installed = setup(tree, PYTHON=str(given))
    assert code == 2 and not installed
    assert err.startswith(f"error: PYTHON={given} {said}") and err.count("\n") == 1 and "leave PYTHON out" in err


def test_what_is_installed_and_that_it_is_installed_once(tree):
    code, err, installed = setup(tree)
    assert code == 0 and [line.partition("install ")[2].split(" ", 2)[2] for line in installed] == [
        "-r requirements.txt", "--no-deps -r requirements-attacks.txt"
    ]  # fmt: skip
    assert setup(tree) == (0, err, installed)


def test_a_build_of_torch_comes_first_and_from_its_own_index(tree):
    code, _, installed = setup(tree, RP_TORCH="cpu")
    pins = re.findall(r"^torch(?:vision)?==[\d.]+", (ROOT / "requirements.txt").read_text(), re.M)
    assert code == 0 and len(pins) == 2
    assert installed[0].endswith(f"--index-url https://download.pytorch.org/whl/cpu {' '.join(pins)}")
    assert installed[1].endswith("-r requirements.txt")


@pytest.mark.parametrize("wrong", ["gpu", "CPU", "cpu; rm -r x", "12.6", "https://x"])
def test_another_word_for_the_build_is_refused(tree, wrong):
    code, err, installed = setup(tree, RP_TORCH=wrong)
    assert code == 2 and not installed and f"RP_TORCH is '{wrong}'" in err and err.count("\n") == 1


def test_a_torch_that_is_there_stays(tree):
    code, err, installed = setup(tree, RP_TORCH="cpu", TORCH_IS="0")
    assert code == 0 and "remove .venv to install another" in err and len(installed) == 2


def test_a_venv_without_pip_is_filled_by_uv(tree):
    code, err, installed = setup(tree, PIP_IS="1", PATH="/usr/bin:/bin")
    if shutil.which("uv", path="/usr/bin:/bin") is None:
        assert code == 2 and not installed and "has no pip, and there is no uv" in err
    uv = tree / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text('#!/bin/sh\necho "uv: $*" >>installed.txt\n')
    uv.chmod(0o755)
    code, err, installed = setup(tree, PIP_IS="1", RP_TORCH="cu126", PATH=f"{uv.parent}:/usr/bin:/bin")
    assert code == 0, err
    assert [line.split()[:5] for line in installed] == [["uv:", "pip", "install", "--quiet", "--python"]] * 3
    assert "whl/cu126 torch==" in installed[0]


def named(column: str) -> set[str]:
    """The packages in a column of a table of docs/installing.md."""
    return set(re.findall(r"`([\w-]+)`", column))


def test_the_table_says_what_every_package_is_for():
    text = (ROOT / "docs" / "installing.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")
    ]
    packages = {row[0].strip("`"): row for row in rows if row[2:] in (["yes"], [""], ["extra"])}
    bare = [re.match(r"[\w-]+", line)[0] for line in project["dependencies"]]
    runtime = (ROOT / "requirements.txt").read_text().partition(RUNTIME)[0]
    pinned = re.findall(r"^([\w-]+)==", runtime, re.M)
    assert set(packages) == {*bare, *pinned}
    assert {name for name, row in packages.items() if row[2] == "yes"} == set(bare)
    assert all(len(row[1]) > 5 for row in packages.values())
    extras = {re.match(r"\w+", name)[0]: wanted for name, wanted in project["optional-dependencies"].items()}
    rest = re.sub(r"\s+", " ", text)
    for name, wanted in extras.items():
        row = next(row for row in rows if row[0] == f"`{name}`" and row[1].startswith("`"))
        assert named(row[1]) == {re.match(r"[\w-]+", line)[0] for line in wanted}
    for name in re.findall(r"^([\w-]+)==", (ROOT / "requirements.txt").read_text().partition(RUNTIME)[2], re.M):
        assert name in rest, name
