"""Views: how their parameters are drawn, and that both backends make the same pictures of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from trainers.tta.augmix import OPERATIONS, Operation, View, draw_views
from trainers.tta.augmix_pil import apply, pil_views
from trainers.tta.augmix_tensor import GEOMETRIC, apply_all, tensor_views

FIXED = [
    ("autocontrast", 0), ("equalize", 0), ("posterize", 4), ("solarize", 231), ("solarize", 254), ("rotate", 2),
    ("rotate", -1), ("rotate", 0), ("shear_x", 0.03), ("shear_x", -0.01), ("shear_y", 0.02), ("translate_x", 7),
    ("translate_x", -3), ("translate_y", 5),
]  # fmt: skip


def photo(size: int = 96) -> Image.Image:
    """Smooth, as photographs are."""
    rng = np.random.default_rng(0)
    small = rng.integers(30, 240, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC)


def as_tensor(image: Image.Image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()


# ---------------------------------------------------------------------- parameters


def test_ranges_and_frequencies():
    views = draw_views(0, 1500, (250, 240), (224, 224), augmix=True)
    areas, aspects = [], []
    for view in views:
        assert 0 <= view.top <= 250 - view.height and 0 <= view.left <= 240 - view.width
        areas.append(view.height * view.width / 60000)
        aspects.append(view.width / view.height)
        assert len(view.chains) == 3 and all(1 <= len(chain) <= 3 for chain in view.chains)
        assert sum(view.weights) == pytest.approx(1) and 0 <= view.keep <= 1
    assert 0.07 < min(areas) < 0.1 and 0.9 < max(areas) <= 1.0
    assert 0.7 < min(aspects) < 0.8 and 1.25 < max(aspects) < 1.4
    assert np.mean([view.flip for view in views]) == pytest.approx(0.5, abs=0.04)
    assert np.mean([view.keep for view in views]) == pytest.approx(0.5, abs=0.03)
    assert np.var([view.weights[0] for view in views]) == pytest.approx(1 / 18, rel=0.15)  # of Dirichlet(1, 1, 1)
    depths = np.array([len(chain) for view in views for chain in view.chains])
    assert [np.mean(depths == d) for d in (1, 2, 3)] == pytest.approx([1 / 3] * 3, abs=0.03)
    drawn: dict[str, list[float]] = {name: [] for name in OPERATIONS}
    for view in views:
        for chain in view.chains:
            for operation in chain:
                drawn[operation.name].append(operation.amount)
    total = sum(map(len, drawn.values()))
    assert all(len(amounts) / total == pytest.approx(1 / 9, abs=0.015) for amounts in drawn.values())
    assert set(drawn["posterize"]) == {4}
    assert min(drawn["solarize"]) >= 231 and max(drawn["solarize"]) <= 254 and len(set(drawn["solarize"])) > 15
    assert set(drawn["rotate"]) == {-2, -1, 0, 1, 2}
    shares = [np.mean(np.abs(drawn["rotate"]) == k) for k in (0, 1, 2)]
    assert shares == pytest.approx([0.26, 0.37, 0.37], abs=0.05)
    for name in ("shear_x", "shear_y"):
        assert 0.003 <= np.abs(drawn[name]).min() < 0.005 and 0.028 < np.abs(drawn[name]).max() <= 0.03
        assert np.mean(np.array(drawn[name]) > 0) == pytest.approx(0.5, abs=0.06)
    for name in ("translate_x", "translate_y"):
        assert set(np.abs(drawn[name])) == set(range(8))


def test_no_augmix_no_chains():
    assert all(not view.chains and view.keep == 1 for view in draw_views(0, 50, (48, 48), (48, 48), augmix=False))


def test_draws_are_the_seeds_own():
    state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    first = draw_views(4, 20, (48, 48), (48, 48), True)
    assert draw_views(4, 30, (48, 48), (48, 48), True)[:20] == first
    assert draw_views(5, 20, (48, 48), (48, 48), True) != first
    assert (np.random.get_state()[1] == state[0]).all() and torch.equal(torch.get_rng_state(), state[1])  # noqa: NPY002


def test_a_narrow_picture_is_cropped_in_its_middle():
    view = draw_views(0, 1, (10, 400), (16, 16), False, scale=(1.0, 1.0))[0]
    assert (view.top, view.height, view.width) == (0, 10, 13) and view.left == 193


# ---------------------------------------------------------------------- pictures


@pytest.mark.parametrize(("name", "amount"), FIXED, ids=[f"{name} {amount}" for name, amount in FIXED])
def test_operations_agree(name, amount):
    image, operation = photo(), Operation(name, amount)
    pil = as_tensor(apply(image, operation))
    ours = apply_all(as_tensor(image)[None], "geometric" if name in GEOMETRIC else name, [operation])[0]
    apart = (pil - ours).abs()
    assert apart.mean() < (0.1 if name in GEOMETRIC else 1e-6) and apart[:, 8:-8, 8:-8].max() <= 1
    if amount or name in ("autocontrast", "equalize"):
        assert (pil - as_tensor(image)).abs().mean() > 0.02


@pytest.mark.parametrize("picture", ["constant", "two"])
@pytest.mark.parametrize("name", ["autocontrast", "equalize"])
def test_degenerate_pictures(name, picture):
    pixels = np.full((8, 8, 3), 77, np.uint8)
    if picture == "two":
        pixels[:4] = 90
    image = Image.fromarray(pixels)
    ours = apply_all(as_tensor(image)[None], name, [Operation(name, 0)])[0]
    assert torch.equal(ours, as_tensor(apply(image, Operation(name, 0))))


@pytest.mark.parametrize("augmix", [True, False])
def test_views_agree(augmix):
    image = photo(120)
    views = draw_views(1, 12, (120, 120), (64, 64), augmix)
    pil, ours = pil_views(image, views, (64, 64)), tensor_views(as_tensor(image), views, (64, 64))
    pil = pil.float() / 255 if pil.dtype == torch.uint8 else pil
    assert pil.shape == ours.shape == (12, 3, 64, 64)
    assert 255 * (pil - ours).abs().mean() < 1
    assert pil.min() >= 0 and pil.max() <= 1
    assert (255 * (pil - ours).abs() > 8).float().mean() < 0.01  # at the thresholds of solarize and the like


def test_the_mixture_by_hand():
    """m z + (1 - m) sum_k w_k chain_k(z), the chain's operations one after the other."""
    image = photo(32)
    posterize, solarize = Operation("posterize", 4), Operation("solarize", 240)
    view = View(0, 0, 32, 32, False, 0.25, (0.5, 0.2, 0.3), ((posterize,), (posterize, solarize), (solarize,)))
    z = as_tensor(image)
    p = (z / 16).floor() * 16

    def inverted(x):
        return torch.where(x >= 240, 255 - x, x)

    expected = 0.25 * z + 0.75 * (0.5 * p + 0.2 * inverted(p) + 0.3 * inverted(z))
    for made in (pil_views(image, [view], (32, 32)), tensor_views(z, [view], (32, 32))):
        torch.testing.assert_close(255 * made[0], expected, atol=1e-3, rtol=0)


def test_crop_and_flip():
    image = photo(40)
    views = [View(5, 8, 16, 16, flip) for flip in (False, True)]
    expected = as_tensor(image)[:, 5:21, 8:24]
    for made in (pil_views(image, views, (16, 16)).float(), 255 * tensor_views(as_tensor(image), views, (16, 16))):
        torch.testing.assert_close(made[0], expected, atol=1e-3, rtol=0)
        torch.testing.assert_close(made[1], expected.flip(-1), atol=1e-3, rtol=0)
