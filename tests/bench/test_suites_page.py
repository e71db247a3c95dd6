"""docs/suites.md: every key that a suite may have, and no other; its example plans."""

from __future__ import annotations

import re

import pytest

from bench.slurm import options as slurm
from bench.suites import select
from bench.suites.blocks import PROTOCOLS
from bench.suites.reader import COMMON, TOP
from bench.suites.suite import read_suite
from runs.targets import ROOT

PAGE = (ROOT / "docs" / "suites.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the rows of all tables below a heading."""
    text = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def keys(heading: str) -> set[str]:
    return {name for first, *_ in rows(heading) for name in re.findall(r"`(\w+)`", first)}


@pytest.mark.parametrize(
    ("heading", "known"),
    [
        ("Keys of the file", TOP),
        ("Keys of every block", COMMON),
        ("Options for Slurm", slurm.READ),
    ],
)
def test_the_keys_are_those_of_the_reader(heading, known):
    assert keys(heading) == set(known)


def test_the_protocols_and_their_keys():
    heading = "Protocols, and the keys that their blocks have beside"
    own = {key for protocol in PROTOCOLS.values() for key in protocol.keys}
    assert keys(heading) == {*PROTOCOLS, *own}
    listed = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[3])) for row in rows(heading) if len(row) == 4}
    assert listed == {name: set(protocol.keys) for name, protocol in PROTOCOLS.items()}


def test_select_and_the_datasets_that_need_no_name():
    (line,) = [line for line in PAGE.splitlines() if line.startswith("`select` is a mapping")]
    assert set(re.findall(r"`(\w+)`", line)) == {"select", *select.KEYS, select.VALIDATION, select.TEST}
    (row,) = [row for row in rows("Keys of every block") if row[0] == "`datasets`"]
    assert set(re.findall(r"`(\w+)`", row[2])) == {"all", *(n for n, p in PROTOCOLS.items() if p.default)}


def test_the_example_plans(tmp_path):
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    (tmp_path / "mine.yaml").write_text(example)
    suite = read_suite(tmp_path / "mine.yaml")
    assert suite.blocks == ("base2new", "learning rates")
    assert len(suite.runs) == 3 * 2 * 2 + 2 + 3 * 2 * 2
