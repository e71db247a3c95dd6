"""Every command line ends through one wrapper: bad input of either package is one sentence and exit code 2."""

from __future__ import annotations

import ast
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from clipkit import InputError as BackboneInputError
from dassl.utils import InputError
from dassl.utils.ends import one_sentence
from dassl.utils.errors import CheckError
from runs.__main__ import main as runs

ROOT = Path(__file__).resolve().parents[2]
ALONE = {"clipkit/__main__.py", "parse_test_res.py"}  # they import nothing that lies above them


@pytest.mark.parametrize(
    "error, sentence",
    [
        (InputError("a.yaml is empty."), "a.yaml is empty."),
        (CheckError("a check."), "a check."),
        (BackboneInputError("no such file."), "no such file."),
        (torch.OutOfMemoryError("2 GiB"), "the GPU's memory is full; lower DATALOADER.TRAIN_X.BATCH_SIZE or"),
        (OSError(errno.ENOSPC, "No space left", "x.json"), "x.json cannot be written (No space left); make room, or"),
    ],
)
def test_one_sentence_and_exit_code_2(error, sentence, capsys):
    @one_sentence()
    def command() -> None:
        sys.stdout = None  # as a run's log does
        raise error

    before = sys.stdout
    assert command() == 2 and sys.stdout is before
    assert capsys.readouterr().err.startswith(f"error: {sentence}")


def test_codes_and_interruption(capsys):
    assert one_sentence()(lambda code: code)(3) == 3
    assert one_sentence()(lambda: None)() == 0

    @one_sentence("interrupted: do it again")
    def stopped() -> None:
        raise KeyboardInterrupt

    assert stopped() == 130 and capsys.readouterr().err == "interrupted: do it again\n"


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError(errno.ENOENT, os.strerror(errno.ENOENT), "x")])
def test_errors_of_the_program_stay_errors(error):
    @one_sentence()
    def command() -> None:
        raise error

    with pytest.raises(type(error)):
        command()


def test_an_error_of_the_backbone_while_a_protocol_is_planned(capsys):
    """Planning WebVision resolves a config, and the rule on image towers raises clipkit's error."""
    words = ["real_noise_train", "CoOp", "webvision", "1", "MODEL.BACKBONE.VISUAL_WEIGHTS_KEY", "x"]
    assert runs(words) == 2
    text = "error: MODEL.BACKBONE.VISUAL_WEIGHTS_KEY has no effect without MODEL.BACKBONE.VISUAL_WEIGHTS.\n"
    assert capsys.readouterr().err == text


def test_it_brings_no_torch():
    code = "import dassl.utils.ends, sys; sys.exit('torch' in sys.modules or 'clipkit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def is_entrance(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def entrances() -> list[str]:
    """Files of product code that can be executed."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    files = listed or [str(f.relative_to(ROOT)) for f in ROOT.rglob("*.py") if ".venv" not in f.parts]
    files = [f for f in files if not f.startswith(("tests/", "speed/", "interop/export/exported/"))]
    return [f for f in files if any(map(is_entrance, ast.parse((ROOT / f).read_text(encoding="utf-8")).body))]


@pytest.mark.parametrize("file", sorted({*entrances()} - ALONE))
def test_every_command_line_has_it(file):
    """What is called under `if __name__ == "__main__"` is decorated with it, here or in the module it comes from."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if is_entrance(node))
    called = {n.func.id for n in ast.walk(block) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    homes = [(file, name) for name in called & {"main", "run"}]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            parts = Path(file).parent.parts[: len(Path(file).parent.parts) - node.level + 1] if node.level else ()
            home = "/".join([*parts, *(node.module or "").split(".")]) + ".py"
            homes += [(home, alias.name) for alias in node.names if alias.name in called & {"main", "run"}]
    found = [
        ast.unparse(decorator)
        for home, name in homes
        for node in ast.parse((ROOT / home).read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == name
        for decorator in node.decorator_list
    ]
    assert any(text.startswith("one_sentence(") for text in found), f"{file}: {homes}"
