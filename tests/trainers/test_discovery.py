"""Trainer files from outside the tree, and the config keys that trainers bring."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dassl.engine import TRAINER_REGISTRY
from dassl.utils import InputError
from interop.plugins.loading import load_plugin
from trainers.__main__ import main

PLUGIN = '''
from dassl.engine import TRAINER_REGISTRY
from trainers.coop import CoOp


@TRAINER_REGISTRY.register()
class ShoutingCoOp(CoOp):
    """CoOp, twice as loud."""

    config_defaults = {"TRAINER.SHOUT.VOLUME": 2.0}

    def loss(self, image, label):
        logits, terms = super().loss(image, label)
        return logits, {"ce": self.cfg.TRAINER.SHOUT.VOLUME * terms["ce"]}
'''


def test_a_plugin_brings_its_method_and_keys(tiny, tmp_path):
    file = tmp_path / "shouting.py"
    file.write_text(PLUGIN)
    pairs = {"TRAINER.SHOUT.VOLUME": 3.0, "OPTIM.MAX_EPOCH": 1}
    assert tiny.run(tmp_path / "run", "ShoutingCoOp", ("--plugin", file), pairs) == 0
    assert "ShoutingCoOp" in TRAINER_REGISTRY.registered_names()
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    assert record["config"]["TRAINER"]["SHOUT"]["VOLUME"] == 3.0
    assert load_plugin(str(file)) is load_plugin(str(file))  # a second time is harmless


def test_a_broken_plugin_says_what_is_wrong(tmp_path):
    file = tmp_path / "broken.py"
    file.write_text("import no_such_module\n")
    with pytest.raises(InputError, match="no_such_module"):
        load_plugin(str(file))


def test_the_list_names_each_method_with_its_file(capsys):
    assert main(["list"]) == 0
    listed = [line.split() for line in capsys.readouterr().out.splitlines()]
    root = Path(__file__).resolve().parents[2]
    flat = {file.name for file in (root / "trainers").glob("*.py")}
    shared = {"__init__.py", "__main__.py", "base.py", "context.py", "losses.py", "imagenet_templates.py"}
    ours = [words for words in listed if words[1].startswith("trainers/")]  # other tests bring plugins
    assert {file for _, file, *_ in ours} == {f"trainers/{name}" for name in flat - shared}
    assert ["TCP", "trainers/tcp.py"] in [words[:2] for words in ours] and all(len(words) > 4 for words in ours)
