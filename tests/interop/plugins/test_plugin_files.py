"""Files that a checkout reads by paths relative to itself; the pictures and the outputs of a run are not among them."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
import torch
from forks import make_fork, write
from plugin_files import record

from interop.plugins.checkout_files import reading_from_checkouts
from interop.plugins.loading import load_plugin

READS = """
import glob
import json
import os
import os.path as osp
import pathlib

import numpy as np
import torch
from dassl.utils import check_isfile, read_json

AT_IMPORT = json.load(open("gpt_file/pets.json"))
WAYS = {
    "open": lambda p: json.load(open(p)),
    "with": lambda p: json.loads(open(p, "r", encoding="utf-8").read()),
    "binary": lambda p: json.loads(open(p, mode="rb").read()),
    "pathlib": lambda p: json.loads(pathlib.Path(p).read_text()),
    "Path.open": lambda p: json.load(pathlib.Path(p).open()),
    "read_json": lambda p: read_json(p),
    "exists": lambda p: AT_IMPORT if osp.exists(p) and os.path.isfile(p) and check_isfile(p) else None,
    "Path.exists": lambda p: AT_IMPORT if pathlib.Path(p).exists() and pathlib.Path(p).is_file() else None,
    "listdir": lambda p: AT_IMPORT if osp.basename(p) in os.listdir(osp.dirname(p)) else None,
    "glob": lambda p: json.load(open(glob.glob(osp.dirname(p) + "/*.json")[0])),
    "dotted": lambda p: json.load(open("./" + p)),
    "getsize": lambda p: AT_IMPORT if osp.getsize(p) else None,
}
TENSORS = {
    "torch.load": lambda: torch.load("./clip/weights.pt"),
    "torch.jit.load": lambda: torch.jit.load("clip/script.pt")(torch.ones(1)),
    "numpy": lambda: torch.from_numpy(np.load("gpt_file/array.npy")),
}


def write(path, mode="w"):
    with open(path, mode) as file:
        file.write("x")


def make(path):
    if not os.path.isdir(path):
        os.makedirs(path)
    torch.save(torch.ones(1), path + "/t.pt")


def read(path):
    return open(path).read()
"""


class Plus(torch.nn.Module):
    def forward(self, x):
        return x + 1


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkouts") / "CoPrompt"
    file = write(root / "trainers" / "reads.py", READS)
    write(root / "gpt_file" / "pets.json", '{"cat": ["a cat"]}')
    write(root / "clip" / "__init__.py", "")
    torch.save(torch.full((1,), 2.0), root / "clip" / "weights.pt")
    torch.jit.script(Plus()).save(str(root / "clip" / "script.pt"))
    import numpy as np

    np.save(root / "gpt_file" / "array.npy", np.full(1, 2.0))
    write(root / "output" / "run" / "log.txt", "of the checkout")
    write(root / "configs" / "datasets" / "digits.yaml", "theirs")
    return load_plugin(file), root


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("way", ["open", "with", "binary", "pathlib", "Path.open", "read_json", "exists", "Path.exists",
                                 "listdir", "glob", "dotted", "getsize"])  # fmt: skip
def test_what_is_not_here_is_looked_for_there(way, reader):
    module, _ = reader
    with reading_from_checkouts():
        assert module.WAYS[way]("gpt_file/pets.json") == {"cat": ["a cat"]} == module.AT_IMPORT
    with pytest.raises(FileNotFoundError):
        module.read("gpt_file/pets.json")  # when nothing of a run is at work


@pytest.mark.parametrize("way", ["torch.load", "torch.jit.load", "numpy"])
def test_weights_too(way, reader):
    with reading_from_checkouts():
        assert reader[0].TENSORS[way]().item() == 2.0


def test_what_is_here_goes_before_it(reader, tmp_path):
    write(tmp_path / "gpt_file" / "pets.json", '{"zero": ["a zero"]}')
    with reading_from_checkouts():
        assert reader[0].WAYS["open"]("gpt_file/pets.json") == {"zero": ["a zero"]}


def test_a_name_of_our_own_tree_is_theirs(reader, monkeypatch):
    monkeypatch.chdir(Path(__file__).resolve().parents[3])
    with reading_from_checkouts():
        assert reader[0].read("configs/datasets/digits.yaml") == "theirs"
        assert "Digits" in open("configs/datasets/digits.yaml").read()  # noqa: SIM115  asked by no plugin


def test_nothing_is_written_there(reader, tmp_path):
    module, root = reader
    before = {file: file.read_bytes() for file in root.rglob("*") if file.is_file()}
    with reading_from_checkouts():
        module.write("note.json")
        for mode in ("a", "r+", "x"):
            with pytest.raises(FileNotFoundError):
                module.write("gpt_file/pets.json", mode)
        module.make("gpt_file")  # a folder that the checkout has too
    assert (tmp_path / "note.json").read_text() == "x" and (tmp_path / "gpt_file" / "t.pt").is_file()
    after = {file: file.read_bytes() for file in root.rglob("*") if file.is_file()}
    assert {k: v for k, v in after.items() if "__pycache__" not in str(k)} == {
        k: v for k, v in before.items() if "__pycache__" not in str(k)
    }


def test_the_runs_own_files_are_not_looked_for_there(reader):
    with reading_from_checkouts(["output/run"]), pytest.raises(FileNotFoundError):
        reader[0].read("output/run/log.txt")


def test_others_see_no_difference(reader):
    module, _ = reader
    originals = open, io.open, os.stat, os.listdir, torch.jit.load
    with reading_from_checkouts():
        assert not Path("gpt_file/pets.json").exists() and not os.path.exists("gpt_file/pets.json")
        with pytest.raises(FileNotFoundError), open("gpt_file/pets.json"):
            pass
        with reading_from_checkouts():
            assert module.WAYS["exists"]("gpt_file/pets.json")
    assert originals == (open, io.open, os.stat, os.listdir, torch.jit.load)
    with reading_from_checkouts(), pytest.raises(FileNotFoundError):
        module.read("gpt_file/no_such.json")


def test_a_run_finds_them_and_says_so(tiny, tmp_path):
    fork = make_fork(tmp_path / "CoPrompt", Reader="import json; self.words = json.load(open('gpt_file/tiny.json'))")
    write(fork / "gpt_file" / "tiny.json", json.dumps({"a": 1}))
    flags = ("--plugin", fork / "trainers" / "reader.py", "--plugin-cfg", fork / "train.py")
    assert tiny.run(tmp_path / "run", "Reader", flags, {"OPTIM.MAX_EPOCH": 1, "DATASET.NUM_SHOTS": 1}) == 0
    assert (
        f"gpt_file/tiny.json is read from the plugin's checkout: {fork}" in (tmp_path / "run" / "log.txt").read_text()
    )
    assert record(tmp_path / "run")["trainer"] == "Reader"
