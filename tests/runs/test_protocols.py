"""Scripts' choices: configs, folders, checkpoints, groups of datasets, environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dassl.utils import InputError
from robustness.__main__ import plan as robust_plan
from runs.__main__ import main
from runs.config_names import CONFIG_FOLDER, PUBLISHED, config_name, method_name
from runs.protocols import PROTOCOLS, Settings, base2new_test, base2new_train, few_shot, plan, xd_test, xd_train
from runs.targets import ELEVEN, EMBEDDED_SETS, ROOT, SHIFTS, TARGETS, expand


def option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def finished_training(arguments: list[str], epoch: int = 50) -> Path:
    """What a finished training leaves, as far as the protocols look."""
    folder = Path(option(arguments, "--output-dir"))
    (folder / "prompt_learner").mkdir(parents=True)
    (folder / "prompt_learner" / "checkpoint").write_text(f"model.pth.tar-{epoch}\n")
    for name in ("config.yaml", "results.json"):
        (folder / name).write_text("{}")
    return folder


def test_configs_of_the_published_scripts():
    assert config_name("CoOp", "caltech101") == "vit_b16_ctxv1"
    assert config_name("CoOp", "imagenet") == config_name("CoOp", "imagenet", "CD") == "vit_b16_ep50_ctxv1"
    by_shots = [config_name("CoOp", "dtd", "FS", k) for k in (1, 2, 4, 8, 16, 32)]
    assert by_shots == ["vit_b16_ep50", "vit_b16_ep100", "vit_b16_ep100", "vit_b16", "vit_b16", "vit_b16"]
    assert config_name("CoOp", "imagenet", "FS", 16) == "vit_b16_ep50"
    assert config_name("MaPLe", "imagenet", "CD") == "vit_b16_c2_ep5_batch4_2ctx_cross_datasets"
    assert config_name("MaPLe", "imagenet", "FS", 1) == config_name("MaPLe", "imagenet")
    assert config_name("PromptSRC", "dtd", "FS", 4) == "vit_b16_c2_ep50_batch4_4+4ctx_few_shot"
    assert config_name("MMRL", "imagenet", "FS", 1) == config_name("MMRL", "imagenet") == "vit_b16_imagenet"
    assert config_name("SomebodysOwn", "dtd", "CD") == "vit_b16"


@pytest.mark.parametrize("trainer", PUBLISHED)
def test_every_config_name_is_a_file(trainer):
    for dataset in ("imagenet", "dtd", "shapes"):
        for task in ("B2N", "CD", "FS"):
            for shots in (1, 2, 4, 8, 16):
                name = config_name(trainer, dataset, task, shots)
                assert (ROOT / "configs/trainers" / CONFIG_FOLDER.get(trainer, trainer) / f"{name}.yaml").is_file(), (
                    name
                )


def test_base_to_new_folders_are_coops():
    arguments = base2new_train("CoOp", "caltech101", 2, Settings(data="/data"))
    folder = "output/base2new/train_base/caltech101/shots_16/CoOp/vit_b16_ctxv1/seed2"
    assert option(arguments, "--output-dir") == folder
    assert option(arguments, "--root") == "/data"
    assert option(arguments, "--config-file") == "configs/trainers/CoOp/vit_b16_ctxv1.yaml"
    assert option(arguments, "DATASET.SUBSAMPLE_CLASSES") == "base"


def test_cross_dataset_folders(tmp_path):
    settings = Settings(output=str(tmp_path))
    training = xd_train("CoOp", "imagenet", 1, settings)
    assert option(training, "--output-dir") == f"{tmp_path}/imagenet/CoOp/vit_b16_ep50_ctxv1_16shots/seed1"
    assert option(training, "TASK") == "CD" and "DATASET.SUBSAMPLE_CLASSES" not in training
    folder = finished_training(training)
    for target in ("dtd", "imagenet_a"):
        test = xd_test("CoOp", target, 1, settings)
        where = f"{tmp_path}/evaluation/CoOp/vit_b16_ep50_ctxv1_16shots/{target}/seed1"
        assert option(test, "--output-dir") == where and option(test, "--model-dir") == str(folder)
        assert option(test, "--config-file").endswith("CoOp/vit_b16_ep50_ctxv1.yaml")
        assert option(test, "--load-epoch") == "50" and "DATASET.NUM_SHOTS" not in test


def test_another_source_has_its_own_folders(tmp_path):
    settings = Settings(output=str(tmp_path))
    finished_training(xd_train("CoOp", "shapes", 1, settings))
    test = xd_test("CoOp", "digits", 1, settings)
    assert option(test, "--output-dir") == f"{tmp_path}/evaluation_shapes/CoOp/embedded_16shots/digits/seed1"
    with pytest.raises(InputError, match="xd_train.sh caltech101 1"):
        xd_test("CoOp", "dtd", 1, Settings(output=str(tmp_path), source="caltech101"))


def test_few_shot_folders():
    arguments = few_shot("CoOp", "dtd", 3, Settings(shots=2))
    assert option(arguments, "--output-dir") == "output/few_shot/dtd/shots_2/CoOp/vit_b16_ep100/seed3"
    assert option(arguments, "TASK") == "FS" and option(arguments, "DATASET.NUM_SHOTS") == "2"


def test_settings_from_the_environment():
    env = {"DATA": "/d", "CFG": "rn50", "SHOTS": "4", "OUTPUT": "/o", "LOADEP": "7"}
    settings = Settings.from_environment(env, ["OPTIM.LR", "0.1"])
    arguments = base2new_test("CoOp", "caltech101", 1, settings)
    assert option(arguments, "--output-dir") == "/o/base2new/test_new/caltech101/shots_4/CoOp/rn50/seed1"
    assert option(arguments, "--load-epoch") == "7" and arguments[-2:] == ["OPTIM.LR", "0.1"]
    assert option(xd_train("CoOp", "imagenet", 1, settings), "--output-dir") == "/o/imagenet/CoOp/rn50_4shots/seed1"
    with pytest.raises(InputError, match="SHOTS"):
        Settings.from_environment({"SHOTS": "many"}, [])


def test_one_call_many_runs():
    shots = [option(a, "DATASET.NUM_SHOTS") for a in plan("few_shot", "CoOp", "digits", 1, {"SHOTS": "all"}, [])]
    assert shots == ["1", "2", "4", "8", "16"]
    several = plan("few_shot", "CoOp", "digits,letters", 1, {"SHOTS": "1 4"}, [])
    assert [(option(a, "--output-dir").split("/")[2:4]) for a in several] == [
        ["digits", "shots_1"], ["digits", "shots_4"], ["letters", "shots_1"], ["letters", "shots_4"],
    ]  # fmt: skip
    assert len(plan("base2new_train", "CoOp", "all", 1, {}, [])) == 11
    for protocol, env in (("base2new_train", {"SHOTS": "1 4"}), ("few_shot", {"SHOTS": ""})):
        with pytest.raises(InputError, match="SHOTS"):
            plan(protocol, "CoOp", "digits", 1, env, [])
    with pytest.raises(InputError, match="xd_test"):
        plan("xd", "CoOp", "digits", 1, {}, [])


def test_groups():
    assert expand("xd_test", "all") == list(ELEVEN[1:]) and len(ELEVEN) == 11
    assert expand("dg_test", "all") == list(SHIFTS["imagenet"])
    assert expand("xd_test", "all", "shapes") == list(TARGETS["shapes"])
    assert expand("dg_test", "all", "shapes") == ["shapes_sketch", "shapes_clutter", "shapes_inverted"]
    assert expand("few_shot", "embedded,dtd,digits") == [*EMBEDDED_SETS, "dtd"]
    for protocol, where, source, says in (
        ("xd_test", "all", "dtd", "imagenet and shapes"),
        ("few_shot", "digts", "", "'digts'; known, nearest first: digits"),
        ("xd_train", "all", "", "'all'"),
        ("few_shot", "", "", "DATASET is empty"),
        ("few_shot", "digits,,letters", "", "nothing between two commas"),
        ("noise_train", "digits,", "", "nothing between two commas"),
    ):
        with pytest.raises(InputError, match=says):
            expand(protocol, where, source)


def test_the_last_checkpoint_is_tested(tmp_path):
    settings = Settings(output=str(tmp_path))
    with pytest.raises(InputError, match="base2new_train.sh digits 1 first"):
        base2new_test("CoOp", "digits", 1, settings)
    folder = finished_training(base2new_train("CoOp", "digits", 1, settings))
    assert option(base2new_test("CoOp", "digits", 1, settings), "--load-epoch") == "50"
    (folder / "results.json").unlink()  # interrupted
    with pytest.raises(InputError, match="not finished; run base2new_train.sh digits 1 again"):
        base2new_test("CoOp", "digits", 1, settings)
    early = Settings(output=str(tmp_path), load_epoch="20")
    assert option(base2new_test("CoOp", "digits", 1, early), "--load-epoch") == "20"
    (folder / "config.yaml").unlink()  # a released checkpoint, put there by hand
    assert option(base2new_test("CoOp", "digits", 1, settings), "--load-epoch") == "50"


@pytest.mark.parametrize("trainer", ["ZeroshotCLIP", "ZeroshotCLIP2"])
def test_zero_shot_is_never_trained(trainer):
    for make, dataset in (
        (base2new_train, "digits"), (base2new_test, "digits"), (xd_train, "shapes"), (xd_test, "digits"),
        (few_shot, "digits"),
    ):  # fmt: skip
        arguments = make(trainer, dataset, 1, Settings())
        assert "--eval-only" in arguments and "--model-dir" not in arguments
        assert option(arguments, "--config-file") == "configs/trainers/ZeroshotCLIP/embedded.yaml"
    (only,) = plan("few_shot", trainer, "digits", 1, {"SHOTS": "all"}, [])
    assert option(only, "--output-dir") == f"output/few_shot/digits/shots_0/{trainer}/embedded/seed1"


ENV = os.environ | {"PYTHON": sys.executable}


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory):
    """A Python without torch, as far as the scripts look."""
    file = tmp_path_factory.mktemp("bare") / "python"
    file.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    file.chmod(0o755)
    return str(file)


@pytest.mark.parametrize(
    "script", ["setup.sh", "demo.sh", "test.sh", "coop/few_shot.sh", "adv/attack.sh", "adv/eval.sh"]
)
def test_a_python_that_cannot_run_it_is_refused_before_anything_is_installed(script, bare_python):
    for python, says in (("/nonexistent", "does not start"), (bare_python, "has no torch")):
        call = subprocess.run(
            ["bash", str(ROOT / "scripts" / script), "digits", "1"], capture_output=True, text=True,
            env=ENV | {"PYTHON": python},
        )  # fmt: skip
        assert call.returncode == 2 and says in call.stderr and len(call.stderr.splitlines()) == 1, call.stderr
        assert "Installing" not in call.stdout


BAD = {
    "SHOTS with a comma": ({"SHOTS": "1,2"}, [], "spaces between"),
    "SHOTS of other digits": ({"SHOTS": "²"}, [], "SHOTS is '²'"),
    "CFG without a file": ({"CFG": "nope"}, [], "CFG is 'nope', but CoOp has no such config"),
    "CFG, a missing file": ({"CFG": "/nowhere/x.yaml"}, [], "there is no such file"),
    "LOADEP no number": ({"LOADEP": "best"}, [], "LOADEP is 'best'"),
    "LOADEP zero": ({"LOADEP": "0"}, [], "LOADEP is '0'"),
    "SOURCE unknown": ({"SOURCE": "zzz"}, [], "no dataset 'zzz'"),
    "OUTPUT a file": ({"OUTPUT": "README.md"}, [], "README.md is a file"),
    "OUTPUT below a file": ({"OUTPUT": "README.md/x/y"}, [], "README.md is a file"),
    "OUTPUT empty": ({"OUTPUT": ""}, [], "OUTPUT is empty"),
    "OUTPUT too long": ({"OUTPUT": "x" * 300}, [], "cannot be a folder"),
    "DATA a file": ({"DATA": "README.md"}, [], "DATA is README.md"),
    "DATA empty": ({"DATA": " "}, [], "DATA is empty"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_the_environment_may_not_say(case, monkeypatch):
    monkeypatch.chdir(ROOT)
    env, pairs, says = BAD[case]
    with pytest.raises(InputError, match=re.escape(says)):
        plan("few_shot", "CoOp", "digits", 1, env, pairs)


@pytest.mark.parametrize(
    ("protocol", "method", "words", "says"),
    [
        ("few_shot", "Foo", [], "There is no method 'Foo'"),
        ("noise_train", "CoOp", ["zzz", "0.5"], "TYPE of the noise is 'zzz'"),
        ("noise_train", "ZeroshotCLIP", ["sym_other", "-5"], "RATE is '-5'"),
        ("noise_train", "CoOp", ["sym_other", "1"], "RATE is '1'"),
        ("noise_xd_train", "CoOp", ["sym_other", "nan"], "RATE is 'nan'"),
        ("test_time", "TPT", ["nan", "3"], "EPS is 'nan'"),
        ("test_time", "TPT", ["-1", "3"], "EPS is '-1'"),
        ("test_time", "TPT", ["256", "3"], "EPS is '256'"),
        ("test_time", "TPT", ["x", "3"], "EPS is 'x'"),
        ("test_time", "TPT", ["4", "0"], "STEPS must follow"),
        ("test_time", "TPT", ["4"], "not nothing"),
    ],
)
def test_words_after_the_seed_are_checked(protocol, method, words, says):
    with pytest.raises(InputError, match=re.escape(says)):
        plan(protocol, method, "digits", 1, {}, words)


@pytest.mark.parametrize("seed", ["1,2", "-1", "²", "1.0", "", "x", str(2**70)])
def test_a_seed_is_one_whole_number(seed, capsys):
    assert main(["few_shot", "CoOp", "digits", seed]) == 2
    assert f"error: SEED is {seed!r}" in capsys.readouterr().err


def test_cfg_may_be_a_file_in_every_protocol(monkeypatch):
    monkeypatch.chdir(ROOT)
    file = "configs/trainers/PTNL/rn50.yaml"
    (only,) = plan("real_noise_train", "PTNL", "food101n", 1, {"CFG": file}, [])
    assert option(only, "--config-file") == file
    assert option(only, "--output-dir") == "output/real_noise/food101n/shots_16/PTNL/rn50/seed1"


def test_sar_takes_its_hosts_configs():
    assert method_name("coopsar") == "CoOpSAR" and method_name("Mine") == "Mine"
    (only,) = plan("base2new_train", "maplesar", "dtd", 1, {}, [])
    assert option(only, "--trainer") == "MaPLeSAR"
    assert option(only, "--config-file") == "configs/trainers/MaPLe/vit_b16_c2_ep5_batch4_2ctx.yaml"
    with pytest.raises(InputError, match="'CoCoOp'; it has them for CoOp, KgCoOp"):
        plan("base2new_train", "CoCoOpSAR", "digits", 1, {}, [])
    assert config_name("CoOpSAR", "dtd") == "vit_b16_ep100_ctxv1"
    assert config_name("CoOpSAR", "imagenet", "CD") == config_name("CoOp", "imagenet", "CD")


def test_noise_train_takes_type_and_rate():
    (only,) = plan("noise_train", "PTNL", "digits", 2, {}, ["sym_other", "0.125", "OPTIM.LR", "0.1"])
    assert option(only, "--output-dir") == "output/noise/digits/sym_other_r0125/shots_16/PTNL/embedded/seed2"
    assert option(only, "DATASET.NOISE.TYPE") == "sym_other" and option(only, "DATASET.NOISE.RATE") == "0.125"
    assert only[-2:] == ["OPTIM.LR", "0.1"] and option(only, "TASK") == "FS" and "sym_other" not in only[-2:]
    (zero_shot,) = plan("noise_train", "ZeroshotCLIP", "digits", 1, {}, ["sym_other", "0.5"])
    assert "DATASET.NOISE.TYPE" not in zero_shot and "--eval-only" in zero_shot
    (real,) = plan("noise_train", "ptnl", "dtd", 1, {}, ["idn", "0.5"])
    assert option(real, "--config-file") == "configs/trainers/PTNL/rn50.yaml"
    for pairs, says in ((["sym_other"], "TYPE and RATE"), (["sym_other", "half"], "RATE is 'half'")):
        with pytest.raises(InputError, match=says):
            plan("noise_train", "PTNL", "digits", 1, {}, pairs)


# {what follows the seed: what the run would not be}; a protocol says the first of each key by its name or its words.
OF_ALL = (
    "SEED 3", "OUTPUT_DIR x", "DATASET.NUM_SHOTS 4", "DATASET.ROOT x", "DATASET.NAME Textures", "TRAINER.NAME MaPLe",
    "TASK FS", "DATASET.SUBSAMPLE_CLASSES base", "TEST.SPLIT val",
)  # fmt: skip
NOISE = (
    "DATASET.NOISE.TYPE pair_next", "DATASET.NOISE.RATE 0.0", "DATASET.NOISE.MANIFEST x.json", "DATASET.NOISE_TYPE sym",
    "DATASET.NOISE_RATE 0.1", "DATASET.NOISE_LABEL False", "DATASET.NUM_FP 1",
)  # fmt: skip
WORDS = {"noise_train": "sym_other 0.5 ", "noise_xd_train": "sym_other 0.5 ", "noise_xd_test": "sym_other 0.5 "}
CONTRADICTIONS = [
    *((protocol, WORDS.get(protocol, "") + pair) for protocol in PROTOCOLS for pair in OF_ALL),
    *((protocol, words + pair) for protocol, words in WORDS.items() for pair in NOISE),
    *((protocol, pair) for protocol in ("real_noise_train", "real_noise_test") for pair in NOISE),
    ("real_noise_train", "DATASET.FOOD101N.TEST official"),
    ("real_noise_train", "DATASET.WEBVISION.TEST ilsvrc12_val"),
    ("test_time", "TEST.ADV_SET make"),
    *(("test_time", f"4 10 {pair}") for pair in ("ATTACK.EPS 8", "ATTACK.STEPS 9", "ATTACK.NAME fgsm")),
    ("test_time", "0 1 TEST.ADV_SET make"),
]


@pytest.mark.usefixtures("as_for_users")
@pytest.mark.parametrize(("protocol", "words"), CONTRADICTIONS)
def test_a_run_is_what_its_folder_says(protocol, words):
    """Before anything else, also where there is nothing to be tested yet."""
    where = "food101n" if protocol.startswith("real") else "digits"
    *before, key, value = words.split()
    with pytest.raises(InputError, match=rf"^{re.escape(key)} in the command line (contradicts|is not in) .*; give "):
        plan(protocol, "CoOp", where, 1, {}, [*before, "OPTIM.LR", "0.1", key, value])


@pytest.mark.parametrize(
    "words", ["4 10 ATTACK.EPS 8", "4 10 ATTACK.STEPS 9", "4 10 W ATTACK.MODE T", "TEST.SPLIT val"]
)
def test_an_attack_is_what_its_words_say(words):
    with pytest.raises(
        InputError, match=rf"^{words.split()[-2]} in the command line (contradicts|is not in) .*; give "
    ):
        robust_plan(["ZeroshotCLIP", "digits", "1", *words.split()])


@pytest.mark.parametrize(
    ("protocol", "words", "env"),
    [
        ("few_shot", "DATASET.NOISE.TYPE sym_other DATASET.NOISE.RATE 0.5 TEST.ADV_SET x TRAINER.COOP.N_CTX 4", {}),
        ("noise_train", "sym_other 0.5 DATASET.NOISE.SEED 3 DATASET.NOISE.VAL True TRAINER.FILTER cleanlab", {}),
        ("base2new_train", "TEST.SPLIT val OPTIM.LR 0.1", {"OUTPUT": "output/variants/val"}),
        ("test_time", "4 10 ATTACK.QUANT trunc MODEL.BACKBONE.VISUAL_WEIGHTS x", {}),
        ("test_time", "TEST.ADV_SET make ATTACK.NAME fgsm", {"OUTPUT": "output/variants/fgsm"}),
        ("real_noise_test", "DATASET.FOOD101N.TEST coop", {}),
    ],
)
def test_what_no_word_says_is_the_users(protocol, words, env):
    method = "TPT" if protocol == "test_time" else "ZeroshotCLIP" if protocol == "real_noise_test" else "CoOp"
    where = "food101n" if protocol.startswith("real") else "digits"
    (only,) = plan(protocol, method, where, 1, env, words.split())
    assert only[-2:] == words.split()[-2:]


def test_options_are_no_config_pairs():
    for protocol, words in (("few_shot", ["--seed", "3"]), ("test_time", ["0", "1", "--seed", "3"])):
        with pytest.raises(InputError, match="--seed in the command line is an option of train.py"):
            plan(protocol, "TPT", "digits", 1, {}, words)
