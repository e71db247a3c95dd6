"""A generated method in a fresh tree: its own test is green. Bad names are refused, and nothing is written."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
from checkouts import ROOT, python

from trainers.__main__ import main

LINKED = ("dassl", "clipkit", "datasets", "language", "attacks", "robustness", "runs")
COPIED = ("trainers", "interop", "configs/trainers/CoOp", "scripts")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A tree with everything that training and the tests need, and a method that was started in it."""
    tree = tmp_path_factory.mktemp("tree")
    for name in COPIED:
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "tests").mkdir()
    for name in ("tests/conftest.py", "tests/helpers.py", "train.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tree / name)
    for path in ROOT.iterdir():
        if path.name in LINKED:
            (tree / path.name).symlink_to(path)
    done = python(["-m", "trainers", "new", "FreshMethod"], tree, tree, tree / "cache")
    assert done.returncode == 0, done.stderr
    assert "Its test:    python -m pytest -n0 tests/trainers/test_freshmethod.py" in done.stdout
    return tree


def test_its_own_test_is_green(fresh):
    given = ["-m", "pytest", "-n0", "-p", "no:cacheprovider", "tests/trainers/test_freshmethod.py"]
    done = python(given, fresh, fresh, fresh / "cache")
    assert done.returncode == 0 and "3 passed" in done.stdout.replace("[100%]\n", "3 passed"), done.stdout


def test_it_is_clean(fresh):
    files = [fresh / "trainers" / "freshmethod.py", fresh / "tests" / "trainers" / "test_freshmethod.py"]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "--config", ROOT / "pyproject.toml", *files],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


def test_configs_and_scripts_are_its_own(fresh):
    configs = fresh / "configs" / "trainers" / "FreshMethod"
    assert {p.name for p in configs.iterdir()} == {"vit_b16.yaml", "embedded.yaml"}
    assert "  FRESHMETHOD:\n" in (configs / "vit_b16.yaml").read_text()
    coops = {p.name for p in (ROOT / "scripts" / "coop").iterdir()}
    assert {p.name for p in (fresh / "scripts" / "freshmethod").iterdir()} == coops
    for script in (fresh / "scripts" / "freshmethod").iterdir():
        assert script.is_symlink() == (ROOT / "scripts" / "coop" / script.name).is_symlink()
        assert script.stat().st_mode & 0o111
        said = subprocess.run(["bash", str(script), "--help"], capture_output=True, text=True, check=True).stdout
        assert f"usage: bash scripts/freshmethod/{script.name} " in said
        assert re.search(r"\b(Trains|Tests) FreshMethod\b", said)


def test_scripts_are_plain_files_where_links_cannot_be_made(tmp_path, monkeypatch, capsys):
    """In a checkout that has text files in place of links, before and after scripts/links.sh."""
    from interop.export import new

    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", symlinks=True)
    shutil.copytree(ROOT / "configs/trainers/CoOp", tmp_path / "configs/trainers/CoOp")
    for script in (tmp_path / "scripts/coop").iterdir():
        script.unlink()
        script.write_text("../run.sh")
    monkeypatch.setattr(new, "ROOT", tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(["new", "PlainMethod"]) == 2
    assert "bash scripts/links.sh" in capsys.readouterr().err and sorted(tmp_path.rglob("*")) == before
    subprocess.run(["bash", str(tmp_path / "scripts/links.sh")], check=True, capture_output=True)
    assert main(["new", "PlainMethod"]) == 0
    script = tmp_path / "scripts/plainmethod/few_shot.sh"
    assert not script.is_symlink() and script.stat().st_mode & 0o111
    said = subprocess.run(["bash", str(script), "--help"], capture_output=True, text=True, check=True).stdout
    assert "Trains PlainMethod on SHOTS images" in said


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("my method", "cannot be a method's name"),
        ("None", "cannot be a method's name"),
        ("coolThing", "cannot be a method's name"),
        ("COOP", "There is a method called CoOp already"),
        ("Base", "trainers/base.py is there already"),
        ("Tta", "The config node TRAINER.TTA is taken"),
        ("Mme", "The config node TRAINER.MME is taken"),
        ("Preemption", "tests/runs/test_preemption.py is there already"),
    ],
)
def test_a_name_that_cannot_be_is_refused(name, says, capsys):
    assert main(["new", name]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
    assert not (ROOT / "configs" / "trainers" / name).exists() or name == "COOP"


def test_what_cannot_be_written_leaves_nothing(tmp_path, monkeypatch, capsys):
    from interop.export import new

    for name in ("configs/trainers/CoOp", "scripts/coop"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "tests").write_text("a file where a folder should be")
    monkeypatch.setattr(new, "ROOT", tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(["new", "LateMethod"]) == 2
    assert "cannot be written" in capsys.readouterr().err
    left = [p for p in tmp_path.rglob("*") if p not in before]
    assert not [p for p in left if p.is_file()]
