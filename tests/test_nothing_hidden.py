"""State does not travel through attributes that one file sets on another's object: read from the source.

What a step trains on is in its batch, what a test goes through comes from a hook, and a dataset changes its own lists.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import clipkit
import dassl.utils

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("trainers", "dassl", "robustness", "attacks", "datasets", "interop/export")
OWNERS = ("trainer", "dataset", "dm", "loader", "batches")  # what objects of others are called
PURE = ("parse_batch_train", "parse_batch_test", "model_inference", "test_logits", "image_logits", "answer_name")
TOLD = {  # where it is right, and why
    "dassl/data/seeded_loader.py: setattr(self.wrapped)",  # a wrapper passes its own attributes on
    "attacks/pixel_model.py: trainer.precision",  # within a `with`, which puts it back
    "datasets/adversarial.py: dataset.adversarial",
    "datasets/corrupted.py: dataset.corruption",  # facts for the record, declared by DatasetBase
    "datasets/noisy.py: dataset.noise",
    "interop/export/exported/training_items.py: trainer.dm.dataset",  # upstream's cannot change their lists
    "interop/export/exported/training_items.py: trainer.train_loader_x",
}


def stores(source: str) -> Iterator[str]:
    """Assignments to attributes of a trainer, a dataset or a loader that is not `self`, and calls of setattr. What is
    written in capitals is a key of a config."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
            yield ast.unparse(node.func) + "(" + ast.unparse(node.args[0]) + ")"
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, (ast.Store, ast.Del)):
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if name in OWNERS and not node.attr.isupper():
                yield ast.unparse(node)


def test_no_file_sets_attributes_of_a_trainer_or_dataset_that_it_was_given():
    files = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]
    found = {
        f"{file.relative_to(ROOT).as_posix()}: {what}" for file in files for what in stores(file.read_text("utf-8"))
    }
    assert {name for name in found if not name.startswith("datasets/embedded/")} == TOLD


def left_behind(source: str) -> Iterator[str]:
    """Attributes of `self` that a loop or the parsing of a batch leaves for another method; Dassl's own two stay."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.For):
            inside = [node.target]
        elif isinstance(node, ast.FunctionDef) and node.name in PURE:
            inside = node.body
        else:
            continue
        for each in (found for part in inside for found in ast.walk(part)):
            stored = isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store)
            if stored and each.attr not in ("epoch", "batch_idx"):
                yield f"{getattr(node, 'name', 'for')}: {ast.unparse(each)}"


def test_what_a_step_is_about_comes_with_its_batch():
    found = {}
    for file in (file for room in ("trainers", "dassl/engine") for file in sorted((ROOT / room).rglob("*.py"))):
        if names := list(left_behind(file.read_text("utf-8"))):
            found[file.name] = names
    assert not found


def test_such_an_assignment_is_found():
    source = """
trainer.part = "clean"
self.trainer.label = y
dataset._train_x = kept
setattr(self, name, loader)
for trainer.part, batch in steps: ...
self.index = batch["index"]
cfg.SEED = 1
"""
    assert len(list(stores(source))) == 5
    source = """
def parse_batch_train(self, batch):
    self.index = batch["index"]
def _batches(self):
    for (self.part, _), batch in steps: ...
    for self.batch_idx, batch in enumerate(steps): ...
"""
    assert sorted(left_behind(source)) == ["for: self.part", "parse_batch_train: self.index"]


def test_a_name_says_which_seed():
    """Of the names that both packages give, InputError alone: each has its own, and is told which by its message."""
    assert set(clipkit.__all__) & set(dassl.utils.__all__) == {"InputError"}
