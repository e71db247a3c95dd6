"""Runs that share features of training crops follow each other, and a plan says what the image tower has to do."""

from __future__ import annotations

from suite_files import Here

from bench.__main__ import main
from bench.running.sharing import features_of, in_turn, tower_epochs

NOISE = {"protocol": "noise", "datasets": ["digits"], "shots": 4, "types": {"sym_other": [0.25, 0.5]}}


def test_groups_follow_each_other_and_the_tower_is_counted(tiny, tmp_path, capsys):
    few = {"protocol": "few_shot", "datasets": ["digits"], "shots": [2, 4], "methods": ["CoOp", "MaPLe", "KgCoOp"]}
    blocks = [few, NOISE | {"methods": ["ZeroshotCLIP", "PTNL", "DPSEP", "VisPrompt"]}]
    here = Here(tmp_path, tiny, blocks, epochs=3, seeds=[1, 2])
    runs = here.suite.runs
    ordered = in_turn(runs)
    assert {run.id for run in ordered} == {run.id for run in runs} and len(ordered) == len(runs)
    keys = [features_of(run) for run in ordered]
    changes = sum(a != b for a, b in zip(keys, keys[1:], strict=False))
    assert changes == len(set(keys)) - 1  # each group in one piece
    assert sum(a != b for a, b in zip(map(features_of, runs), map(features_of, runs[1:]), strict=False)) > changes
    for key in set(keys):  # in a group the order is the plan's
        assert [run for run in ordered if features_of(run) == key] == [run for run in runs if features_of(run) == key]

    trained = [run for run in runs if run.method != "ZeroshotCLIP"]
    alone = [run for run in trained if run.method in ("MaPLe", "VisPrompt")]
    groups = {features_of(run) for run in trained if run not in alone}
    assert len(groups) == 4  # two seeds, two and four shots: the noise runs share with few-shot ones
    assert tower_epochs(runs) == (3 * len(trained), 3 * (len(alone) + len(groups)))

    assert main(["plan", str(here.file), "--root", str(tiny.root)]) == 0
    assert f"Image tower: {3 * len(trained)} passes" in capsys.readouterr().out


def test_what_is_other_crops_is_another_group(tiny, tmp_path):
    settings = [{}, {"INPUT.RRCROP_SCALE": "(0.5, 1.0)"}, {"OPTIM.LR": 0.1}, {"DATALOADER.TRAIN_X.BATCH_SIZE": 2}]
    keys = []
    for i, each in enumerate(settings):
        block = {"protocol": "few_shot", "datasets": ["digits"], "shots": [4], "methods": ["CoOp"], "overrides": each}
        (tmp_path / str(i)).mkdir()
        (run,) = Here(tmp_path / str(i), tiny, [block]).suite.runs
        keys.append(features_of(run))
    assert keys[0] == keys[2] == keys[3] != keys[1]


def test_nothing_is_said_where_nothing_is_trained(tiny, tmp_path, capsys):
    here = Here(tmp_path, tiny, [NOISE | {"methods": ["ZeroshotCLIP"]}])
    assert main(["plan", str(here.file), "--root", str(tiny.root)]) == 0
    assert "Image tower" not in capsys.readouterr().out
