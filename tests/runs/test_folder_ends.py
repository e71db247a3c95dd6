"""How a run leaves its folder: after an error nothing stands in the way of the corrected command."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from helpers import locked

SHORT = {"OPTIM.MAX_EPOCH": 1}


def refusal(capsys) -> str:
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    return line


def test_a_bug_leaves_its_log_and_the_corrected_command_runs(tiny, tmp_path, monkeypatch):
    from trainers.coop import CoOp

    (tmp_path / "run").mkdir()
    mine = {"notes.txt": "mine", "config.yaml": "A: 1\n", "log.txt": "an older log\n"}
    for name, text in mine.items():
        (tmp_path / "run" / name).write_text(text)

    def broken(self, image, label):
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(CoOp, "loss", broken)
        with pytest.raises(RuntimeError, match="a bug"):
            tiny.run(tmp_path / "run", pairs={**SHORT, "TRAIN.TENSORBOARD": True})
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert {name for name in left if not name.startswith("log.txt")} == {"notes.txt", "config.yaml"}
    assert all((tmp_path / "run" / name).read_text() == mine[name] for name in ("notes.txt", "config.yaml"))
    assert "** Config **" in (tmp_path / "run" / "log.txt").read_text()
    assert tiny.run(tmp_path / "run", pairs={**SHORT, "OPTIM.LR": 0.01}) == 0
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def test_bad_input_leaves_what_was_there(tiny, tmp_path, capsys):
    """Also where it shows after folder, log and config were written."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "log.txt").write_text("an older log\n")
    flags, pairs = ("--resume", tmp_path / "nowhere"), {"TRAIN.TENSORBOARD": True}
    assert tiny.run(run, flags=flags, pairs=pairs) == 2
    assert "nowhere, which does not exist" in refusal(capsys)
    assert [path.name for path in run.iterdir()] == ["log.txt"]
    assert (run / "log.txt").read_text() == "an older log\n"


def test_a_run_that_was_killed_early_does_not_stand_in_the_way(tiny, tmp_path, monkeypatch, capsys):
    from trainers.coop import CoOp

    def stopped(self, image, label):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CoOp, "loss", stopped)
        assert tiny.run(tmp_path / "run", pairs=SHORT) == 130
    assert (tmp_path / "run" / "config.yaml").is_file()
    assert tiny.run(tmp_path / "run", pairs={**SHORT, "OPTIM.LR": 0.01}) == 0
    capsys.readouterr()
    assert tiny.run(tmp_path / "run", pairs={**SHORT, "OPTIM.LR": 0.02}) == 2  # that one is a run
    assert "holds a run with other settings (OPTIM.LR 0.01 there, 0.02 here)" in refusal(capsys)


@pytest.mark.parametrize("rate", [1e30, 1e38])
def test_a_diverged_training_ends_in_a_sentence_and_leaves_nothing(tiny, tmp_path, capsys, rate):
    """In a loss of NaN, in weights of NaN, or not before the test of them."""
    for epochs in (1, 4):
        pairs = {"OPTIM.LR": rate, "OPTIM.MAX_EPOCH": epochs, "OPTIM.WARMUP_EPOCH": -1}
        assert tiny.run(tmp_path / "run", pairs=pairs) == 2
        error = refusal(capsys)
        assert "NaN" in error and "OPTIM.LR" in error
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["NLPrompt", "JoAPR"])
def test_methods_that_judge_labels_end_in_the_same_sentence(tiny, tmp_path, capsys, method):
    pairs = {"OPTIM.LR": 1e30, "OPTIM.WARMUP_EPOCH": -1}
    assert tiny.run(tmp_path / "run", method, pairs=pairs) == 2
    assert "NaN" in refusal(capsys) and not (tmp_path / "run").exists()


def test_earlier_checkpoints_of_a_diverged_run_stay(tiny, tmp_path, monkeypatch, capsys):
    from trainers.coop import CoOp

    loss = CoOp.loss

    def diverging(self, image, label):
        logits, terms = loss(self, image, label)
        return logits, {name: term * (float("nan") if self.epoch == 2 else 1.0) for name, term in terms.items()}

    monkeypatch.setattr(CoOp, "loss", diverging)
    assert tiny.run(tmp_path / "run", pairs={"TRAIN.CHECKPOINT_FREQ": 1}) == 2
    assert "in epoch 3, batch 1" in refusal(capsys)
    assert {path.name for path in (tmp_path / "run").glob("*/model*")} == {"model.pth.tar-1", "model.pth.tar-2"}


