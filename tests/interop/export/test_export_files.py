"""What an export consists of, and that it overwrites nothing that is not its own."""

from __future__ import annotations

import ast
import json
import sys

import pytest
from checkouts import make_checkout, our_methods

import train
from dassl.config import get_cfg_default
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import InputError
from interop.export.exported.entrance import COMMON, extend_cfg
from interop.export.install import install
from interop.export.package import collect
from interop.export.rewrite import ROOT, is_own, rewrite
from interop.export.upstream import UPSTREAM, stays
from trainers.__main__ import main


def imported(files: dict[str, bytes]) -> set[tuple[str, str]]:
    """(module, name) of every absolute import statement of the files."""
    found = set()
    for path, content in files.items():
        if not path.endswith(".py"):
            continue
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, ast.ImportFrom) and not node.level:
                found |= {(node.module, alias.name) for alias in node.names}
            elif isinstance(node, ast.Import):
                found |= {(alias.name, "") for alias in node.names}
    return found


def test_nothing_is_imported_that_is_not_there():
    """Of Dassl only upstream's names, of ours only what was exported, under our package's name."""
    files = collect(our_methods()).files
    modules = {path[:-3].removesuffix("/__init__").replace("/", ".") for path in files if path.endswith(".py")}
    for module, name in imported(files):
        root = module.partition(".")[0]
        if root == "dassl":
            assert (module, name) == ("dassl.engine", "") or stays(module, name), (module, name)
        elif root == "robustprompt":
            assert module in modules or f"{module}.{name}" in modules, (module, name)
        else:
            assert not is_own(root), (module, name)


def test_only_what_a_method_needs_is_exported():
    files = set(collect(["CoOp"]).files)
    ours = {path.removeprefix("robustprompt/") for path in files}
    assert {"__init__.py", "trainers/coop.py", "trainers/base.py", "clipkit/load.py", "datasets/templates.py"} <= ours
    assert not [p for p in ours if p.startswith(("language/", "attacks/", "trainers/anprompt", "trainers/maple"))]
    assert {p for p in ours if p.startswith("datasets/")} == {"datasets/__init__.py", "datasets/templates.py"}
    assert "configs/trainers/CoOp/vit_b16.yaml" in files and "configs/trainers/CoOp/embedded.yaml" not in files
    assert not any(path.startswith("robustprompt/attacks/") for path in collect(["RTPT"]).files)
    assert "robustprompt/language/descriptions/dtd.json" in collect(["ANPrompt"]).files
    assert "robustprompt/language/novel_classes/dtd.json" in collect(["CoOpSAR"]).files


def test_an_export_carries_both_licences():
    files = collect(["CoOp"]).files
    assert b"Copyright (c) 2026 RobustPrompt developers" in files["robustprompt/LICENSE"]
    assert b"Copyright (c) 2021 OpenAI" in files["robustprompt/clip/LICENSE"]


def test_the_common_keys_are_those_of_train_py():
    cfg = get_cfg_default()
    train.extend_cfg(cfg)
    for key, value in COMMON.items():
        node = cfg
        for part in key.split("."):
            node = node[part]
        assert node == value, key


def test_a_train_py_with_the_two_lines_can_still_be_read_here():
    """`--plugin-cfg` calls its extend_cfg in this tree, which has the methods already."""
    cfg = get_cfg_default()
    extend_cfg(cfg)
    assert cfg == get_cfg_default() and "merge_from_list" not in vars(cfg)


def test_the_names_of_upstream_are_in_our_engine_too():
    for module, names in UPSTREAM.items():
        __import__(module)
        assert not [name for name in names if not hasattr(sys.modules[module], name)], module


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from dassl.metrics import compute_accuracy\n", "from dassl.metrics import compute_accuracy\n"),
        (
            "from dassl.utils import InputError, read_json  # both\n",
            "from dassl.utils import read_json\nfrom robustprompt.engine.utils.errors import InputError  # both\n",
        ),
        (
            "if x:\n    import clip\n    from clip import model as m\n",
            "if x:\n    from robustprompt import clip\n    from robustprompt.clip import model as m\n",
        ),
        ("from dassl.engine import TrainerX\n", "from robustprompt.trainer import TrainerX\n"),
        ("from .base import PromptTrainer\nimport torch\n", "from .base import PromptTrainer\nimport torch\n"),
        (
            "from clipkit import (\n    ContextPrompts,\n    normalize,\n)\n\nx = 'from clipkit import y'\n",
            "from robustprompt.clipkit import ContextPrompts, normalize\n\nx = 'from clipkit import y'\n",
        ),
    ],
)
def test_imports_are_rewritten_and_nothing_else(before, after):
    assert rewrite("trainers.some", before, ROOT / "trainers" / "some.py").text == after


