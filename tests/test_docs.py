"""What the documentation shows must work."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_example_method_runs(tiny, tmp_path):
    text = (ROOT / "docs" / "add_a_method.md").read_text()
    file = tmp_path / "near_coop.py"
    file.write_text(re.search(r"```python\n(.*?)```", text, re.S).group(1))
    pairs = {"OPTIM.MAX_EPOCH": 1, "TRAINER.NEARCOOP.W": 4.0}
    assert tiny.run(tmp_path / "run", "NearCoOp", ("--plugin", file), pairs) == 0
    assert "loss_near" in (tmp_path / "run" / "log.txt").read_text()


ENDINGS = r"\.(?:py|md|sh|yaml|json|txt|js|pyi)"
PLACEHOLDER = re.compile(r"[A-Z]{4,}|/Foo/")  # scripts/METHOD/test.sh


def test_files_and_folders_that_the_documents_name_exist():
    for document in sorted([*ROOT.glob("*.md"), ROOT / "LICENSES" / "README.md", *(ROOT / "docs").rglob("*.md")]):
        for name in re.findall(rf"`((?:[\w.]+/)+[\w.]+{ENDINGS}|(?:[\w.]+/){{2,}})`", document.read_text()):
            ours = (ROOT / name.partition("/")[0]).exists() or not name.endswith("/")
            assert (ROOT / name).exists() or not ours or PLACEHOLDER.search(name), f"{document.name} names {name}"


def test_names_of_python_that_the_documents_give_exist():
    for document in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]):
        for name in re.findall(r"`((?:\w+\.)+\w+)\b[^`/]*`", document.read_text(encoding="utf-8")):
            parts = name.split(".")
            if not (ROOT / parts[0] / "__init__.py").exists() or parts[-1] in (
                "x",
                "NAME",
                "txt",
                "yaml",
                "json",
                "md",
            ):
                continue
            paths = [ROOT.joinpath(*parts[:count]) for count in range(len(parts), 0, -1)]
            files = [file for path in paths for file in (path.with_suffix(".py"), path / "__init__.py")]
            module = next(file for file in files if file.exists())
            rest = name.removeprefix(".".join(module.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
            text = module.read_text(encoding="utf-8")
            assert all(re.search(rf"\b{word}\b", text) for word in rest.split(".") if word), f"{document.name}: {name}"


def test_files_that_the_source_names_exist():
    made = {"output", "data", "site", "build"}  # by commands: not there in a clean clone
    folders = [p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith(".") and p.name not in made]
    named = re.compile(rf"(?<![\w/])((?:{'|'.join(folders)})/(?:[\w.]+/)*\w+{ENDINGS})(?!\w)")
    for folder in set(folders) - {"tests"}:
        for file in (ROOT / folder).rglob("*.py"):
            for name in named.findall(file.read_text(encoding="utf-8")):
                assert (ROOT / name).exists() or PLACEHOLDER.search(name), f"{file.relative_to(ROOT)} names {name}"


def test_the_readme_stays_short_and_its_table_is_that_of_the_results():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").splitlines()
    tables = re.findall(r"(?:^\|.*\n)+", text, re.M)
    assert len(text.split()) <= 620 and text.count("](docs/images/") == 2
    assert len(tables) == 1 and set(tables[0].splitlines()) <= set(results)
