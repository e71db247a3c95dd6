"""What goes wrong in a plugin's code is one sentence with its file and line, and with the way out."""

from __future__ import annotations

import pytest
from forks import make_fork, write
from plugin_files import COOP, record

from interop.plugins.failures import DISTRIBUTIONS, pip_line
from interop.plugins.loading import load_plugins
from interop.plugins.places import place_of
from train import run

ONE = {"OPTIM.MAX_EPOCH": 1, "DATASET.NUM_SHOTS": 1}
TEMPLATES = "self.words = {'OxfordPets': 'a photo of a {}, a type of pet.'}[cfg.DATASET.NAME]"


def flags(fork, name: str = "Faulty") -> tuple:
    return "--plugin", fork / "trainers" / f"{name.lower()}.py", "--plugin-cfg", fork / "train.py"


def error(capsys) -> str:
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err + captured.out
    (line,) = [each for each in captured.err.splitlines() if each.startswith("error:")]
    return line


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise RuntimeError('shapes differ\\nmore')", "RuntimeError: shapes differ"),
        ("{}['a key of its own']", "KeyError: 'a key of its own'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise NotImplementedError", "NotImplementedError"),
        ("undefined_name", "NameError: name 'undefined_name' is not defined"),
        ("import ot", "No module named 'ot'; `pip install POT` brings it"),
        ("from learn2learn.x import y", "`pip install learn2learn` brings it"),
        ("open('no/such/file.json')", "FileNotFoundError"),
        ("int('x')", "ValueError: invalid literal"),
    ],
)
def test_an_error_in_its_code(body, said, tiny, tmp_path, capsys):
    fork = make_fork(tmp_path / "Fork", Faulty=body)
    assert tiny.run(tmp_path / "run", "Faulty", flags(fork), ONE) == 2
    line = error(capsys)
    assert f"{fork / 'trainers' / 'faulty.py'}, line 10: " in line and said in line
    log = tmp_path / "run" / "log.txt"
    assert f"the traceback is in {log}" in line and "Traceback (most recent call last)" in log.read_text()
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["log.txt"]
    # mended, and with other settings, the folder is not in its way
    write(
        fork / "trainers" / "mended.py",
        (fork / "trainers" / "field_coop.py").read_text().replace("FieldCoOp(", "Mended("),
    )
    assert tiny.run(tmp_path / "run", "Mended", flags(fork, "Mended"), ONE) == 0


def test_an_error_in_a_dataset(tiny, tmp_path, capsys):
    text = (
        "from dassl.data.datasets import DATASET_REGISTRY, DatasetBase\n\n@DATASET_REGISTRY.register()\n"
        "class Faulty(DatasetBase):\n    def __init__(self, cfg):\n        super().__init__(train_x=[][0])\n"
    )
    file = write(tmp_path / "datasets" / "faulty.py", text)
    assert tiny.run(tmp_path / "run", "CoOp", ("--plugin", file), ONE | {"DATASET.NAME": "Faulty"}) == 2
    assert f"{file}, line 6: IndexError" in error(capsys)


def test_a_table_without_this_dataset_and_the_stand_in(tiny, tmp_path, capsys):
    fork = make_fork(tmp_path / "KgCoOp", Faulty=TEMPLATES)
    assert tiny.run(tmp_path / "run", "Faulty", flags(fork), ONE) == 2
    line = error(capsys)
    assert "a table of Faulty has no entry for the dataset Tiny; give DATASET.STAND_IN" in line
    assert not (tmp_path / "run").exists()
    pairs = ONE | {"DATASET.STAND_IN": "OxfordPets"}
    assert tiny.run(tmp_path / "run", "Faulty", flags(fork), pairs) == 0
    found, plain = record(tmp_path / "run"), tmp_path / "plain"
    assert found["dataset"] == "Tiny" and found["config"]["DATASET"]["STAND_IN"] == "OxfordPets"
    assert tiny.run(plain, "CoOp", (), ONE) == 0
    for key in ("items", "classnames"):
        assert found[key] == record(plain)[key]
    assert found["settings_hash"] != record(plain)["settings_hash"]
    # another stand-in is another run
    assert tiny.run(tmp_path / "run", "Faulty", flags(fork), pairs | {"DATASET.STAND_IN": "Caltech101"}) == 2
    assert "DATASET.STAND_IN 'OxfordPets' there" in error(capsys)


def test_a_table_without_these_classes(tiny, tmp_path, capsys):
    fork = make_fork(tmp_path / "CoPrompt", Faulty="pass")
    text = (fork / "trainers" / "faulty.py").read_text()
    text += "\n    def build_model(self):\n        [{'cat': 1}[name] for name in self.dm.dataset.classnames]\n"
    write(fork / "trainers" / "faulty.py", text)
    assert tiny.run(tmp_path / "run", "Faulty", flags(fork), ONE) == 2
    assert "a table of Faulty has no entry for the class 'striped circle'" in error(capsys)


def test_a_trainer_that_loads_the_stand_ins_data_is_refused(tiny, tmp_path, capsys):
    own = "pass\n\n    def build_model(self):\n        from dassl.data.datasets import DATASET_REGISTRY\n"
    own += "        super().build_model()\n        self.dm.dataset = type('Other', (), {'noise': None})()\n"
    fork = make_fork(tmp_path / "Fork", Faulty=own)
    assert tiny.run(tmp_path / "run", "Faulty", flags(fork), ONE | {"DATASET.STAND_IN": "OxfordPets"}) == 2
    assert "builds its dataset itself" in error(capsys)


