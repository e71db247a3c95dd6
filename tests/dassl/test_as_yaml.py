"""A config as YAML: what yacs writes, only quicker."""

from __future__ import annotations

import pytest
import yaml
from yacs.config import CfgNode

from dassl.config.yaml_file import as_yaml
from runs.defaults import default_cfg


def test_the_whole_config_is_written_as_yacs_writes_it():
    cfg = default_cfg()
    assert as_yaml(cfg) == cfg.dump()


@pytest.mark.parametrize(
    "value",
    ["", "no", "007", "a: b", "x" * 300, "many words " * 40, "café 日本", "two\nlines", " '\"", 1e-30, -0.0, None, True,
     (), (1, "a", 0.5), [[1, 2], []], float("inf")],
)  # fmt: skip
def test_odd_values_come_back(value):
    cfg = CfgNode({"A": {"B": value, "C": CfgNode()}, "D": value})
    assert yaml.safe_load(as_yaml(cfg)) == yaml.safe_load(cfg.dump())
