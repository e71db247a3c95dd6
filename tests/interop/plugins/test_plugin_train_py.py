"""What a checkout's train.py does to the config of a run: outside its method's node, by dataset, in main."""

from __future__ import annotations

import re

import pytest
from forks import TRAIN_PY, make_fork, write
from plugin_files import record

from dassl.utils import InputError
from interop.plugins.config_keys import plugin_keys
from interop.plugins.loading import load_plugins
from train import build_parser, run, setup_cfg


@pytest.fixture
def fork(tmp_path):
    return make_fork(tmp_path / "DePT", TRAIN_PY, CoOp="", Free="")


def flags(fork, name: str = "CoOp") -> tuple:
    return "--plugin", fork / "trainers" / f"{name.lower()}.py", "--plugin-cfg", fork / "train.py"


def config(tiny, fork, more: tuple = (), pairs: dict | None = None, trainer: str = "CoOp@DePT"):
    own = flags(fork, "Free" if trainer == "KgCoOp" else trainer.partition("@")[0])
    args = build_parser().parse_args(tiny.arguments(fork / "run", trainer, (*own, *more), pairs))
    load_plugins(args.plugin, args.trainer)
    cfg = setup_cfg(args)
    return cfg, args


def test_values_outside_the_methods_node_are_defaults(tiny, fork, tmp_path):
    """YAML and command line win over them, as there."""
    cfg, _ = config(tiny, fork)
    assert (cfg.OPTIM.STAGED_LR, list(cfg.OPTIM.NEW_LAYERS), cfg.OPTIM.BASE_LR_MULT) == (
        True, ["linear_probe", "film"], 1.0,
    )  # fmt: skip
    assert (cfg.TRAIN.CHECKPOINT_FREQ, cfg.TASK) == (5, "FS") and cfg.DATASET.NUM_SHOTS == 4  # of the command line
    file = write(tmp_path / "m.yaml", "OPTIM: {BASE_LR_MULT: 0.5}\nTRAIN: {CHECKPOINT_FREQ: 2}\n")
    cfg, _ = config(tiny, fork, ("--config-file", file), {"TRAIN.CHECKPOINT_FREQ": 3})
    assert (cfg.OPTIM.BASE_LR_MULT, cfg.TRAIN.CHECKPOINT_FREQ, cfg.OPTIM.STAGED_LR) == (0.5, 3, True)


def test_a_trainer_of_ours_beside_it_keeps_its_own(tiny, fork):
    cfg, args = config(tiny, fork, trainer="KgCoOp")
    assert not cfg.OPTIM.STAGED_LR and cfg.TASK == "B2N" and args.taken_over == []


def test_what_it_sets_by_dataset_is_set(tiny, fork):
    cfg, args = config(tiny, fork, pairs={"TRAINER.FIELDCOOP.REP_DIM": 64})
    assert cfg.TRAINER.FIELDCOOP.REP_DIM == 2048  # set there after the command line too
    (taken,) = args.taken_over
    assert taken.values["TRAINER.FIELDCOOP.REP_DIM"] == 2048
    assert any("TRAINER.FIELDCOOP.REP_DIM 64 of the command line has no effect" in each for each in taken.unheard)
    cfg, _ = config(tiny, fork, pairs={"TRAINER.FIELDCOOP.REP_DIM": 64, "DATASET.NAME": "Caltech101"})
    assert cfg.TRAINER.FIELDCOOP.REP_DIM == 64
    cfg, _ = config(tiny, fork, trainer="Free")  # by its trainer's name, as it is called there
    assert cfg.TRAINER.FIELDCOOP.REP_DIM == 512


