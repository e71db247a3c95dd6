"""The defence with a gradient to the picture: right where it is smooth, BPDA where not, and of use to an attack."""

from __future__ import annotations

import pytest
import torch

from clipkit import InputError
from trainers.tta.adaptive_views import differentiable_views
from trainers.tta.augmix import Operation, draw_views
from trainers.tta.augmix_tensor import apply_all, tensor_views

N = "TRAINER.TTA."


def built(tiny, folder, name="RTPT", pairs=None):
    trainer = tiny.trainer(folder, name, {"DATASET.SUBSAMPLE_CLASSES": "all"} | (pairs or {}))
    trainer.set_model_mode("eval")
    return trainer


def pictures(count=2):
    return torch.randint(0, 256, (count, 3, 16, 16), generator=torch.Generator().manual_seed(0)) / 255


@pytest.mark.parametrize("kind", ["posterize", "solarize", "equalize", "autocontrast"])
def test_colour_operations_pass_the_gradient_on(kind):
    x = (pictures() * 255).round().requires_grad_()
    amount = {"posterize": 4, "solarize": 200}.get(kind, 0)
    y = apply_all(x, kind, [Operation(kind, amount)] * 2)
    assert not torch.equal(y, x)
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], torch.ones_like(x))


def test_geometry_has_its_own_gradient():
    """What a crop, a flip and a shift do to a change of one pixel is what the gradient says."""
    x = (pictures(1)[0] * 255).round()
    views = draw_views(5, 4, (16, 16), (16, 16), augmix=False)
    weights = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    leaf = x.clone().requires_grad_()
    gradient = torch.autograd.grad((tensor_views(leaf, views, (16, 16)) * weights).sum(), leaf)[0]
    change = torch.zeros_like(x)
    change[1, 8, 7] = 40.0  # far above the rounding to whole numbers
    moved = ((tensor_views(x + change, views, (16, 16)) - tensor_views(x, views, (16, 16))) * weights).sum()
    assert moved.item() == pytest.approx((gradient * change).sum().item(), rel=0.1)


@pytest.mark.parametrize("name", ["RTPT", "TPT", "CTPT", "OTPT", "TPS", "SSTPT", "ZERO", "MTA", "TTC"])
def test_every_method_has_pixel_logits(tiny, tmp_path, name):
    trainer = built(tiny, tmp_path, name)
    x = pictures().requires_grad_()
    out = trainer.pixel_logits(x, seed=3)
    assert out.shape == (2, 5)
    gradient = torch.autograd.grad(out[:, 0].sum(), x)[0]
    assert gradient.isfinite().all() and (gradient != 0).float().mean() > 0.5
    assert torch.equal(trainer.pixel_logits(x, seed=3), out)
    assert not torch.equal(trainer.pixel_logits(x, seed=4), out)
    torch.testing.assert_close(trainer.pixel_logits(x[:1], seed=3), out[:1], atol=1e-3, rtol=1e-3)


def test_stop_is_the_defence_on_the_same_views(tiny, tmp_path):
    trainer = built(tiny, tmp_path, pairs={N + "AUG_BACKEND": "tensor"})
    x = pictures()
    with torch.no_grad():
        views = differentiable_views(trainer.views, x, [7, 8], 30)
        expected = trainer.from_features(trainer.encode_views(views))
    out = trainer.pixel_logits(x, seed=[7, 8], views=30)
    torch.testing.assert_close(out.detach(), expected, atol=1e-4, rtol=1e-4)


def test_the_ways_through_the_step(tiny, tmp_path):
    trainer = built(tiny, tmp_path, pairs={N + "LR": 0.05, N + "SELECTION_P": 0.5})
    x = pictures().requires_grad_()
    found = {}
    for step in ("stop", "unroll", "none"):
        out = trainer.pixel_logits(x, step=step)
        found[step] = torch.autograd.grad(out[:, 1].sum(), x)[0]
    assert not torch.allclose(found["stop"], found["unroll"], rtol=1e-2, atol=1e-6)
    assert not torch.allclose(found["stop"], found["none"], rtol=1e-2, atol=1e-6)
    with pytest.raises(InputError, match="stop, unroll, none"):
        trainer.pixel_logits(x, step="go")


def test_unroll_is_the_slope_of_the_smooth_defence(tiny, tmp_path):
    """Along its own gradient, a small move of the picture changes the logit as promised (no rounding: no AugMix)."""
    trainer = built(tiny, tmp_path, pairs={N + "LR": 0.05, N + "SELECTION_P": 0.5})
    x = 0.2 + 0.6 * pictures(1)

    def logit(picture):
        return trainer.pixel_logits(picture, step="unroll", augmix=False, views=1)[0, 1]

    leaf = x.clone().requires_grad_()
    gradient = torch.autograd.grad(logit(leaf), leaf)[0]
    move = 2e-3 * gradient / gradient.norm()
    slope = (logit(x + move) - logit(x - move)).item()
    assert slope == pytest.approx(2 * (gradient * move).sum().item(), rel=0.1)


def test_an_attack_on_the_defence_beats_noise(tiny, tmp_path):
    """Over draws that the attack has not seen, signs along the gradient lower a logit more than signs at random."""
    trainer = built(tiny, tmp_path)
    x, eps = pictures(4), 16 / 255

    def logit(picture, seed):
        return trainer.pixel_logits(picture, seed=seed).log_softmax(1)[:, 0].sum()

    leaf = x.clone().requires_grad_()
    gradient = sum(torch.autograd.grad(logit(leaf, seed), leaf)[0] for seed in range(3))
    adversarial = (x - eps * gradient.sign()).clamp(0, 1)
    generator = torch.Generator().manual_seed(2)
    noise = (x + eps * torch.randn(x.shape, generator=generator).sign()).clamp(0, 1)
    with torch.no_grad():
        clean, attacked, noisy = (sum(logit(p, s).item() for s in range(90, 96)) for p in (x, adversarial, noise))
    assert clean - attacked > 3 * abs(clean - noisy)
