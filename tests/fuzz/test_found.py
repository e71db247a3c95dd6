"""What the random cases found, each once more and for good: a traceback then, one sentence now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import oracle
import pytest
import torch
import yaml
from entries import ENTRIES, MODEL
from world import RUN, copy_world, make_world, working_in


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return make_world(tmp_path_factory.mktemp("found") / "world")


def checkpoint(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        file = folder / MODEL / "model.pth.tar-1"
        state = torch.load(file, weights_only=True)
        change(state)
        torch.save(state, file)

    return apply


def yaml_file(name: str, change: Callable[[dict], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        head = "".join(f"{line}\n" for line in (folder / name).read_text().splitlines() if line.startswith("#"))
        tree = yaml.safe_load((folder / name).read_text())
        change(tree)
        (folder / name).unlink()
        (folder / name).write_text(head + yaml.safe_dump(tree))

    return apply


# (entry, what was changed, what is said)
FOUND = [
    ("clipkit export", checkpoint(lambda c: c["state_dict"].update(ctx=torch.tensor(1.0))), "ctx [] does not fit"),
    ("resume", checkpoint(lambda c: c["data"].update(test=[])), "the test list (an unknown number of images then"),
    ("resume", checkpoint(lambda c: c["scheduler"].update(last_epoch="~")), "last_epoch is '~', not a number"),
    ("resume", checkpoint(lambda c: c["scheduler"]["successor"].update(_last_lr=3)), "not a list of numbers"),
    (
        "resume",
        checkpoint(lambda c: c.update(optimizer={"state": {0: {"momentum_buffer": torch.ones(3)}}})),
        "state.0.momentum_buffer has the shape [3]",
    ),
    ("resume", checkpoint(lambda c: c.update(optimizer={"state": {0: {"momentum_buffer": "x"}}})), "not a tensor"),
    ("predict", yaml_file(f"{RUN}/config.yaml", lambda c: c["INPUT"]["PIXEL_MEAN"].append(0.5)), "INPUT.PIXEL_MEAN"),
    ("bench plan", yaml_file("suite.yaml", lambda c: c.update(output="a\0b")), "cannot be a folder"),
    ("train, YAML", yaml_file("method.yaml", lambda c: c.update(DATASET={"ROOT": "a\0b"})), "a zero byte in it"),
]


def test_a_folder_in_the_place_of_a_log_is_a_sentence_of_the_page(world, tmp_path):
    folder = copy_world(world, tmp_path / "case")
    (folder / RUN / "log.txt").unlink()
    (folder / RUN / "log.txt").mkdir()
    with working_in(folder):
        found = oracle.run(ENTRIES["bench report"].call, list(ENTRIES["bench report"].arguments), folder)
    assert not found.faults and found.code == 0, (found.faults, found.err)
    assert "log.txt cannot be read (Is a directory)" in (folder / "page.html").read_text() + found.out + found.err


@pytest.mark.parametrize(("name", "change", "says"), FOUND, ids=[f"{name}: {says}" for name, _, says in FOUND])
def test_it_is_one_sentence_now(name, change, says, world, tmp_path):
    folder = copy_world(world, tmp_path / "case")
    change(folder)
    with working_in(folder):
        found = oracle.run(ENTRIES[name].call, list(ENTRIES[name].arguments), folder)
    assert not found.faults and found.code == 2 and says in found.err, (found.faults, found.err)