def test_main_and_reset_cfg_count_too(tiny, fork):
    cfg, args = config(tiny, fork, pairs={"OPTIM.MAX_EPOCH": 1})
    assert cfg.OPTIM.MAX_EPOCH == 3 and cfg.AT.EPS == 4.0  # a node that reset_cfg makes, from an option of its own
    (taken,) = args.taken_over
    assert taken.options == {"eps": 4.0, "needed": None}
    (left,) = taken.left
    assert "cfg.INPUT.CROP_PADDING = int(torch.tensor(9))" in left and cfg.INPUT.CROP_PADDING == 4


def test_the_log_and_the_record_say_it(tiny, fork):
    arguments = tiny.arguments(fork / "run", "CoOp@DePT", flags(fork), {"DATASET.NUM_SHOTS": 1})
    assert run(arguments) == 0
    (said,) = record(fork / "run")["plugins"]["train_py"]
    assert said["set"]["TRAINER.FIELDCOOP.REP_DIM"] == 2048 and said["options"] == {"eps": 4.0, "needed": None}
    assert "CROP_PADDING" in said["not_taken_over"][-1]
    log = (fork / "run" / "log.txt").read_text()
    for words in ("sets TRAINER.FIELDCOOP.REP_DIM to 2048 for this run", "--eps stays 4.0", "CROP_PADDING"):
        assert words in log
    assert run(arguments) == 0  # finished already: what it sets is part of what the run is


def test_show_config_names_it(tiny, fork, capsys):
    pairs = {"TRAINER.FIELDCOOP.REP_DIM": 64, "TRAINER.FIELDCOOP.N_CTX": 2}
    assert run(tiny.arguments(fork / "run", "CoOp@DePT", ("--show-config", *flags(fork)), pairs)) == 0
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines() if line[0] != "#")
    found = {key: tuple(re.split(" +# ", rest)) for key, rest in lines.items()}
    assert found["TRAINER.FIELDCOOP.REP_DIM"] == ("2048", str(fork / "train.py"))  # wins over the command line
    assert found["TRAINER.FIELDCOOP.N_CTX"] == ("2", "command line")
    for key, value in {"OPTIM.STAGED_LR": "true", "AT.EPS": "4.0"}.items():
        assert found[key] == (value, f"--plugin-cfg {fork / 'train.py'}")
    assert not (fork / "run").exists()


def test_two_checkouts_do_not_meet(tiny, fork, tmp_path):
    """Each train.py is for the trainers of its own checkout, in whichever order they are given."""
    other = make_fork(tmp_path / "MMRL", "def extend_cfg(cfg):\n    cfg.OPTIM.GAMMA = 0.7\n", MaPLe="")
    both = (*flags(other, "MaPLe"), *flags(fork))
    for given in (both, (*flags(fork), *flags(other, "MaPLe"))):
        args = build_parser().parse_args(tiny.arguments(tmp_path / "run", "CoOp@DePT", given))
        load_plugins(args.plugin)
        cfg = setup_cfg(args)
        assert cfg.OPTIM.GAMMA == 0.1 and cfg.OPTIM.STAGED_LR
        args = build_parser().parse_args(tiny.arguments(tmp_path / "run", "MaPLe@MMRL", given))
        cfg = setup_cfg(args)
        assert cfg.OPTIM.GAMMA == 0.7 and not cfg.OPTIM.STAGED_LR


@pytest.mark.parametrize("signature", ["cfg", "cfg, args", "cfg, args=None", "cfg, *, quiet=False", "*given", "c, a=3"])
def test_signatures_of_extend_cfg(signature, tmp_path):
    name = {"*given": "given[0]", "c, a=3": "c"}.get(signature, "cfg")
    file = write(tmp_path / "train.py", f"def extend_cfg({signature}):\n    {name}.OPTIM.GAMMA = 0.5\n")
    assert plugin_keys([file]) == {"OPTIM.GAMMA": 0.5}


