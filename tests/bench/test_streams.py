"""Methods that learn from the stream: a run for each order, and the table of their spread."""

from __future__ import annotations

import pytest
from result_files import write_result
from study_runs import suite_of

from bench.__main__ import main as bench
from bench.reading.layout import names_of_configs
from bench.studies.streams import STUDY, main
from bench.suites.robust_step import seeds_of


def finish(suite) -> None:
    """Pretends that all is finished: an order's accuracy is 60 and its seed, the plain view's is 50."""
    for run in suite.runs:
        for step, folder in zip(run.job, run.folders, strict=True):
            after = 60.0 + step.seed
            told = {"images": 1000, "accuracy_before": 50.0, "accuracy_after": after, "accuracy_last_half": after + 5}
            write_result(folder, step.method, names_of_configs()[step.dataset], step.seed, after, test_time=told)


def test_every_order_has_a_run():
    """Zero-shot CLIP does not depend on the seed; what learns from the stream does."""
    assert seeds_of("TDA", (1, 2, 3)) == seeds_of("BoostAdapter", (1, 2, 3)) == seeds_of("TPT", (1, 2, 3)) == (1, 2, 3)
    assert seeds_of("ZeroshotCLIP", (1, 2, 3)) == (1,)


def test_the_table_has_the_spread_over_orders(tmp_path, capsys):
    words = ["--blocks", "shuffled", "domains mixed", "--methods", "TDA", "--seeds", "1", "2", "3"]
    suite = suite_of(STUDY, *words, output=tmp_path)
    assert len(suite.runs) == 9 and {run.block for run in suite.runs} == {"shuffled", "domains mixed"}
    finish(suite)
    assert main(["--tables-only", "--output", str(tmp_path), *words, "--markdown", str(tmp_path / "table.md")]) == 0
    rows = [line for line in (tmp_path / "table.md").read_text().splitlines() if " TDA " in line]
    assert len(rows) == 3  # clean, attacked, domains
    for row in rows:
        assert "50.00 ± 0.00" in row and "62.00 ± 1.00" in row and "61.0, 63.0" in row and "67.00 ± 1.00" in row
    assert "pgd-eps4-7" in rows[1] and "mean over orders" in capsys.readouterr().out


def test_bad_input(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--nonsense", "--output", str(tmp_path)])
    capsys.readouterr()
    assert bench(["plan", "configs/suites/streams.yaml"]) == 0 and "streams: 35 runs" in capsys.readouterr().out
