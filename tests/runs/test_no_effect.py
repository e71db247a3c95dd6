"""What a command line gives and its run does not read: a line, or a refusal where something else was meant."""

from __future__ import annotations

import pytest

TRAIN, TEST, BUILD = (), ("--eval-only",), ("--no-train",)


@pytest.fixture
def notes(tiny, tmp_path):
    import train
    from runs.no_effect import without_effect

    def told(method="CoOp", flags=(), **pairs) -> list[str]:
        args = train.build_parser().parse_args(tiny.arguments(tmp_path / "run", method, flags, pairs))
        return list(without_effect(train.setup_cfg(args), args))

    return told


LINES = {
    "--load-epoch": (TRAIN, ("--load-epoch", 2), {}),
    "--load-epoch without a model": (TEST, ("--load-epoch", 2), {}),
    "--resume": (TEST, ("--resume", "there"), {}),
    "--resume of nothing": (BUILD, ("--resume", "there"), {}),
    "--no-train": (TEST, ("--no-train",), {}),
    "--model-dir": (BUILD, ("--model-dir", "there"), {}),
    "--transforms": (TEST, ("--transforms", "normalize"), {}),
    "TEST.FINAL_MODEL": (TEST, (), {"TEST.FINAL_MODEL": "best_val"}),
    "TEST.NO_TEST": (TEST, (), {"TEST.NO_TEST": True}),
    "RESUME": (TEST, (), {"RESUME": "there"}),
    "MODEL.INIT_WEIGHTS": (TEST, ("--model-dir", "there"), {"MODEL.INIT_WEIGHTS": "file"}),
    "TRAINER.MAPLE.N_CTX": (TRAIN, (), {"TRAINER.MAPLE.N_CTX": 7}),
    "TRAINER.TTA.N_VIEWS": (TRAIN, (), {"TRAINER.TTA.N_VIEWS": 8}),
    "DATASET.FOLDER.PATH": (TRAIN, (), {"DATASET.FOLDER.PATH": "there"}),
    "MODEL.HEAD.HIDDEN_LAYERS": (TRAIN, (), {"MODEL.HEAD.HIDDEN_LAYERS": "(8,)"}),
    "TRAINER.COOP.N_CTX": (TRAIN, (), {"TRAINER.COOP.N_CTX": 7, "TRAINER.COOP.CTX_INIT": "a photo of a"}),
}


@pytest.mark.parametrize("name", LINES)
def test_what_is_not_read_is_told(notes, name):
    mode, flags, pairs = LINES[name]
    found = [note for note in notes("CoOp", (*flags, *mode), **pairs) if " has no effect: " in note]
    assert [note.split()[0] for note in found] == [name.split()[0]]


@pytest.mark.parametrize(
    ("method", "flags", "pairs"),
    [
        ("CoOp", (), {"TEST.FINAL_MODEL": "last_step", "TRAINER.COOP.N_CTX": 7, "RESUME": "there"}),
        ("CoOp", ("--transforms", "normalize", "--seed", 1), {"MODEL.INIT_WEIGHTS": "file", "TEST.NO_TEST": True}),
        ("CoOp", (*TEST, "--model-dir", "there", "--load-epoch", 2), {"OPTIM.MAX_EPOCH": 2}),
        ("CoOp", (), {"TRAINER.COOP.N_CTX": 4, "TRAINER.COOP.CTX_INIT": "a photo of a"}),
        ("KgCoOp", (), {"TRAINER.COOP.N_CTX": 4, "TRAINER.COOP.CTX_INIT": ""}),
        ("TPT", TEST, {"TRAINER.TTA.N_VIEWS": 8}),
        ("CoOpSAR", (), {"TRAINER.COOP.N_CTX": 4, "TRAINER.SAR.SEED": 2}),
    ],
)
def test_what_is_read_is_not_told_of(notes, method, flags, pairs):
    assert notes(method, flags, **pairs) == []


def test_the_log_tells_it(tiny, tmp_path):
    assert tiny.run(tmp_path / "run", flags=("--load-epoch", 7), pairs={"OPTIM.MAX_EPOCH": 1}) == 0
    assert (
        "Warning: --load-epoch has no effect: it belongs to --eval-only" in (tmp_path / "run" / "log.txt").read_text()
    )
    model = ("--eval-only", "--model-dir", tmp_path / "run")
    assert tiny.run(tmp_path / "zero", "ZeroshotCLIP", model) == 0
    assert "--model-dir has no effect: ZeroshotCLIP learns nothing" in (tmp_path / "zero" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--model-dir", "there"), "without --eval-only a new model is trained"),
        (("--head", "foo"), "MODEL.HEAD.NAME (--head) is 'foo', but must be one of mlp"),
    ],
)
def test_what_was_meant_in_another_way_is_refused(tiny, tmp_path, capsys, flags, says):
    assert tiny.run(tmp_path / "run", flags=flags) == 2
    assert says in capsys.readouterr().err and not (tmp_path / "run").exists()
