"""docs/paper_tables.md: every published table, with the blocks whose runs its numbers stand beside."""

from __future__ import annotations

import functools
import json
import re
import shlex
from collections.abc import Iterator

import pytest

from bench.__main__ import build_parser
from bench.comparing.published import Printed, Table, choose
from bench.suites.part import of_blocks
from bench.suites.suite import Run, Suite, read_suite
from runs.config_names import UNTRAINED
from runs.targets import ROOT

PAGE = (ROOT / "docs" / "paper_tables.md").read_text(encoding="utf-8")
CELLS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
ROWS = [row for row in CELLS if len(row) == 5 and row[3].startswith("`")]
TABLES = {(paper.paper, table.table): table for paper, tables in choose() for table in tables}
NO_LOADER = {"webvision_ilsvrc12_val"}  # WebVision's second test set


def words(cell: str) -> list[str]:
    """The words of a command after `python -m bench`."""
    found = shlex.split(cell.strip("`"))
    assert found[:3] == ["python", "-m", "bench"]
    return found[3:]


def of(row: list[str]) -> tuple[str, str]:
    """(paper, table) that the row's comparison names."""
    _, _, *options = words(row[3])
    return options[options.index("--paper") + 1], options[options.index("--table") + 1]


settings = functools.cache(json.loads)


@functools.cache
def suite_of(file: str) -> Suite:
    return read_suite(ROOT / file)


def planned(row: list[str]) -> tuple[Suite, list[Run]]:
    """The suite of a row, and the runs that its command makes."""
    command, *options = words(row[2])
    args = build_parser(command)[1].parse_intermixed_args(options)
    assert command == "run" and args.block
    suite = suite_of(args.suite)
    for name in args.block:  # each is needed, none is another's
        assert len(of_blocks(suite, [name]).runs) < len(suite.runs)
    return suite, of_blocks(suite, args.block).runs


def test_every_published_table_is_there_once():
    assert sorted(of(row) for row in ROWS) == sorted(TABLES)
    for row in ROWS:
        paper, table = of(row)
        assert row[0].replace("-", "").lower() == paper and row[1].strip("`") == table


@pytest.mark.parametrize("row", [row for row in ROWS if row[2]], ids=lambda row: "-".join(of(row)))
def test_every_number_that_we_can_make_has_a_run_in_the_blocks(row):
    suite, runs = planned(row)
    assert words(row[3])[:2] == ["compare", str(suite.output)]
    table = TABLES[of(row)]
    mapped = [cell for cell in table.cells if cell.method in table.methods]
    assert mapped
    for cell in mapped:
        for dataset in table.averages.get(cell.dataset, [cell.dataset]):
            if dataset not in NO_LOADER:
                assert any(_matches(table, cell, dataset, run) for run in runs), (cell, dataset)


@pytest.mark.parametrize("row", [row for row in ROWS if row[2]], ids=lambda row: "-".join(of(row)))
def test_every_block_has_a_run_of_the_table(row):
    """No block is named that the table could do without."""
    suite, _ = planned(row)
    table = TABLES[of(row)]
    _, *options = words(row[2])
    for pattern in build_parser("run")[1].parse_intermixed_args(options).block:
        runs = of_blocks(suite, [pattern]).runs
        assert any(_matches(table, cell, dataset, run) for run in runs for cell, dataset in _singles(table)), pattern


def test_a_table_without_runs_says_why():
    (row,) = [row for row in ROWS if not row[2]]
    assert of(row) == ("rtpt", "aggregator") and "neither backbone nor attack" in row[4]


def test_every_suite_is_named():
    others = {name for row in CELLS if len(row) == 2 for name in re.findall(r"`(\w+)`", row[0])}
    tables = {suite_of(words(row[2])[1]).name for row in ROWS if row[2]}
    assert not others & tables
    assert others | tables == {file.stem for file in (ROOT / "configs" / "suites").glob("*.yaml")}


def _singles(table: Table) -> Iterator[tuple[Printed, str]]:
    for cell in table.cells:
        if cell.method in table.methods:
            yield from ((cell, dataset) for dataset in table.averages.get(cell.dataset, [cell.dataset]))


def _matches(table: Table, cell: Printed, dataset: str, run: Run) -> bool:
    """Whether the run gives the number, of this dataset if it is an average."""
    ours = table.methods[cell.method]
    steps = [i for i, step in enumerate(run.job) if step.dataset == dataset]
    if run.method != ours.method or not steps:
        return False
    trained, tested = settings(run.resolved[0].text), settings(run.resolved[steps[-1]].text)
    same = all(trained[key] == value for key, value in ours.settings.items())
    same &= table.backbone in (None, trained["MODEL.BACKBONE.NAME"])
    same &= table.shots is None or run.method in UNTRAINED or run.job[0].settings.shots == table.shots
    same &= not table.source or run.dataset == table.source or run.method in UNTRAINED
    if cell.noise_rate is not None:
        kinds = table.noise_types[cell.noise_type]
        same &= trained["DATASET.NOISE.TYPE"] in kinds and trained["DATASET.NOISE.RATE"] == cell.noise_rate
    attacked = tested.get("TEST.ADV_SET", "none") != "none"
    attack = f"pgd-eps{tested['ATTACK.EPS']:g}-{tested['ATTACK.STEPS']}" if attacked else ""
    return same and attack == cell.attack
