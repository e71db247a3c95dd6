"""The benchmarks' own tools: timing in turn, peak memory, and the whole comparison on the tiny CLIP."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from clip.model import CLIP

from speed import methods, side_by_side
from speed.checkpoint_sizes import our_bytes, published_bytes, published_tensors
from speed.peak_memory import peak_of
from speed.side_by_side import full_size_trainer, noise_images, workspace


def test_side_by_side_takes_medians_of_pairs_after_a_warm_up(monkeypatch):
    clock = iter([0, 100, 0, 100, 0, 1, 0, 2, 0, 2, 0, 8, 0, 3, 0, 3])  # start and end of each call, in turn
    monkeypatch.setattr(side_by_side.time, "perf_counter", lambda: next(clock))
    calls = []
    result = side_by_side.side_by_side(lambda: calls.append("ours"), lambda: calls.append("theirs"), 3)
    assert result == (2, 3, 2) and calls == ["ours", "theirs"] * 4


def test_peak_memory_is_what_the_task_held():
    megabytes = 2**20
    peak_of(lambda: torch.ones(1000).sum(), torch.device("cpu"))
    small = peak_of(lambda: torch.ones(20 * megabytes // 4).sum(), torch.device("cpu"))
    large = peak_of(lambda: torch.ones(160 * megabytes // 4).sum(), torch.device("cpu"))
    assert large - small == pytest.approx(140 * megabytes, rel=0.15)


@pytest.fixture
def arguments(tiny):
    return methods.build_parser().parse_args(
        ["--methods", "CoOp", "--classes", "3", "--batch", "2", "--repeats", "1", "--test-batches", "2"]
        + ["--test-batch", "2", "--backbone", str(tiny.backbone), "--size", "16", "--device", "cpu"]
    )


def test_a_row_of_the_comparison(arguments):
    arguments.memory = False
    with workspace() as root:
        row = methods.measure("CoOp", noise_images(f"{root}/images", 2), arguments)
    assert row[:2] == ["CoOp", 2] and row[7:10] == [None] * 3 and len(row) == len(methods.HEADERS)
    step, test, difference = row[2:7], row[10:15], row[15]
    for _, _, _, ours, plain in (step, test):
        assert plain > ours  # 77 tokens of each class, and no shared beginning
    assert min(*step, *test) > 0 and difference < 1e-5


@pytest.mark.parametrize("name", ["TipAdapter", "LPpp"])
def test_a_row_of_a_method_on_features(arguments, name):
    arguments.memory = False
    with workspace() as root:
        row = methods.measure(name, noise_images(f"{root}/images", 2), arguments)
    step, test = row[2:7], row[10:15]
    assert min(test) > 0 and row[15] < 1e-4
    if name == "TipAdapter":  # it trains nothing
        assert step == [None] * 5
    else:  # all features at once, 16 a class; no tower
        assert row[1] == 48 and min(step) > 0 and step[4] < test[4]


def test_memory_is_measured_in_a_process_of_its_own(arguments):
    assert methods.in_own_process("CoOp", "plain", arguments) > 2**18


@pytest.mark.parametrize("wrong", [["--methods", "Nope"], ["--classes", "101"], ["--device", "tpu"]])
def test_wrong_arguments_are_refused(wrong, capsys):
    with pytest.raises(SystemExit, match="2"):
        methods.build_parser().parse_args(wrong)
    assert f"invalid choice: '{wrong[1]}'" in capsys.readouterr().err.replace(": 101", ": '101'")


# Numbers saved by the published trainers on ViT-B/16 at 64 pixels with 5 classes: context, other learnable, all.
SAVED = {
    "CoOp": (16, 0, 164_352),
    "CoCoOp": (4, 33_312, 222_240),
    "KgCoOp": (4, 0, 452_096),
    "ProGrad": (16, 0, 164_352),
    "TCP": (16, 329_856, 494_208),
    "VPT": (0, 73_728, 124_259_329),
    "IVLP": (2, 29_696, 124_408_321),
    "MaPLe": (2, 3_554_048, 127_932_673),
    "PromptSRC": (4, 44_032, 210_472_961),
    "CoPrompt": (2, 3_816_192, 277_677_314),
    "MMRL": (0, 4_992_256, 129_374_976),
}


@pytest.mark.parametrize("name", SAVED)
def test_published_checkpoints_hold_as_many_numbers(name):
    context, others, expected = SAVED[name]
    with torch.device("meta"):
        clip_model = CLIP(512, 64, 12, 768, 16, 77, 49408, 512, 8, 12)
        learner = {"others": torch.empty(others)} | ({"ctx": torch.empty(context, 512)} if context else {})
    saved = published_tensors(name, learner, clip_model, 5)
    assert abs(sum(tensor.numel() for tensor in saved.values()) - expected) <= 1  # MMRL leaves out the logit scale


def test_sizes_are_those_of_files(tiny):
    with workspace() as root:
        images = noise_images(f"{root}/images", 2)
        trainer = full_size_trainer(
            "CoOp", "vit_b16", images, 3, {"INPUT.SIZE": (16, 16), "USE_CUDA": False}, str(tiny.backbone)
        )
        ours, published = our_bytes(trainer), published_bytes("CoOp", trainer)
        few = published_bytes("CoOp", SimpleNamespace(clip=trainer.clip, model=trainer.model, classnames=["one"]))
    numbers = 16 * 64  # context tokens, fp32 here and fp16 there
    assert 4 * numbers < ours < 4 * numbers + 20_000
    assert published - few == pytest.approx(2 * 2 * (77 - 16) * 64, abs=1_000)  # two more classes of fp16 buffers
