"""The script of all measurements on a GPU, in small sizes: its sections, their time limits, its file and its table."""

from __future__ import annotations

import argparse
import json
import sys

import pytest
import torch

from bench.commands import run as bench_run
from speed import gpu, gpu_agree, gpu_runs
from speed.gpu_sizes import OURS, Sizes


@pytest.fixture
def small():
    return Sizes.of(True, ("CoOp",))


def test_sections_in_processes_of_their_own(tmp_path, capsys):
    """The whole script: two sections, one JSON, one table."""
    files = tmp_path / "new" / "gpu.json", tmp_path / "gpu.md"
    options = ["--small", "--sections", "agree", "loader", "--methods", "CoOp"]
    assert gpu.run([*options, "--json", str(files[0]), "--markdown", str(files[1])]) == 0
    found = json.loads(files[0].read_text())
    assert list(found["sections"]) == ["agree", "loader"] and found["small"] is True
    assert all(section["complete"] and not section["error"] for section in found["sections"].values())
    (row,) = found["sections"]["agree"]["rows"]
    assert (row["method"], row["precision"], row["verdict"], row["same classes"]) == ("CoOp", "fp32", "ok", 1.0)
    assert all(row["images/s"] > 0 for row in found["sections"]["loader"]["rows"])
    assert files[1].read_text() == gpu.report(found) and files[1].read_text() in capsys.readouterr().out


def test_a_step_and_a_test_beside_the_plain_method(small):
    (row,) = gpu.times(small)
    assert (row["method"], row["classes"]) == ("CoOp", 3) and row["losses apart"] < 1e-5
    assert min(row["step, s"], row["plain, s"], row["test, s"], row["plain test, s"]) > 0


def test_the_adaptive_attack(small):
    (row,) = gpu.attack(small)
    assert row["images"] == 2 and row["attack, s an image"] > 0 and row["defence, GFLOP an image"] > 0


def test_the_suite_with_and_without_the_bank(small, monkeypatch):
    """What the commands are, and what is counted; `bench run` itself has tests of its own."""
    asked = []
    parser = argparse.ArgumentParser()
    bench_run.add_parser(parser.add_subparsers())

    def bench(*words, module="bench"):
        if module == "datasets":
            return ""
        asked.append(words)
        if words[-1] != "--help":
            given = parser.parse_args(words)
            assert given.opts[:2] == ["OPTIM.MAX_EPOCH", "10"] and len(given.opts) in (2, 6)
        if "--output" in words:
            folder = gpu_runs.Path(words[words.index("--output") + 1]) / "run"
            folder.mkdir(parents=True)
            encoded = 30 if "TRAIN.FEATURE_BANK" in words else 3
            (folder / "results.json").write_text(json.dumps({"image_tower": {"images_encoded": encoded}}))
        return "usage: --stack R"

    monkeypatch.setattr(gpu_runs, "told", bench)
    rows = list(gpu.suite(gpu_runs.Sizes.of(False)))
    assert [row["images through the tower"] for row in rows] == [30, 3, 3] and all(row["runs"] == 1 for row in rows)
    assert [("--stack" in words, "TRAIN.FEATURE_BANK" in words) for words in asked[1:]] == [
        (False, True), (False, False), (True, False),
    ]  # fmt: skip


def test_what_a_method_s_answers_come_to(small, monkeypatch):
    """ok, apart, refused by a sentence, or an error, which keeps no other method from being seen."""
    expected = torch.tensor([[1.0, 2.0], [4.0, 0.0]]), [1.0]
    found = {
        "ok": lambda: (expected[0] + 0.002, [1.001]),
        "apart": lambda: (expected[0] + 0.2, [1.0]),
        "refused": lambda: (_ for _ in ()).throw(gpu_agree.InputError("no fp16")),
        "RuntimeError": lambda: (_ for _ in ()).throw(RuntimeError("expected all tensors on one device\nmore")),
    }
    for verdict, answer in found.items():
        monkeypatch.setattr(gpu_agree, "answers", lambda *args, answer=answer: answer())
        row = gpu_agree.compared("CoOp", "", "fp32", small, expected)
        assert row["verdict"] == verdict and "\n" not in row.get("said", "")


def test_a_section_that_is_too_slow_keeps_its_rows(small, monkeypatch, tmp_path):
    """A process in the place of the section's, which writes a row and then waits."""
    script = tmp_path / "slow.py"
    script.write_text("import sys, time\nopen(sys.argv[4], 'w').write('{\"what\": 1}\\n')\ntime.sleep(60)\n")
    real = gpu.subprocess.Popen
    monkeypatch.setattr(
        gpu.subprocess, "Popen", lambda command, **kw: real([sys.executable, script, *command[1:]], **kw)
    )
    found = gpu.run_section("loader", small, 3)
    assert found["rows"] == [{"what": 1}] and not found["complete"] and not found["error"]
    assert "stopped at its time limit" in gpu.report({"device": "x", "small": True, "sections": {"loader": found}})
    assert gpu.passed({"sections": {"loader": found}})


def test_a_section_that_fails_says_why(small, monkeypatch, tmp_path):
    script = tmp_path / "broken.py"
    script.write_text("raise RuntimeError('no kernel')\n")
    real = gpu.subprocess.Popen
    monkeypatch.setattr(gpu.subprocess, "Popen", lambda command, **kw: real([sys.executable, script], **kw))
    found = gpu.run_section("loader", small, 30)
    assert found["error"].endswith("RuntimeError: no kernel") and not gpu.passed({"sections": {"loader": found}})


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--methods", "CoOpp"], "CoOp"), (["--small", "--json", "/dev/null/x.json"], "/dev/null")],
)
def test_wrong_options(options, words, capsys):
    assert gpu.run(options) == 2
    assert words in capsys.readouterr().err


def test_full_sizes():
    """Every method, ViT-B/16 size, 100 and 1000 classes; all sections together stay below ten minutes."""
    sizes = Sizes.of(False)
    assert set(sizes.methods) == set(OURS) and len(OURS) > 50 and sizes.classes == (100, 1000) and sizes.size == 224
    assert sum(limit for _, limit in gpu.SECTIONS.values()) < 600
