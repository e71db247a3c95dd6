"""The rooms and arrows of docs/architecture.md are those of the source; each kind of breach is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from architecture_picture import PICTURE, svg
from import_graph import arrows, circles, faults, read_table, sources, storeys

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
TABLE = read_table(PAGE)
METHOD = "@TRAINER_REGISTRY.register()\nclass {}: ...\n"


@pytest.fixture(scope="module")
def trees():
    return sources(ROOT)


def test_the_source_keeps_to_the_table(trees):
    assert faults(trees, TABLE) == []


def test_the_picture_is_the_sources(trees):
    told = "draw it anew: python tests/architecture_picture.py"
    assert PICTURE.read_text(encoding="utf-8") == svg(*storeys(trees, TABLE)), told
    assert f"](images/{PICTURE.name})" in PAGE


def test_every_room_of_the_table_exists():
    for pattern in TABLE:
        if pattern != "__main__.py":
            assert any(ROOT.glob(pattern)), pattern


# ---------------------------------------------------------------------- each kind of breach, in a small tree

SMALL = """
| Storey | Holds |
|---|---|
| `run.py`, `__main__.py` | doors |
| `trainers/`: `*.py` > `parts/`, `tta/` > `base.py` + `losses.py` > `shared/` | methods |
| `kit/`; `engine/` | apart |
"""
CLEAN = {
    "run.py": "import trainers.coop\nfrom trainers import tcp\n",
    "trainers/__init__.py": "from .shared import found\n",
    "trainers/__main__.py": "from .coop import CoOp\n",
    "trainers/base.py": "import kit\nfrom .shared.found import find\n",
    "trainers/losses.py": "from .base import Base\n",
    "trainers/coop.py": "from .base import Base\nfrom .parts import coop_words\n" + METHOD.format("CoOp"),
    "trainers/tcp.py": "from .coop import CoOp\nfrom .tta.views import Views\n" + METHOD.format("TCP"),
    "trainers/parts/coop_words.py": "def words(): return __name__\n",
    "trainers/tta/views.py": "from ..base import Base\n",
    "trainers/shared/found.py": "import engine\n",
    "trainers/shared/__init__.py": "",
    "kit/__init__.py": "from .inner import __version__\n",
    "kit/inner.py": "",
    "engine/__init__.py": "",
    "tests/test_run.py": "import run\n",
}


def tree(folder: Path, changes: dict[str, str]) -> list[str]:
    """The faults of the small tree in which these files are others; a text that begins with + is put at the end."""
    for path, text in (CLEAN | changes).items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(CLEAN[path] + text[1:] if text.startswith("+") else text)
    return faults(sources(folder), read_table(SMALL))


def test_a_clean_tree_has_no_fault(tmp_path):
    assert tree(tmp_path, {}) == []


UP = "which is not below it"


@pytest.mark.parametrize(
    "changes, found",
    [
        pytest.param(
            {"kit/inner.py": "def late():\n    import kit.outer\n", "kit/outer.py": "from .inner import late\n"},
            ["circle of files: kit/inner.py, kit/outer.py"], id="circle of files, one arrow within a function"),
        pytest.param(
            {"kit/a/one.py": "from ..b import two\n", "kit/b/two.py": "", "kit/b/three.py": "from kit.a import one\n"},
            ["circle of rooms: kit/a/, kit/b/"], id="circle of folders and none of files"),
        pytest.param(
            {"trainers/losses.py": "from .coop import CoOp\n"},
            [f"trainers/losses.py:1 imports trainers/coop.py, {UP}",
             "circle of rooms: trainers/*.py, trainers/base.py + losses.py, trainers/tta/"], id="upward in a package"),
        pytest.param(
            {"kit/inner.py": "from trainers.base import Base\n"},
            [f"kit/inner.py:1 imports trainers/base.py, {UP}",
             "circle of files: kit/__init__.py, kit/inner.py, trainers/base.py",
             "circle of rooms: kit/, trainers/base.py + losses.py"], id="arrow upward between packages"),
        pytest.param(
            {"engine/loop.py": "if TYPE_CHECKING:\n    import run\n"},
            [f"engine/loop.py:2 imports run.py, {UP}",
             "circle of rooms: engine/, run.py, trainers/*.py, trainers/base.py + losses.py, trainers/shared/, "
             "trainers/tta/"], id="for types alone"),
        pytest.param(
            {"engine/loop.py": "import kit\n"}, [f"engine/loop.py:1 imports kit/__init__.py, {UP}"], id="apart"),
        pytest.param(
            {"trainers/tta/views.py": "+from ..parts.coop_words import words\n"},
            [f"trainers/tta/views.py:2 imports trainers/parts/coop_words.py, {UP}"], id="beside"),
        pytest.param(
            {"trainers/tcp.py": "+from .coop import _mean\n"},
            ["trainers/tcp.py:5 takes _mean, a private part, from trainers/coop.py"], id="private name"),
        pytest.param(
            {"trainers/tcp.py": "+from . import coop as c\nx = c._mean\nimport trainers.coop\ntrainers.coop._y\n"},
            ["trainers/tcp.py:6 takes _mean, a private part, from trainers/coop.py",
             "trainers/tcp.py:8 takes _y, a private part, from trainers/coop.py"], id="private attribute"),
        pytest.param(
            {"trainers/tcp.py": "+from .parts.coop_words import words\n"},
            ["trainers/tcp.py:5 imports trainers/parts/coop_words.py, which is trainers/coop.py's own"], id="own part"),
        pytest.param(
            {"kit/test_it.py": ""}, ["kit/test_it.py is named like a test"], id="test_*.py"),
        pytest.param(
            {"trainers/helpers.py": "class Helper: ...\n"}, ["trainers/helpers.py holds no method"], id="no method"),
        pytest.param(
            {"cellar/wine.py": ""}, ["cellar/wine.py is in no room of the table"], id="no room"),
    ],
)  # fmt: skip
def test_a_breach_is_named(tmp_path, changes, found):
    assert tree(tmp_path, changes) == found


def test_what_an_import_leads_to(tmp_path):
    tree(tmp_path, {"kit/b/__init__.py": "", "kit/b/c.py": "from ... import kit\nfrom .. import inner\nfrom . import d",
                    "kit/b/d.py": "import os, kit.b.c as c\nfrom kit.b import *\n"})  # fmt: skip
    found = {(a.source, a.target) for a in arrows(sources(tmp_path)) if a.source.startswith("kit/b/")}
    assert found == {
        ("kit/b/c.py", "kit/__init__.py"), ("kit/b/c.py", "kit/inner.py"), ("kit/b/c.py", "kit/b/d.py"),
        ("kit/b/d.py", "kit/b/c.py"), ("kit/b/d.py", "kit/b/__init__.py"),
    }  # fmt: skip


def test_a_circle_is_named_once():
    links = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "d"), ("e", "f"), ("f", "e"), ("e", "a")]
    assert circles(links) == [["a", "b", "c"], ["e", "f"]]
