"""Text files that an editor saved with a byte order mark are the same files."""

from __future__ import annotations

import json

import pytest
from yacs.config import CfgNode

from bench.suites.load import load
from clipkit.__main__ import _read_names
from dassl.config.values import merge_pairs
from dassl.config.yaml_file import read_leaves
from dassl.utils import read_json
from interop.plugins.config_keys import add_plugin_keys
from language import read_classlist
from language.readers import read_harness

CACHE = {"version": 1, "dataset": "x", "sources": {"main": {}}, "classes": {"a": {"main": ["a."]}}}


def merged(file) -> object:
    cfg = CfgNode({"OPTIM": {"LR": 0.1}})
    merge_pairs(cfg, [x for leaf in read_leaves(file) for x in leaf], str(file))
    return cfg.OPTIM.LR


def added(file) -> object:
    cfg = CfgNode({"TRAINER": {}}, new_allowed=True)
    add_plugin_keys(cfg, [str(file)])
    return cfg.TRAINER.MINE.N


# reader, text without the mark, the file's ending
READERS = {
    "class names": (read_classlist, "three\neight\n", ".txt"),
    "class names of an export": (_read_names, "three\neight\n", ".txt"),
    "language cache": (lambda file: read_harness(file).classes, json.dumps(CACHE), ".json"),
    "JSON": (read_json, '{"train": []}', ".json"),
    "config": (merged, "OPTIM:\n  LR: 0.5\n", ".yaml"),
    "plugin's keys": (added, "TRAINER:\n  MINE:\n    N: 3\n", ".yaml"),
    "plugin's train.py": (
        added,
        "from yacs.config import CfgNode as CN\ndef extend_cfg(cfg):\n"
        "    cfg.TRAINER.MINE = CN()\n    cfg.TRAINER.MINE.N = 3\n",
        ".py",
    ),
    "suite": (load, "name: x\nprotocol: few_shot\n", ".yaml"),
}


@pytest.mark.parametrize("which", READERS)
def test_a_byte_order_mark_changes_nothing(which, tmp_path):
    read, text, ending = READERS[which]
    plain, marked = tmp_path / f"plain{ending}", tmp_path / f"marked{ending}"
    plain.write_text(text, encoding="utf-8")
    marked.write_text(text, encoding="utf-8-sig")
    assert read(marked) == read(plain)
