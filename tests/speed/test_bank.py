"""The measurements of what the banks of features save, in small sizes: what is compared, and what is counted."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from bench.__main__ import main as bench
from bench.commands import work
from speed import bank, noise_suite
from speed.operations import operations


def test_attention_on_a_cpu_is_counted():
    q, k, v = (torch.randn(1, 2, n, 8, requires_grad=True) for n in (5, 7, 7))
    assert operations(lambda: F.scaled_dot_product_attention(q, k, v)) == 2 * 2 * 2 * 5 * 7 * 8
    both = operations(lambda: F.scaled_dot_product_attention(q, k, v).sum().backward())
    assert both >= 2 * 2 * 2 * 5 * 7 * 8 * 3  # two products forward, four and more backward


@pytest.fixture
def options(tiny):
    return ["--backbone", str(tiny.backbone), "--size", "16", "--classes", "5", "--batch", "2", "--repeats", "1",
            "--views", "4", "--images", "3", "--groups", "2"]  # fmt: skip


def test_steps(options):
    args = bank.build_parser().parse_args([*options, "--methods", "CoOp", "DPSEP"])
    args.device = "cpu"
    rows = [dict(zip(bank.STEPS, row, strict=True)) for row in bank.steps(args)]
    assert [row["method"] for row in rows] == ["CoOp", "DPSEP"]
    for row in rows:
        assert row["losses apart"] == 0  # of the same steps on the same crops
        assert row["warm, TFLOP a step"] < row["without"] < row["plain"]
        assert min(row[name] for name in ("warm, s a step", "without, s", "plain, s")) > 0


def test_views(options, tmp_path, capsys):
    bank.main([*options, "--sections", "views", "--markdown", str(tmp_path / "table.md")])
    shown = capsys.readouterr().out
    assert (tmp_path / "table.md").read_text() in shown
    cells = [cell.strip() for cell in shown.strip().splitlines()[-1].strip("|").split("|")]
    row = dict(zip(bank.VIEWS, cells, strict=True))
    assert (row["images"], row["outputs"]) == ("3", "same")
    assert float(row["after"]) < float(row["alone, TFLOP an image"])


def test_a_suite_with_and_without_the_bank(monkeypatch):
    """Its processes are played by this one. The tower's counters are what `bench plan` counts."""
    caches = []

    def here(*words, module="bench", **environment):
        if module == "bench":
            caches.append(environment["ROBUSTPROMPT_CACHE"])
            with monkeypatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
                patch.setenv("ROBUSTPROMPT_CACHE", caches[-1])
                patch.setattr(work, "interrupt_on_signals", lambda: None)
                assert bench(words) == 0

    monkeypatch.setattr(noise_suite, "told", here)
    words = ["--methods", "CoOp", "PTNL", "--rates", "0.5", "0.25", "--seeds", "1", "--shots", "2", "--epochs", "3"]
    args = noise_suite.build_parser().parse_intermixed_args([*words, "DATALOADER.TRAIN_X.BATCH_SIZE", "10"])
    found = noise_suite.measure(args)
    assert len(set(caches)) == 2
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines() if "|" in line][2:]
    columns = {row[0]: dict(zip(noise_suite.HEADERS, row, strict=True)) for row in rows}
    assert "Equal results: 4 of 4 runs" in found and "`bench plan` counts: 12 and 3." in found
    whole = columns["all, start-up included"]
    off, on = int(whole["images, without"]), int(whole["images, with"])
    items, tests = 20, on - 3 * 20
    assert off - tests == 12 * items  # four runs of three epochs; and with the bank, one of them
    assert tests > 0 and columns["PTNL"]["images, with"] != columns["PTNL"]["images, without"]
    assert float(columns["CoOp"]["TFLOP a run, without"]) > 0


def test_bad_input_is_one_sentence(capsys):
    assert noise_suite.main(["--rates", "2", "--seeds", "1"]) == 2
    assert "a rate is a share of the labels" in capsys.readouterr().err


def test_every_timing_ends_as_commands_end():
    for file in sorted((Path(__file__).parents[2] / "speed").glob("*.py")):
        text = file.read_text(encoding="utf-8")
        if "\ndef main(" in text and file.name != "__main__.py":
            assert "@one_sentence(" in text and re.search(r"sys\.exit\((main|run)\(\)\)", text), file.name