@pytest.mark.parametrize(
    "top",
    [
        "try:\n    from no_such_package import GAMMA\nexcept ImportError:\n    GAMMA = 0.5\n",
        "import sys\nif sys.version_info > (3,):\n    GAMMA = 0.5\n",
        "from beside import *\n",
        "GAMMA = 0\nGAMMA += 0.5\n",
        "for GAMMA in (0.1, 0.5):\n    pass\n",
    ],
)
def test_what_extend_cfg_needs_of_its_file(top, tmp_path):
    write(tmp_path / "beside.py", "GAMMA = 0.5\n")
    text = top + "main = 1 / 0\n\n\ndef extend_cfg(cfg):\n    cfg.OPTIM.GAMMA = GAMMA\n"
    assert plugin_keys([write(tmp_path / "train.py", text)]) == {"OPTIM.GAMMA": 0.5}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def extend_cfg(cfg, args, clip):\n    pass\n", "it takes (cfg, args, clip)"),
        ("def extend_cfg(cfg, *, clip):\n    pass\n", "it takes (cfg, *, clip)"),
        ("import sys\ndef extend_cfg(cfg):\n    sys.exit(1)\n", "it ends the process"),
        ("import no_such\ndef extend_cfg(cfg):\n    no_such.x\n", "pip install no-such"),
    ],
)
def test_an_extend_cfg_that_cannot_be_used(text, said, tmp_path):
    with pytest.raises(InputError) as error:
        plugin_keys([write(tmp_path / "train.py", text)])
    assert said in str(error.value)


EXTEND = "def extend_cfg(cfg):\n    cfg.TRAIN.CHECKPOINT_FREQ = 7\n\n\n"
SETUP = EXTEND + "def setup_cfg(args):\n    cfg = get_cfg_default()\n"
START = "from dassl.config import get_cfg_default\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [  # its own errors
        (START + SETUP + "    cfg.OPTIM.LR = {'EuroSAT': 1.0}['Tiny']\n    return cfg\n", "line 8: KeyError"),
        (START + SETUP + "    assert args.seed == 2, 'seeds are even'\n    return cfg\n", "seeds are even"),
    ],
)
def test_errors_of_setup_cfg_are_one_sentence(text, said, tiny, fork, capsys):
    write(fork / "train.py", text)
    assert run(tiny.arguments(fork / "run", "CoOp@DePT", flags(fork))) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ") and said in line and not (fork / "run").exists()


@pytest.mark.parametrize(
    "broken",
    ["import no_such_module\n    return cfg\n", "args.no_such_option\n    return cfg\n", "pass\n"],
)
def test_a_setup_cfg_that_cannot_be_run_here_is_listed(broken, tiny, fork):
    lines = "    cfg.OPTIM.LR = 9.0\n    " + broken
    write(fork / "train.py", START + SETUP + lines)
    cfg, args = config(tiny, fork)
    (taken,) = args.taken_over
    assert cfg.TRAIN.CHECKPOINT_FREQ == 7  # of extend_cfg, which can
    assert cfg.OPTIM.LR == 0.05 and "setup_cfg cannot be run here" in taken.left[0]
    assert "line 8 is not taken over: cfg.OPTIM.LR = 9.0" in taken.left


def test_it_sees_neither_our_command_line_nor_keys_that_it_does_not_know(tiny, fork, monkeypatch):
    """Its parser would take ours; MODEL.BACKBONE.PATH is not a key of its own Dassl."""
    parsed = (
        "import argparse\n"
        + START
        + SETUP.replace(
            "    cfg = get_cfg_default()\n",
            "    p = argparse.ArgumentParser()\n    p.add_argument('--x', default=0.25)\n    cfg = get_cfg_default()\n",
        )
    )
    write(fork / "train.py", parsed + "    cfg.merge_from_list(args.opts)\n    cfg.OPTIM.GAMMA = p.parse_args().x\n"
          "    return cfg\n")  # fmt: skip
    monkeypatch.setattr("sys.argv", ["train.py", "--trainer", "CoOp"])
    cfg, args = config(tiny, fork)
    assert cfg.OPTIM.GAMMA == 0.25 and args.taken_over[0].left == []
