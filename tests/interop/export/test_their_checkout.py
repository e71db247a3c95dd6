"""A checkout in CoOp's manner, unmodified, on our engine in the place of upstream's."""

from __future__ import annotations

import pytest
from checkouts import ROOT, accuracy, arguments, make_checkout, make_pets, python

ENGINE = ROOT / "interop" / "engine_only"


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    return make_pets(tmp_path_factory.mktemp("pets"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, pets):
    """A run by `PYTHONPATH=<this tree> python train.py`."""
    folder = tmp_path_factory.mktemp("trained")
    checkout = make_checkout(folder / "coop")
    done = python(["train.py", *arguments(pets, folder / "out", "CoOp")], checkout, ROOT, pets / "cache")
    assert done.returncode == 0, done.stderr
    return folder / "out"


def test_their_packages_win_over_ours(trained):
    log = (trained / "log.txt").read_text()
    assert "Finish training" in log and "epoch [2/2] batch [3/3]" in log and "SUBSAMPLE BASE CLASSES!" in log


def test_the_engine_alone_serves_packages_without_init(trained, tmp_path, pets):
    """Python prefers our `trainers` to a folder without __init__.py; with the engine alone there is none of ours."""
    checkout = make_checkout(tmp_path / "coop")
    for name in ("trainers", "datasets"):
        (checkout / name / "__init__.py").unlink()
    flags = ("--eval-only", "--model-dir", trained, "--load-epoch", 2)
    given = arguments(pets, tmp_path / "out", "CoOp", flags=flags)
    done = python(["train.py", *given], checkout, ENGINE, pets / "cache")
    assert done.returncode == 0, done.stderr
    assert accuracy(tmp_path / "out") == accuracy(trained)


@pytest.mark.parametrize("path", [ENGINE, ROOT / "engine_only"])
def test_engine_only_has_the_engine_and_nothing_else(tmp_path, path):
    if not path.is_dir():
        pytest.skip("this checkout is without symbolic links")
    code = "import dassl.config, importlib.util as u; print(dassl.config.__file__, dassl.__version__)\n"
    code += "print([n for n in ('trainers', 'datasets', 'clipkit', 'language') if u.find_spec(n)])"
    done = python(["-c", code], tmp_path, path, tmp_path)
    assert done.stdout.splitlines() == [f"{ROOT / 'dassl' / 'config' / '__init__.py'} 0.6.3", "[]"], done.stderr
