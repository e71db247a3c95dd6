"""A finished run is that of the files that its settings name: another content under the same name is another run."""

from __future__ import annotations

import json
import shutil

import pytest

from runs.named_files import named_files

S, TTA = "TRAINER.SAR.", "TRAINER.TTA."


def test_a_list_that_was_edited_is_another_run(tiny, tmp_path, capsys):
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"thing {i}" for i in range(9)))
    pairs = {S + "NOVEL_SOURCE": "file", S + "NOVEL_FILE": names, S + "NUM_NOVEL": 9, S + "SAMPLE_SIZE": 5}

    def start() -> int:
        return tiny.run(tmp_path / "run", "CoOpSAR", pairs=pairs | {"OPTIM.MAX_EPOCH": 1})

    assert start() == 0
    before, kept = (tmp_path / "run" / "results.json").read_bytes(), names.read_text()
    assert set(json.loads(before)["files"]) == {S + "NOVEL_FILE", "MODEL.BACKBONE.PATH"}
    names.write_text(kept.replace("thing 3", "thing 33"))
    capsys.readouterr()
    assert start() == 2
    error = capsys.readouterr().err
    assert f"with another content of {names} ({S}NOVEL_FILE) than is there now" in error
    assert (tmp_path / "run" / "results.json").read_bytes() == before
    names.write_text(kept)
    assert start() == 0
    names.unlink()  # what is not there cannot be compared
    assert named_files({S + "NOVEL_FILE": str(names)}) == {}


def test_a_start_that_was_trained_again_is_another_run(tiny, tmp_path, capsys):
    coop, short = tmp_path / "coop", {"OPTIM.MAX_EPOCH": 1}
    assert tiny.run(coop, pairs=short) == 0
    pairs = {TTA + "CTX_FROM": coop, TTA + "N_VIEWS": 4}
    assert tiny.run(tmp_path / "run", "TPT", ("--eval-only",), pairs) == 0
    assert tiny.run(tmp_path / "run", "TPT", ("--eval-only",), pairs) == 0
    shutil.rmtree(coop)
    assert tiny.run(coop, pairs=short | {"OPTIM.LR": 0.01}) == 0
    capsys.readouterr()
    assert tiny.run(tmp_path / "run", "TPT", ("--eval-only",), pairs) == 2
    assert f"another content of {coop} ({TTA}CTX_FROM)" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["", "sgd", "no/such/file", 3, None])
def test_values_that_name_no_file(value):
    assert named_files({"OPTIM.NAME": value, "TRAINER.COOP.CTX_INIT": value, "seed": 1}) == {}


def test_a_folder_without_its_checkpoint_is_no_run(tmp_path):
    (tmp_path / "prompt_learner").mkdir()
    (tmp_path / "prompt_learner" / "checkpoint").write_text("model.pth.tar-9\n")
    assert named_files({TTA + "CTX_FROM": str(tmp_path)}) == {}