def test_a_stand_in_for_a_method_of_ours(tiny, tmp_path, capsys, monkeypatch):
    from trainers import kgcoop

    asked = []
    monkeypatch.setattr(kgcoop, "custom_template", lambda *given: asked.append(given[0]) or "a photo of a {}.")
    assert tiny.run(tmp_path / "run", "KgCoOp", (), ONE | {"DATASET.STAND_IN": "Food101"}) == 0
    assert asked == ["Food101"] and record(tmp_path / "run")["dataset"] == "Tiny"
    assert tiny.run(tmp_path / "none", "KgCoOp", (), ONE | {"DATASET.STAND_IN": "Foood101"}) == 2
    assert "DATASET.STAND_IN is 'Foood101'" in error(capsys)


def test_a_yaml_with_keys_of_their_train_py(tiny, tmp_path, capsys):
    fork = make_fork(tmp_path / "MMRL", Faulty="")
    file = write(tmp_path / "vit.yaml", "TEST:\n  Analyze_Result_Path: x\nOPTIM:\n  MAX_EPOCH: 1\n")
    own = ("--plugin", fork / "trainers" / "faulty.py", "--config-file", file)
    assert tiny.run(tmp_path / "run", "Faulty", own, ONE) == 2
    line = error(capsys)
    assert "Unknown config key TEST.Analyze_Result_Path in" in line
    assert f"give --plugin-cfg {fork / 'train.py'}, whose extend_cfg may add it" in line
    given = (*own, "--plugin-cfg", fork / "train.py")  # it does not
    assert tiny.run(tmp_path / "run", "Faulty", given, ONE) == 2
    line = error(capsys)
    assert "whose extend_cfg" not in line and "a YAML file that has TEST.Analyze_Result_Path" in line
    keys = write(tmp_path / "keys.yaml", 'TEST:\n  Analyze_Result_Path: ""\n')
    assert tiny.run(tmp_path / "run", "Faulty", (*given, "--plugin-cfg", keys), ONE) == 0
    assert record(tmp_path / "run")["config"]["TEST"]["Analyze_Result_Path"] == "x"
    assert tiny.run(tmp_path / "ours", "CoOp", ("--config-file", file), ONE) == 2
    assert "--plugin-cfg" not in error(capsys)


@pytest.mark.parametrize(
    ("name", "said"),
    [("ot", "POT"), ("cv2", "opencv-python"), ("sklearn.metrics", "scikit-learn"), ("some_package", "some-package")],
)
def test_pip_lines(name, said):
    assert f"`pip install {said}`" in pip_line(ModuleNotFoundError("no", name=name))
    assert pip_line(ImportError("no", name=name)) == pip_line(ValueError()) == ""
    assert all(pip_line(ModuleNotFoundError("no", name=own)) == "" for own in ("trainers.x", "utils", "dassl.y"))
    assert DISTRIBUTIONS["PIL"] == "pillow"


def test_a_missing_package_at_import(tmp_path):
    (broken,) = load_plugins([write(tmp_path / "needs.py", "import cv2_of_nobody\nimport ot\n")])
    assert (
        "line 1: ModuleNotFoundError: No module named 'cv2_of_nobody'; `pip install cv2-of-nobody`" in broken.sentence
    )


@pytest.mark.parametrize(
    ("path", "beside", "root", "module"),
    [  # a subfolder of trainers/ without __init__.py is none of the checkout's root
        ("B/trainers/Bio/bio.py", ["B/trainers/templates.py"], "B", "trainers.Bio.bio"),
        ("B/trainers/Bio/bio.py", ["B/train.py"], "B", "trainers.Bio.bio"),
        ("B/trainers/Bio/bio.py", ["B/trainers/Bio/__init__.py", "B/clip/clip.py"], "B", "trainers.Bio.bio"),
        ("B/trainers/a/b/c.py", ["B/configs/x.yaml"], "B", "trainers.a.b.c"),
        ("B/datasets/own/set.py", ["B/datasets/__init__.py"], "B", "datasets.own.set"),
        ("A/apt/trainers/apt.py", [], "A/apt", "trainers.apt"),
        ("M/methods/foo.py", ["M/train.py"], "M", "methods.foo"),
        ("data/datasets/mine/foo.py", [], "data/datasets/mine", "foo"),  # a folder of data
        ("pkg/trainers/x.py", ["pkg/__init__.py"], ".", "pkg.trainers.x"),
    ],
)
def test_where_a_checkout_begins(path, beside, root, module, tmp_path):
    for file in (path, *beside):
        write(tmp_path / file, "")
    place = place_of(tmp_path / path)
    assert (place.root, place.module) == ((tmp_path / root).resolve(), module)


def test_a_trainer_below_trainers(tmp_path, tiny):
    """Its templates lie in trainers/, and nothing has an __init__.py."""
    text = (COOP / "trainers" / "field_coop.py").read_text().replace("FieldCoOp(", "BioLike(")
    file = write(tmp_path / "Bio" / "trainers" / "Sub" / "bio.py", "from trainers.templates import WORDS\n" + text)
    write(tmp_path / "Bio" / "trainers" / "templates.py", "WORDS = {}\n")
    assert load_plugins([file]) == []
    pairs = [*map(str, ("--plugin", file, "--plugin-cfg", COOP / "train.py"))]
    assert run(tiny.arguments(tmp_path / "run", "BioLike", pairs, ONE)) == 0
