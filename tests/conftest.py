"""Shared fixtures: everything lives in temporary folders, the caches too."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `import helpers`
# Before torch is imported: a fork of a process that has computed with several threads waits for ever (processes.py).
os.environ.setdefault("OMP_NUM_THREADS", "1")


LOGGERS = "train trainers datasets clipkit language plugins runs attacks robustness bench"


@dataclass(frozen=True)
class Tiny:
    """The tiny dataset's root, a tiny CLIP, and a runner of whole runs."""

    root: Path
    backbone: Path

    def arguments(self, output: Path, trainer: str = "CoOp", flags: tuple = (), pairs: dict | None = None) -> list[str]:
        from helpers import arguments

        return arguments(self.root, self.backbone, output, trainer, flags, pairs)

    def run(self, output: Path, trainer: str = "CoOp", flags: tuple = (), pairs: dict | None = None) -> int:
        """train.py's exit code."""
        from train import run

        return run(self.arguments(output, trainer, flags, pairs))

    def trainer(self, output: Path, trainer: str = "CoOp", pairs: dict | None = None):
        """A built trainer, not yet trained."""
        import train
        from dassl.engine import build_trainer

        return build_trainer(
            train.setup_cfg(train.build_parser().parse_args(self.arguments(output, trainer, (), pairs)))
        )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also what repeats a checked path many times")


@pytest.fixture(scope="session")
def long_tests(pytestconfig: pytest.Config) -> bool:
    """Whether tests repeat what they check many times: `pytest --long`."""
    return pytestconfig.getoption("--long")


@pytest.fixture(autouse=True)
def untouched_loggers():
    """A run makes our loggers print for themselves; each test starts without that, for `caplog`'s sake."""
    for name in LOGGERS.split():
        logger = logging.getLogger(name)
        logger.propagate, logger.handlers = True, []
        logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session", autouse=True)
def tiny_for_ours():
    """Suites of the tests turn `digits` into the tiny dataset by DATASET.NAME; users may not, see `as_for_users`."""
    from runs.settled import EVERYWHERE

    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(EVERYWHERE, "DATASET.NAME")
        yield


@pytest.fixture
def as_for_users(tiny_for_ours, monkeypatch):
    from runs.settled import EVERYWHERE

    monkeypatch.setitem(EVERYWHERE, "DATASET.NAME", "another DATASET")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The feature bank of the tests; a user's own stays untouched."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["ROBUSTPROMPT_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def drawn_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the embedded sets lie that were drawn already; drawing one takes seconds, a copy a tenth of one."""
    return tmp_path_factory.mktemp("drawn")


@pytest.fixture(scope="module", autouse=True)
def embedded_sets_are_drawn_once(request, drawn_sets):
    """But in the tests of the drawing itself."""
    if request.module.__name__ == "test_embedded_sets":
        yield
        return
    from datasets.embedded import make

    draw = make.build

    def build(stem: str, folder: Path, draws: str = "") -> None:
        kept = drawn_sets / (draws or "own") / stem
        if not (kept / make.STAMP).exists():
            draw(stem, kept, draws)
        shutil.copytree(kept, folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make, "build", build)
        yield


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    from helpers import make_clip, make_tiny

    root = tmp_path_factory.mktemp("tiny")
    make_tiny(root)
    return Tiny(root, make_clip(root / "clip.safetensors"))