@pytest.mark.parametrize("output", ["file", "file/x", "/proc/x/y", "None", "n" * 300, "a/" + "n" * 300, "odd"])
def test_a_folder_that_cannot_be_one_is_refused(tiny, tmp_path, capsys, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine")
    Path("odd/results.json").mkdir(parents=True)  # where the result would have to be written, after all the work
    assert tiny.run(output, pairs=SHORT) == 2
    assert len(refusal(capsys)) < 400
    assert Path("file").read_text() == "mine"
    assert sorted(os.listdir()) == ["file", "odd"] and os.listdir("odd") == ["results.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"x"', "{}", '{"results": 3}', '{"settings_hash": "a", "results": {"accuracy": NaN}}'])  # fmt: skip  # noqa: E501
def test_a_damaged_result_does_not_count_as_finished(tiny, tmp_path_factory, content, capsys):
    run = tmp_path_factory.getbasetemp() / "damaged"
    if not run.exists():
        assert tiny.run(run, pairs=SHORT) == 0
        capsys.readouterr()
    (run / "results.json").write_text(content)
    assert tiny.run(run, pairs=SHORT) == 0
    out = capsys.readouterr().out
    assert "results.json is damaged or no result" in out and "Finished already" not in out and "epoch [1/1]" not in out
    assert json.loads((run / "results.json").read_text())["results"]["total"] == 12


def test_a_result_that_may_not_be_read_is_not_written_over(tiny, tmp_path, capsys, monkeypatch):
    assert tiny.run(tmp_path / "run", pairs=SHORT) == 0
    before = (tmp_path / "run" / "results.json").read_text()
    with monkeypatch.context() as patch:
        locked(patch, "results.json")
        assert tiny.run(tmp_path / "run", pairs=SHORT) == 2
    assert "results.json cannot be read (Permission denied)" in refusal(capsys)
    assert (tmp_path / "run" / "results.json").read_text() == before


def test_the_log_shows_what_concerns_the_run(tiny, tmp_path):
    assert tiny.run(tmp_path / "run", pairs={**SHORT, "OPTIM.LR": 0.011}) == 0
    log = (tmp_path / "run" / "log.txt").read_text()
    config = log.partition("** Config **\n")[2].partition("\n(all other keys")[0].splitlines()
    assert "OPTIM.LR: 0.011" in config and "TRAINER.COOP.CSC: False" in config and "DATASET.NUM_SHOTS: 4" in config
    assert not any(line.startswith(("TRAINER.MAPLE", "OPTIM.GAMMA", "INPUT.GB_K")) for line in config)
    assert len(config) < 50
    written = (tmp_path / "run" / "config.yaml").read_text()
    assert "GB_K" in written and "MAPLE" in written  # all of it


def test_a_full_disk_and_a_full_gpu_are_told(tiny, tmp_path, capsys, monkeypatch):
    import errno

    from trainers.coop import CoOp

    for error, says in (
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "/x/y cannot be written (No space left on device)"),
        (torch.OutOfMemoryError("CUDA out of memory"), "BATCH_SIZE"),
    ):

        def fails(self, image, label, error=error):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(CoOp, "loss", fails)
            assert tiny.run(tmp_path / "run", pairs=SHORT) == 2
        assert says in refusal(capsys)


@pytest.mark.parametrize("name", ["config.yaml", "log.txt", "tensorboard", "prompt_learner"])
def test_what_lies_in_the_way_of_a_run_is_named_before_it_trains(tiny, tmp_path, capsys, name):
    run = tmp_path / "run"
    is_file = "." not in name
    run.mkdir()
    (run / name).write_text("mine") if is_file else (run / name).mkdir()
    assert tiny.run(run) == 2
    error = capsys.readouterr().err
    assert f"{run / name} is {'no' if is_file else 'a'} folder, where this run" in error
    assert [path.name for path in run.iterdir()] == [name]


def test_a_name_that_no_folder_can_have(tiny, tmp_path, capsys):
    (tmp_path / "nul.yaml").write_text('OUTPUT_DIR: "a\\0b"\n')
    import train

    arguments = [x for x in tiny.arguments("", "CoOp", ("--config-file", str(tmp_path / "nul.yaml"))) if x]
    arguments.remove("--output-dir")
    assert train.run(arguments) == 2
    assert "with a zero byte in it, which no file name may have" in capsys.readouterr().err
