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


def test_files_that_the_documents_name_exist():
    for document in sorted([*ROOT.glob("*.md"), ROOT / "LICENSES" / "README.md", *(ROOT / "docs").glob("*.md")]):
        for name in re.findall(r"`((?:[\w.]+/)+[\w.]+\.(?:py|md|sh|yaml|json|txt))`", document.read_text()):
            assert (ROOT / name).exists(), f"{document.name} names {name}"
