"""`bench corruptions`: rows that differ have names that differ, and a mean is over the same severities for all."""

from __future__ import annotations

import pytest
from test_card import write

from bench.drawing.corruption import tables
from bench.reading.collect import collect
from runs.corruption_protocol import FIFTEEN, SEVERITIES


@pytest.fixture
def made(tmp_path):
    for method, shots, accuracy in (("ZeroshotCLIP", 0, 40.0), ("CoOp", 16, 55.0)):
        for seed in (1, 2):
            for name in FIFTEEN:
                for level in SEVERITIES:
                    write(
                        tmp_path, "corruption", method, accuracy + int(level), seed, shots=shots, more=f"{name}-{level}"
                    )
    return tmp_path


def cells(table):
    return {row[1].text: [cell.text for cell in row[2:]] for row in table.rows}


def test_a_seed_without_a_severity_that_others_have_does_not_count(made):
    for level in (4, 5):
        (made / f"corruption/digits/fog-{level}/shots_16/CoOp/embedded/seed2/results.json").unlink()
    figures, accuracies = tables(collect(made))
    place = accuracies.headers.index("fog") - 2
    assert cells(accuracies)["CoOp"][place] == "58.0" and cells(accuracies)["CoOp"][0] == "58.0 ± 0.0"
    assert any("1 seed of a corruption without a severity" in note for note in accuracies.notes)
    assert any("fog-4, fog-5 have no result" in note for note in figures.notes)


def test_other_shots_are_named(made):
    for name in FIFTEEN:
        for level in SEVERITIES:
            write(made, "corruption", "CoOp", 10.0, shots=1, more=f"{name}-{level}")
    for table in tables(collect(made)):
        assert {"CoOp (1 shot)", "CoOp (16 shots)", "ZeroshotCLIP"} == set(cells(table)), cells(table)
