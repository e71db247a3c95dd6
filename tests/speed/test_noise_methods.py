"""The cost of methods against label noise: rows are measured on steps that train, on the tiny CLIP."""

from __future__ import annotations

import pytest
import torch

from speed.noise_methods import METHODS, Step, build_parser, in_own_process, measure, probe_options
from speed.side_by_side import noise_images, workspace


@pytest.fixture
def arguments(tiny):
    return build_parser().parse_args(
        ["--classes", "4", "--batch", "2", "--repeats", "1", "--no-memory"]
        + ["--backbone", str(tiny.backbone), "--size", "16", "--device", "cpu"]
    )


def test_a_step_trains_and_a_row_has_both_sides(arguments):
    with workspace() as root:
        images = noise_images(f"{root}/images", 2)
        for name in METHODS:
            step = Step(name, images, arguments)
            before = {k: v.clone() for k, v in step.trainer.model.state_dict().items()}
            step()
            assert any(not torch.equal(v, before[k]) for k, v in step.trainer.model.state_dict().items()), name
            assert step.images == (4 if name == "JoAPR" else 2)
        name, batch, own, coop, ratio, image_ratio, *memory = measure("JoAPR", images, arguments)
    assert (name, batch, memory) == ("JoAPR", 4, [None, None])
    assert ratio == pytest.approx(own / coop) and image_ratio == pytest.approx(ratio / 2)


def test_memory_is_measured_in_a_process_of_its_own(arguments):
    assert in_own_process("DPSEP", *probe_options(arguments)) > 2**18
