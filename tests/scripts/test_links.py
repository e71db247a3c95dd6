"""scripts/METHOD/PROTOCOL.sh are links to one script, which finds itself from wherever it is called."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from stub import LINKS, ROOT, call, make_stub, started

RUN = ["base2new_train", "CoOp", "digits", "1"]


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return make_stub(tmp_path_factory.mktemp("python"))


LINKED = pytest.mark.skipif(not any(s.is_symlink() for s in LINKS), reason="a checkout without symbolic links")


@LINKED
def test_all_are_links_to_one_script():
    assert len(LINKS) > 200
    assert {os.readlink(s) if s.is_symlink() else s for s in LINKS} == {"../run.sh"}


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_a_script_is_called_from_anywhere(shell, python, tmp_path, monkeypatch):
    script = ROOT / "scripts/coop/base2new_train.sh"
    (tmp_path / "sub").mkdir()
    folder, file, again = tmp_path / "co op", tmp_path / "train", tmp_path / "sub" / "again"
    folder.symlink_to(script.parent)
    file.symlink_to(script)
    again.symlink_to("../train")
    places = [(ROOT, "scripts/coop/base2new_train.sh"), (ROOT / "scripts", "coop/base2new_train.sh")]
    places += [(script.parent, "base2new_train.sh"), (tmp_path, script), (tmp_path, "co op/base2new_train.sh")]
    places += [(tmp_path, "train"), (tmp_path, file), (tmp_path / "sub", "again"), (ROOT, again)]
    monkeypatch.setenv("CDPATH", f"{ROOT}:{tmp_path}")
    for where, name in places:
        assert started(call(name, "digits", "1", python=python, cwd=where, shell=shell)) == RUN, (where, name)
    own = tmp_path / "mine"
    own.symlink_to(ROOT / "scripts/run.sh")
    assert started(call(own, *RUN, python=python, cwd=tmp_path, shell=shell)) == RUN


@LINKED
def test_a_script_is_called_by_name(python, monkeypatch, tmp_path):
    """As a program, and through PATH."""
    monkeypatch.setenv("PATH", f"{ROOT / 'scripts/coop'}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHON", str(python))
    for command in (["base2new_train.sh"], ["bash", "base2new_train.sh"], [ROOT / "scripts/coop/base2new_train.sh"]):
        done = subprocess.run([*command, "digits", "1"], capture_output=True, text=True, cwd=tmp_path)
        assert started(done) == RUN


def tree(folder: Path) -> Path:
    """The scripts, and the modules that they read names from."""
    shutil.copytree(ROOT / "scripts", folder / "scripts", symlinks=True)
    (folder / "trainers").mkdir()
    for file in (ROOT / "trainers").glob("*.py"):
        shutil.copy(file, folder / "trainers")
    return folder


def test_a_checkout_without_links(python, tmp_path):
    """As git makes one with core.symlinks=false: text files in place of links, until scripts/links.sh was called."""
    origin, clone = tree(tmp_path / "origin"), tmp_path / "clone"
    for script in (origin / "scripts").glob("*/*.sh"):  # links, also where this checkout has none
        if script.parent.name != "adv" and not script.is_symlink():
            script.unlink()
            script.symlink_to("../run.sh")

    def git(*words: str, where: Path = origin) -> str:
        name = ["-c", "user.name=x", "-c", "user.email=x@x", "-c", "core.hooksPath=/dev/null"]
        return subprocess.run(["git", *name, *words], cwd=where, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "all")
    git("clone", "-q", "-c", "core.symlinks=false", str(origin), str(clone))
    script = clone / "scripts/coop/base2new_train.sh"
    assert not script.is_symlink() and script.read_text() == "../run.sh"
    before = (clone / "scripts/run.sh").read_text(), (clone / "scripts/adv/eval.sh").read_text()

    done = call(clone / "scripts/setup.sh", python="/nonexistent", cwd=tmp_path)  # it calls links.sh
    assert f"{len(LINKS)} links that came as text files are scripts of three lines now" in done.stdout
    assert before == ((clone / "scripts/run.sh").read_text(), (clone / "scripts/adv/eval.sh").read_text())
    assert git("status", "--short", where=clone) == ""
    assert "nothing to do" in call(clone / "scripts/links.sh").stdout  # once is enough
    assert call(clone / "scripts/links.sh", "--quiet").stdout == ""

    assert len(script.read_text().splitlines()) == 3 and os.access(script, os.X_OK)
    for shell in ("bash", "sh"):
        assert started(call(script, "digits", "1", python=python, cwd=tmp_path, shell=shell)) == RUN
    done = call("coop/base2new_train.sh", "digits", "1", python=python, cwd=clone / "scripts")
    assert started(done) == RUN
    (tmp_path / "elsewhere").symlink_to(script)
    assert started(call(tmp_path / "elsewhere", "digits", "1", python=python, cwd=tmp_path)) == RUN
    done = call(clone / "scripts/sar/few_shot.sh", "TCP", "digits", "1", python=python)
    assert started(done) == ["few_shot", "TCPSAR", "digits", "1"]
    assert call(clone / "scripts/zsclip/test.sh").stderr.startswith(
        "usage: bash scripts/zsclip/test.sh DATASET SEED [EPS"
    )


def test_a_folder_without_a_method_is_refused(python, tmp_path):
    folder = tree(tmp_path / "tree") / "scripts/nomethod"
    folder.mkdir()
    (folder / "few_shot.sh").symlink_to("../run.sh")
    for module in (None, "class NoMethod:\n    pass\n"):
        if module:
            (tmp_path / "tree/trainers/nomethod.py").write_text(module)
        done = call(folder / "few_shot.sh", "digits", "1", python=python)
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert "scripts/nomethod belongs to trainers/nomethod.py" in done.stderr


def test_a_copy_elsewhere_says_that_it_is_one(python, tmp_path):
    for name in ("run.sh", "few_shot.sh", "trainers/coop.sh"):
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "scripts/run.sh", copy)
        done = call(copy, "few_shot", "CoOp", "digits", "1", python=python)
        assert done.returncode == 2 and "is a copy of scripts/run.sh" in done.stderr and done.stderr.count("\n") == 1


def test_an_unknown_protocol_has_its_nearest_named():
    """Python knows the names, so the real one is called."""
    for words in (["fewshot"], ["fewshot", "CoOp"], ["fewshot", "CoOp", "digits", "1"]):
        done = call(ROOT / "scripts/run.sh", *words, python=sys.executable)
        assert done.returncode == 2 and "no protocol 'fewshot'; there are, the nearest first: few_shot," in done.stderr
