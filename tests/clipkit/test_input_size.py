"""Which images a backbone reads: asked of the model itself, all sizes near its own."""

from __future__ import annotations

import clip
import pytest
import torch

from clipkit import InputError, check_input_size


def reads(visual: torch.nn.Module, height: int, width: int) -> bool:
    """Does OpenAI's own tower take it, with each patch at its place?"""
    seen = []
    hook = (visual.layer4 if hasattr(visual, "layer4") else visual.conv1).register_forward_hook(
        lambda module, args, out: seen.append(tuple(out.shape[-2:]))
    )
    try:
        visual(torch.zeros(1, 3, height, width))
    except RuntimeError:
        return False
    finally:
        hook.remove()
    return seen[0][0] == seen[0][1]  # 2 x 8 patches are as many as 4 x 4, and stand elsewhere


@pytest.mark.parametrize(("layers", "patch", "own"), [(1, 8, 16), (1, 16, 48), ((1, 1, 1, 1), None, 64)])
def test_sizes_that_the_tower_takes(layers, patch, own):
    width = 64 if patch else 8
    visual = clip.model.CLIP(16, own, layers, width, patch, 77, 49408, 16, 1, 1).visual.eval()
    sizes = [(side, side) for side in range(own - 9, own + 40, 3)]
    sizes += [(own // 2, own * 2), (own, own * 2), (own, own + 1), (own, own)]
    for size in sizes:
        if reads(visual, *size):
            check_input_size(size, own, patch, "this one")
        else:
            with pytest.raises(InputError, match=rf"INPUT.SIZE is {size[0]} x {size[1]}.*\({own},{own}\)"):
                check_input_size(size, own, patch, "this one")


def test_pixels_that_are_left_over_are_a_warning(caplog):
    check_input_size((230, 230), 224, 16, "ViT-B/16")
    assert "230 x 230" in caplog.text
