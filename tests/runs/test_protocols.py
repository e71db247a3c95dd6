"""Scripts' choices: configs, folders, checkpoints, environment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dassl.utils import InputError
from runs.protocols import EMBEDDED, ROOT, Settings, base2new_test, base2new_train, config_name


def option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def test_default_configs_exist_for_every_dataset():
    for dataset in (*EMBEDDED, "caltech101", "imagenet"):
        for trainer in ("ZeroshotCLIP", "CoOp", "ANPrompt"):
            assert (ROOT / "configs/trainers" / trainer / f"{config_name(trainer, dataset)}.yaml").is_file()


def test_folders_are_coops():
    arguments = base2new_train("CoOp", "caltech101", 2, Settings(data="/data"))
    folder = "output/base2new/train_base/caltech101/shots_16/CoOp/vit_b16_ctxv1/seed2"
    assert option(arguments, "--output-dir") == folder
    assert option(arguments, "--root") == "/data"
    assert option(arguments, "--config-file") == "configs/trainers/CoOp/vit_b16_ctxv1.yaml"
    assert option(arguments, "DATASET.SUBSAMPLE_CLASSES") == "base"


def test_settings_from_the_environment():
    env = {"DATA": "/d", "CFG": "rn50", "SHOTS": "4", "OUTPUT": "/o", "LOADEP": "7"}
    settings = Settings.from_environment(env, ["OPTIM.LR", "0.1"])
    arguments = base2new_test("CoOp", "caltech101", 1, settings)
    assert option(arguments, "--output-dir") == "/o/base2new/test_new/caltech101/shots_4/CoOp/rn50/seed1"
    assert option(arguments, "--load-epoch") == "7" and arguments[-2:] == ["OPTIM.LR", "0.1"]
    with pytest.raises(InputError, match="SHOTS"):
        Settings.from_environment({"SHOTS": "many"}, [])


def test_the_last_checkpoint_is_tested(tmp_path):
    settings = Settings(output=str(tmp_path))
    with pytest.raises(InputError, match="base2new_train.sh"):
        base2new_test("CoOp", "digits", 1, settings)
    folder = Path(option(base2new_train("CoOp", "digits", 1, settings), "--output-dir")) / "prompt_learner"
    folder.mkdir(parents=True)
    (folder / "checkpoint").write_text("model.pth.tar-50\n")
    assert option(base2new_test("CoOp", "digits", 1, settings), "--load-epoch") == "50"


def test_zero_shot_is_never_trained():
    assert "--eval-only" in base2new_train("ZeroshotCLIP", "digits", 1, Settings())
    assert "--model-dir" not in base2new_test("ZeroshotCLIP", "digits", 1, Settings())


@pytest.mark.parametrize("script", sorted(p.relative_to(ROOT) for p in (ROOT / "scripts").glob("*/*.sh")), ids=str)
def test_scripts_reach_the_shared_one(script):
    """Every script, without arguments, says what it needs and exits with 2."""
    done = subprocess.run(["bash", str(ROOT / script)], capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 2 and "DATASET" in done.stderr
