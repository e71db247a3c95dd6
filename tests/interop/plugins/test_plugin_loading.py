"""Importing plugins: whose `clip` and neighbours they see, what a broken one says, installed packages, the list."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import clip
import pytest
from plugin_files import COOP, MAPLE, plugin_arguments, trainer_file

import interop.plugins.loading
from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import InputError
from interop.plugins import entry_points
from interop.plugins.loading import load_plugin, load_plugins, require
from interop.plugins.names import as_label
from interop.plugins.origin import origin
from train import run

ROOT = Path(__file__).resolve().parents[3]
GOOD = """
from dassl.engine import TRAINER_REGISTRY, TrainerX

@TRAINER_REGISTRY.register()
class {name}(TrainerX):
    pass
"""


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(text))
    return file


# ---------------------------------------------------------------------- whose modules a plugin sees


def test_every_checkout_has_its_own_clip_and_ours_stays():
    stock = {name: value for name, value in vars(clip.clip).items() if callable(value) or name == "_MODELS"}
    maple, coop = load_plugin(trainer_file("FieldMaPLe")), load_plugin(trainer_file("FieldCoOp"))
    assert Path(maple.clip.__file__) == MAPLE / "clip" / "clip.py"
    assert maple.clip.tokenize("word").argmax() == 2 and maple._tokenizer.encode("word") != coop._tokenizer.encode(
        "word"
    )
    assert coop.clip is not clip.clip and coop.clip.__file__ == clip.clip.__file__
    assert coop.clip._download is not clip.clip._download
    assert sys.modules["clip"] is clip and vars(clip.clip).items() >= stock.items()
    assert not isinstance(clip.clip._MODELS, type(coop.clip._MODELS))


def test_neighbours_are_the_checkouts_own_and_what_it_lacks_is_ours(tmp_path):
    write(tmp_path / "trainers" / "coop.py", "WHOSE = 'theirs'\n")
    write(tmp_path / "utils.py", "def helper():\n    from trainers.coop import WHOSE\n    return WHOSE\n")
    write(tmp_path / "datasets" / "images.txt", "a folder of data is no package")
    file = write(
        tmp_path / "trainers" / "mixed.py",
        """
        import trainers.coop
        import utils
        from datasets.oxford_pets import OxfordPets
        from datasets.dtd import DescribableTextures
        from datasets.imagenet import ImageNet
        from . import coop
        from .imagenet_templates import IMAGENET_TEMPLATES, IMAGENET_TEMPLATES_SELECT

        SEEN = trainers.coop.WHOSE, utils.helper(), coop.WHOSE
        """,
    )
    module = load_plugin(file)
    assert module.SEEN == ("theirs",) * 3
    assert module.OxfordPets is DATASET_REGISTRY.get("OxfordPets")
    assert len(module.IMAGENET_TEMPLATES) == 80 and len(module.IMAGENET_TEMPLATES_SELECT) == 7
    for name in ("read_split", "save_split", "split_trainval", "subsample_classes"):
        assert callable(getattr(module.OxfordPets, name))
    assert callable(module.DescribableTextures.read_and_split_data) and callable(module.ImageNet.read_classnames)
    import trainers.coop as ours

    assert not hasattr(ours, "WHOSE") and "utils" not in sys.modules


def test_a_file_out_of_its_checkout_and_one_with_an_odd_name(tmp_path):
    odd = write(tmp_path / "my-method.v2.py", GOOD.format(name="OddlyNamed"))
    lone = write(tmp_path / "lone.py", "from .imagenet_templates import IMAGENET_TEMPLATES\nimport beside\n")
    write(tmp_path / "beside.py", "from clip.model import build_model\n")
    assert load_plugin(odd).OddlyNamed is TRAINER_REGISTRY.get("OddlyNamed") and load_plugin(odd) is load_plugin(odd)
    assert load_plugin(lone).beside.build_model.args[0].__module__ == "plugin_clip.model"
    with pytest.raises(InputError, match="no_such_neighbour"):
        load_plugin(write(tmp_path / "third.py", "from .no_such_neighbour import x\n"))
    own = ROOT / "trainers" / "coop.py"
    assert load_plugin(own) is sys.modules["trainers.coop"]  # one of ours is not read a second time


def test_design_details_need_a_clip_that_knows_them():
    build = load_plugin(trainer_file("FieldCoOp")).clip.build_model
    state = clip.model.CLIP(32, 16, 1, 64, 8, 77, 49408, 64, 1, 1).state_dict()
    plain = {"trainer": "CoOp", "vision_depth": 0, "language_depth": 0, "vision_ctx": 0, "language_ctx": 0}
    assert build(state, plain).visual.input_resolution == build(state).visual.input_resolution == 16
    with pytest.raises(InputError, match="maple_length.*clip/ folder"):
        build(state, plain | {"maple_length": 2})


# ---------------------------------------------------------------------- broken plugins

BROKEN = {
    "syntax": ("class Lost(:\n", 1, "SyntaxError"),
    "base": ("x = 1\n\nclass Lost(NoSuchTrainer):\n    pass\n", 3, "name 'NoSuchTrainer' is not defined"),
    "import": ("import os\nimport no_such_module\nclass Lost: pass\n", 2, "No module named 'no_such_module'"),
    "contract": ("from dassl.engine import NoSuchTrainer\nclass Lost: pass\n", 1, "cannot import name 'NoSuchTrainer'"),
    "no trainer": (
        GOOD.replace("(TrainerX)", "").format(name="Lost"), 5, "the trainer Lost does not derive from TrainerBase"
    ),
    "within": ("from trainers.helper import f\nclass Lost: pass\n", 3, "ZeroDivisionError"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_named_with_its_line_and_the_others_load(kind, tiny, tmp_path, capsys, caplog):
    text, line, said = BROKEN[kind]
    write(tmp_path / "trainers" / "helper.py", "\n\nf = 1 / 0\n")
    file = write(tmp_path / "trainers" / "broken.py", text)
    registered = TRAINER_REGISTRY.registered_names()
    good = plugin_arguments(tiny, tmp_path / "run", "FieldCoOp", ("--plugin", file), {"OPTIM.MAX_EPOCH": 1})
    assert run(good) == 0
    (warning,) = [
        each.getMessage() for each in caplog.records if each.name == "plugins" and each.levelname == "WARNING"
    ]
    where = tmp_path / "trainers" / ("helper.py" if kind == "within" else "broken.py")
    assert f"{where}, line {line}: " in warning and said in warning and warning.endswith("; it is left out.")
    assert set(TRAINER_REGISTRY.registered_names()) - set(registered) <= {"FieldCoOp", "FieldCoOp@coop_fork"}

    assert tiny.run(tmp_path / "lost", "Lost", ("--plugin", file)) == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert f"{where}, line {line}: " in error and said in error and not (tmp_path / "lost").exists()


def test_a_mended_plugin_loads(tmp_path):
    file = write(tmp_path / "mended.py", "import broken_neighbour\n" + GOOD.format(name="Mended"))
    neighbour = write(tmp_path / "broken_neighbour.py", GOOD.format(name="Neighbour") + "raise RuntimeError('no')\n")
    (broken,) = load_plugins([file])
    assert "RuntimeError: no" in broken.sentence and "Neighbour" not in TRAINER_REGISTRY
    write(neighbour, GOOD.format(name="Neighbour") + "\n" * 9)
    assert load_plugins([file]) == [] and {"Neighbour", "Mended"} <= set(TRAINER_REGISTRY.registered_names())
    require([broken], "Neighbour")  # another file's
    with pytest.raises(InputError, match="RuntimeError"):
        require([broken], "Mended")


def test_a_missing_file_is_an_error_in_any_case(tiny, tmp_path, capsys):
    assert tiny.run(tmp_path / "run", "CoOp", ("--plugin", tmp_path / "none.py")) == 2
    assert "there is no Python file at" in capsys.readouterr().err


def test_a_checkouts_own_version_of_ours_is_its_own_alone(tmp_path):
    ours = TRAINER_REGISTRY.get("CoOp")
    theirs = write(tmp_path / "trainers" / "coop.py", GOOD.format(name="CoOp"))
    child = "from trainers.coop import CoOp\n" + GOOD.replace("(TrainerX)", "(CoOp)").format(name="TheirChild")
    module = load_plugin(write(tmp_path / "trainers" / "child.py", child))
    assert TRAINER_REGISTRY.get("CoOp") is ours and module.TheirChild.__mro__[1] is module.CoOp is not ours
    assert TRAINER_REGISTRY.get(f"CoOp@{as_label(tmp_path.name)}") is module.CoOp is load_plugin(theirs).CoOp


# ---------------------------------------------------------------------- packages and the list


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder on sys.path with two installed packages, the second broken."""
    site = tmp_path_factory.mktemp("site")
    for name, text in {
        "field_package": GOOD.format(name="Installed") + "from clip import clip\nMODELS = clip._MODELS\n",
        "broken_package": "from dassl.engine import Nothing\n\nclass NeverThere: pass\n",
    }.items():
        write(site / name / "__init__.py", "")
        write(site / name / "methods.py", text)
        info = site / f"{name}-1.2.dist-info"
        write(info / "METADATA", f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.2\n")
        write(info / "entry_points.txt", f"[{entry_points.GROUP}]\nmethods = {name}.methods\n")
    return site


@pytest.fixture
def installed(site, monkeypatch):
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(interop.plugins.loading, "_broken_packages", None)
    before = dict(TRAINER_REGISTRY._members)
    yield
    TRAINER_REGISTRY._members = before


def test_installed_packages_bring_trainers(installed, tiny, tmp_path, capsys):
    (broken,) = load_plugins()
    assert broken.sentence.startswith("The plugin methods of broken-package 1.2 cannot be used: ")
    assert "methods.py, line 1: ImportError: cannot import name 'Nothing'" in broken.sentence
    kind = TRAINER_REGISTRY.get("Installed")
    assert origin(kind) == "package field-package 1.2, field_package.methods"
    assert sys.modules["field_package.methods"].MODELS is not clip.clip._MODELS
    assert entry_points.stamp() == [
        "broken-package 1.2: broken_package.methods",
        "field-package 1.2: field_package.methods",
    ]
    assert tiny.run(tmp_path / "run", "NeverThere") == 2
    assert "error: The plugin methods of broken-package" in capsys.readouterr().err


def test_the_list_says_where_each_comes_from(site):
    command = [sys.executable, "train.py", "--list", "--plugin", str(trainer_file("FieldChild"))]
    command += ["--plugin", str(COOP / "datasets" / "field_pets.py")]
    done = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(site)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for line in (
        "trainer CoOp this project, trainers/coop.py",
        f"trainer FieldChild plugin {trainer_file('FieldChild')}",
        f"trainer FieldTwoOptims plugin {trainer_file('FieldTwoOptims')}",
        "trainer Installed package field-package 1.2, field_package.methods",
        "dataset OxfordPets this project, datasets/oxford_pets.py",
        f"dataset FieldPets plugin {COOP / 'datasets' / 'field_pets.py'}",
    ):
        assert line in lines, done.stdout
    assert lines[-1].startswith("left out: The plugin methods of broken-package 1.2 cannot be used")