def test_an_import_that_cannot_be_turned_is_refused():
    with pytest.raises(InputError, match="some.py:2: this import cannot be exported"):
        rewrite("trainers.some", "x = 1\nimport trainers.coop\n", ROOT / "trainers" / "some.py")


# ---------------------------------------------------------------------- writing it


def tree(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_second_export_adds_and_refreshes(tmp_path, capsys):
    checkout = make_checkout(tmp_path / "coop")
    theirs = tree(checkout)
    assert main(["export", "CoOp", "--to", str(checkout)]) == 0
    said = capsys.readouterr().out
    assert "import robustprompt" in said and "robustprompt.extend_cfg(cfg)" in said and "pip install" in said
    assert "yours, left as they are: configs/trainers/CoOp/vit_b16.yaml" in said
    assert theirs.items() <= tree(checkout).items()  # nothing of theirs is touched
    assert main(["export", "DPSEP", "--to", str(checkout)]) == 0
    assert "exported before, and with it again: CoOp" in capsys.readouterr().out
    manifest = json.loads((checkout / "robustprompt" / "manifest.json").read_text())
    assert manifest["methods"] == ["CoOp", "DPSEP"]


@pytest.mark.parametrize("edited", [False, True])
def test_a_module_that_is_no_longer_needed_goes_unless_it_was_edited(tmp_path, edited):
    old, new = {"robustprompt/a.py": b"a", "robustprompt/b.py": b"b"}, {"robustprompt/a.py": b"a2"}
    install(old, ["A"], tmp_path)
    if edited:
        (tmp_path / "robustprompt" / "b.py").write_bytes(b"mine")
    done = install(new, ["A"], tmp_path)
    assert done.written == ["robustprompt/a.py"] and (tmp_path / "robustprompt" / "a.py").read_bytes() == b"a2"
    assert (tmp_path / "robustprompt" / "b.py").exists() == edited == (done.removed == [])


def test_an_edited_file_stops_it_before_anything_is_written(tmp_path, capsys):
    checkout = make_checkout(tmp_path / "coop")
    main(["export", "CoOp", "--to", str(checkout)])
    for path in ("robustprompt/trainers/base.py", "configs/trainers/CoOp/rn50.yaml"):
        (checkout / path).write_text("# mine now\n")
    before = tree(checkout)
    capsys.readouterr()
    assert main(["export", "ANPrompt", "--to", str(checkout)]) == 2
    said = capsys.readouterr().err
    assert "robustprompt/trainers/base.py" in said and "rn50.yaml" in said and "--force" in said
    assert said.count("\n") == 1 and tree(checkout) == before
    assert main(["export", "ANPrompt", "--to", str(checkout), "--force"]) == 0
    assert "# mine" not in (checkout / "robustprompt" / "trainers" / "base.py").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ANPromt", "--to", "coop"], "ANPrompt"),
        (["CoOp", "--to", "nowhere"], "no train.py in nowhere"),
        (["CoOp", "--to", str(ROOT)], "is this tree itself"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, monkeypatch, capsys, arguments, says):
    make_checkout(tmp_path / "coop")
    before = tree(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["export", *arguments]) == 2
    said = capsys.readouterr().err
    assert says in said and said.startswith("error: ") and said.count("\n") == 1 and tree(tmp_path) == before


def test_a_damaged_manifest_is_named(tmp_path, capsys):
    checkout = make_checkout(tmp_path / "coop")
    (checkout / "robustprompt").mkdir()
    (checkout / "robustprompt" / "manifest.json").write_text("{")
    assert main(["export", "CoOp", "--to", str(checkout)]) == 2
    assert "manifest.json is damaged" in capsys.readouterr().err


def test_the_list_names_every_method(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = (name for name in TRAINER_REGISTRY.registered_names() if "@" not in name)
    assert [line.split()[0] for line in lines] == sorted(names, key=str.casefold)
