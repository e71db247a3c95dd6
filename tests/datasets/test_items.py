"""`python -m datasets items`: the JSON holds exactly what a run sees."""

from __future__ import annotations

import json

import pytest

from dassl.data.datasets import DATASET_REGISTRY
from datasets.__main__ import main


@pytest.fixture
def items(root, toy, monkeypatch, capsys):
    """Runs the command on the toy dataset of conftest.py; (exit code, stdout, stderr)."""
    monkeypatch.setitem(DATASET_REGISTRY._members, "Toy", toy)

    def command(*args: object) -> tuple[int, str, str]:
        code = main(["items", "toy", "--root", str(root), *map(str, args)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def plain(data, root) -> list[list]:
    return [[x.impath.removeprefix(f"{root}/"), x.label, x.classname] for x in data]


@pytest.mark.parametrize("half", ["all", "base", "new"])
def test_they_are_those_of_a_run(half, items, toy, root, make_cfg):
    code, out, err = items("--shots", 2, "--seed", 3, "--subsample", half)
    found, run = json.loads(out), toy(make_cfg(root, shots=2, seed=3, half=half))
    assert code == 0 and "Reading split" in err  # the log does not disturb the JSON
    assert (found["name"], found["subsample"], found["classnames"]) == ("Toy", half, run.classnames)
    assert found["test"] == plain(run.test, root)
    [sample] = found["samples"]
    assert (sample["shots"], sample["seed"]) == (2, 3)
    assert sample["train"] == plain(run.train_x, root) and sample["val"] == plain(run.val, root)
    assert all(path.startswith("toy/images/c") for path, _, _ in sample["train"])


def test_several_shots_and_seeds_at_once_go_to_a_file(items, tmp_path):
    file = tmp_path / "items.json"
    code, out, _ = items("--shots", 1, 2, -1, "--seed", 1, 2, "--output", file)
    found = json.loads(file.read_text())
    assert code == 0 and not out
    assert [(s["shots"], s["seed"]) for s in found["samples"]] == [(1, 1), (1, 2), (2, 1), (2, 2), (-1, 1), (-1, 2)]
    assert [len(s["train"]) for s in found["samples"]] == [5, 5, 10, 10, 26, 26]
    single = json.loads(items("--shots", 2, "--seed", 2)[1])
    assert single["samples"] == [found["samples"][3]] and single["test"] == found["test"]
    assert found["samples"][2]["train"] != found["samples"][3]["train"]


def test_names_of_every_kind_survive(items, root):
    split = json.loads((root / "toy" / "split_zhou_Toy.json").read_text())
    for part in split.values():
        for item in part:
            item[2] = 'crème "brûlée"' if item[1] == 0 else item[2]
    (root / "toy" / "split_zhou_Toy.json").write_text(json.dumps(split))
    assert json.loads(items()[1])["classnames"][0] == 'crème "brûlée"'


@pytest.mark.parametrize(
    "args, says",
    [
        (("--seed", -1), "0 or more"),
        (("--shots", 0), "1 or more"),
        (("--output", "/nowhere/items.json"), "/nowhere/items.json cannot be written"),
        (("--root", "/nowhere"), "does not exist"),
    ],
)
def test_bad_input_is_one_sentence(args, says, items):
    code, out, err = items(*args)
    assert code == 2 and not out and says in err.splitlines()[-1] and err.splitlines()[-1].startswith("error: ")


def test_an_unknown_name(capsys):
    assert main(["items", "eurosatt"]) == 2 and "nearest: eurosat" in capsys.readouterr().err
