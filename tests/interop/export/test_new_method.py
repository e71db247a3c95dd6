"""Generated methods in a fresh tree, alone or on a host: their own tests are green. What is wrong writes nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
from checkouts import ROOT, python

from trainers.__main__ import main

LINKED = ("dassl", "clipkit", "datasets", "language", "attacks", "robustness", "runs")
COPIED = ("trainers", "interop", "configs/trainers/CoOp", "configs/trainers/MaPLe", "configs/trainers/MMRL", "scripts")
DERIVED = {"FromCoOp": "coop", "FromMaPLe": "MaPLe", "FromMMRL": "MMRL", "FromFresh": "FreshMethod"}  # names and hosts
# For a pytest within a test: in the usual folder for temporary files it would first remove what earlier ones left.
APART = ("-p", "no:cacheprovider", "--basetemp", "temporary")


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
    derive = (
        "from trainers.__main__ import main\nfor name, host in (%s): assert main(['new', name, '--from', host]) == 0"
    )
    done = python(["-c", derive % ", ".join(map(repr, DERIVED.items()))], tree, tree, tree / "cache")
    assert done.returncode == 0, done.stderr
    assert "Then edit the line YOUR LOSS of trainers/frommaple.py, and what the names of its tests say" in done.stdout
    return tree


def test_their_own_tests_are_green(fresh):
    """Of the method alone, and of those on hosts."""
    given = ["-m", "pytest", "-n0", "-vv", *APART, "tests/trainers"]
    done = python(given, fresh, fresh, fresh / "cache")
    passed = [line.rpartition("::")[2].split()[0] for line in done.stdout.splitlines() if " PASSED " in line]
    assert done.returncode == 0 and len(passed) == 3 * (1 + len(DERIVED)), done.stdout
    assert all("__replace_" in name for name in passed)


def test_a_change_of_the_marked_line_is_found_by_the_test_that_names_it(fresh):
    trainer = fresh / "trainers" / "fromcoop.py"
    before = trainer.read_text()
    line = "        own = -logits.log_softmax(dim=1).mean()  # YOUR LOSS: change this line\n"
    assert before.count(line) == 1
    trainer.write_text(before.replace(line, "        own = logits.square().mean()\n"))
    given = ["-m", "pytest", "-n0", *APART, "tests/trainers/test_fromcoop.py"]
    done = python(given, fresh, fresh, fresh / "cache")
    trainer.write_text(before)
    assert done.returncode == 1 and done.stdout.count("\nFAILED ") == 1
    assert (
        "FAILED tests/trainers/test_fromcoop.py::test_the_loss_has_the_hosts_terms_and_own__replace_exp" in done.stdout
    )


def test_a_method_on_a_host_has_the_hosts_configs(fresh):
    configs, hosts = (fresh / "configs" / "trainers" / name for name in ("FromMMRL", "MMRL"))
    assert {p.name for p in configs.iterdir()} == {"vit_b16.yaml", "embedded.yaml"}
    assert all((configs / name).read_text() == (hosts / name).read_text() for name in ("vit_b16.yaml", "embedded.yaml"))


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("Maplee", "--from Maplee: no method of that name can be built on; those that can, nearest first: MaPLe,"),
        ("ZeroshotCLIP", "no method of that name can be built on"),
        ("CoOpSAR", "no method of that name can be built on"),
        ("LPpp", "a term cannot be added to its loss from outside"),
        ("APT", "no method of that name can be built on"),
    ],
)
def test_a_host_that_cannot_be_is_refused(host, says, capsys):
    assert main(["new", "OtherMethod", "--from", host]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
    assert not (ROOT / "trainers" / "othermethod.py").exists()


def test_it_is_clean(fresh):
    modules = ["freshmethod", *(name.lower() for name in DERIVED)]
    files = [fresh / "trainers" / f"{name}.py" for name in modules]
    files += [fresh / "tests" / "trainers" / f"test_{name}.py" for name in modules]
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
