"""Config keys that a checkout's train.py adds, and which of them say what a run is."""

from __future__ import annotations

import pytest
from plugin_files import COOP, MAPLE, plugin_arguments, record, trainer_file

from dassl.config import get_cfg_default
from dassl.utils import InputError
from interop.plugins.config_keys import plugin_keys
from interop.plugins.loading import load_plugins
from train import build_parser, run, setup_cfg

ONE_EPOCH = {"OPTIM.MAX_EPOCH": 1}


def cfg_of(arguments: list[str]):
    return setup_cfg(build_parser().parse_args(arguments))


def test_of_a_train_py_only_extend_cfg_is_run():
    """Its imports and its main would fail; a function and a constant that extend_cfg needs are there."""
    assert plugin_keys([COOP / "train.py"]) == {
        "TRAINER.FIELDCOOP.N_CTX": 4,
        "TRAINER.FIELDCOOP.PREC": "fp16",
        "TRAINER.FIELDCOOP.DEPTHS": [3, 6],
        "TRAINER.COOP.N_CTX": 5,
        "TRAINER.COOP.CTX_INIT": "",
        "TRAINER.MODAL": "base2novel",
    }


def test_a_small_yaml_does_too(tmp_path):
    assert plugin_keys([MAPLE / "settings.yaml"])["TRAINER.FIELDMAPLE.PROMPT_DEPTH"] == 3
    file = tmp_path / "more.yaml"
    file.write_text("LOSS:\n  NAME: gce\n  T: 1e-3\n  SIZE: (2, 3)\n")
    assert plugin_keys([file]) == {"LOSS.NAME": "gce", "LOSS.T": 1e-3, "LOSS.SIZE": (2, 3)}
    other = tmp_path / "other.yaml"
    other.write_text("LOSS: {NAME: ce}\nTASKS: 2\n")
    assert plugin_keys([file, other])["LOSS.NAME"] == "gce" and plugin_keys([file, other])["TASKS"] == 2


def test_its_values_win_for_its_own_trainers_and_leave_ours_alone(tiny, tmp_path):
    load_plugins([trainer_file("FieldCoOp")])
    theirs = cfg_of(plugin_arguments(tiny, tmp_path, "FieldCoOp"))
    assert theirs.TRAINER.COOP.N_CTX == 5 and theirs.TRAINER.FIELDCOOP.PREC == "fp16"
    assert theirs.TRAINER.MODAL == "base2novel" and theirs.DATASET.SUBSAMPLE_CLASSES == "base"  # the command line's
    ours = cfg_of(tiny.arguments(tmp_path, "CoOp", ("--plugin-cfg", COOP / "train.py")))
    assert ours.TRAINER.COOP.N_CTX == 16 and ours.TRAINER.FIELDCOOP.N_CTX == 4
    given = cfg_of(plugin_arguments(tiny, tmp_path, "FieldCoOp", (), {"TRAINER.FIELDCOOP.N_CTX": 7}))
    assert given.TRAINER.FIELDCOOP.N_CTX == 7 and "FIELDCOOP" not in get_cfg_default().TRAINER


def test_plugins_beside_a_run_do_not_make_it_another(tiny, tmp_path, capsys):
    """A finished run stays finished, whatever plugins there are next time."""
    other = tmp_path / "other.py"
    other.write_text(
        "from dassl.engine import TRAINER_REGISTRY, TrainerX\nfrom dassl.data.datasets import *\n"
        "@TRAINER_REGISTRY.register()\nclass KeyBringer(TrainerX):\n"
        "    config_defaults = {'TRAINER.KEYBRINGER.W': 1.0, 'LOSS.KEYBRINGER': 2}\n"
        "@DATASET_REGISTRY.register()\nclass KeySet(DatasetBase):\n    config_defaults = {'DATASET.KEYSET.PATH': ''}\n"
    )
    plain = plugin_arguments(tiny, tmp_path / "plugin", "FieldCoOp", (), ONE_EPOCH)
    assert tiny.run(tmp_path / "ours", "CoOp", (), ONE_EPOCH) == 0 and run(plain) == 0
    settings = (tmp_path / "plugin" / "config.yaml").read_text().partition("\n")[0]
    assert "TRAINER.FIELDCOOP.N_CTX" in settings and "TRAINER.MAPLE" not in settings
    hashes = [record(tmp_path / name)["settings_hash"] for name in ("ours", "plugin")]
    flags = ("--plugin", other, "--plugin-cfg", MAPLE / "settings.yaml")
    more = (*flags, "--plugin-cfg", COOP / "train.py")
    assert tiny.run(tmp_path / "ours", "CoOp", more, ONE_EPOCH) == 0
    assert run(plugin_arguments(tiny, tmp_path / "plugin", "FieldCoOp", ("--plugin", other), ONE_EPOCH)) == 0
    assert capsys.readouterr().out.count("Finished already") == 2
    assert tiny.run(tmp_path / "again", "CoOp", more, ONE_EPOCH) == 0
    assert record(tmp_path / "again")["settings_hash"] == hashes[0]
    changed = plugin_arguments(tiny, tmp_path / "plugin", "FieldCoOp", (), ONE_EPOCH | {"TRAINER.FIELDCOOP.N_CTX": 3})
    assert run(changed) == 2
    assert "TRAINER.FIELDCOOP.N_CTX 4 there, 3 here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "does not exist"),
        ("def other(cfg):\n    pass\n", "has no function extend_cfg"),
        ("def extend_cfg(cfg):\n    cfg.TRAINER.X.Y = 1\n", "train.py, line 2: AttributeError: X"),
        ("def extend_cfg(cfg:\n", "train.py, line 1: SyntaxError"),
    ],
)
def test_what_cannot_be_taken_is_said(text, said, tmp_path):
    file = tmp_path / "train.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError) as error:
        plugin_keys([file])
    assert said in str(error.value) and str(file) in str(error.value)


def test_a_run_without_its_keys_says_how_to_give_them(tiny, tmp_path, capsys):
    flags = ("--plugin", trainer_file("FieldCoOp"))
    assert tiny.run(tmp_path / "run", "FieldCoOp", flags) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "FieldCoOp reads a config key FIELDCOOP that does not exist" in said and "--plugin-cfg" in said
    assert f"{trainer_file('FieldCoOp')}, line " in said and not (tmp_path / "run").exists()
    wrong = plugin_arguments(tiny, tmp_path / "run", "FieldCoOp", (), {"TRAINER.FIELDCOOP.PREC": "fp8"})
    assert run(wrong) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert 'refuses this config: assert cfg.TRAINER.FIELDCOOP.PREC in ["fp16", "fp32", "amp"]' in said
