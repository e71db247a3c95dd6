"""Attacks through a test-time defence: which ways there are, what each goes through, and that they work."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from attacks import AttackSettings, PixelModel
from attacks.losses import dlr
from dassl.utils import InputError
from datasets.attacked.pictures import to_image
from robustness.adaptive import Eot, attack_way, objective, total_loss, ways

EOT = Eot(draws=2, views=3, step_grad="both")
S = AttackSettings(eps=16.0, alpha=4.0, steps=4, batch=6)


def built(tiny, folder, name, pairs=None):
    return tiny.trainer(folder, name, {"DATASET.SUBSAMPLE_CLASSES": "all", "TRAINER.TTA.N_VIEWS": 6} | (pairs or {}))


def pictures(count=3):
    return torch.randint(0, 256, (count, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("RTPT", ["plain", "views", "untuned mean", "stop", "mean", "unroll"]),
        ("TPT", ["plain", "views", "untuned mean", "stop", "mean", "unroll"]),
        ("TPS", ["plain", "views", "untuned mean", "stop", "mean", "unroll"]),
        ("SSTPT", ["plain", "views", "untuned mean", "stop", "mean", "unroll"]),
        ("ZERO", ["plain", "views", "untuned mean", "output"]),
        ("MTA", ["plain", "views", "untuned mean", "output"]),
        ("TTC", ["plain", "output"]),
    ],
)
def test_the_ways(tiny, tmp_path, name, expected):
    trainer = built(tiny, tmp_path, name)
    found = ways(trainer, EOT)
    assert [way.name for way in found] == expected
    x = pictures().float() / 255
    with PixelModel(trainer):
        for way in found:
            leaf = x.clone().requires_grad_()
            out = way.sample(leaf, [1, 2, 3])
            assert out.shape[-1] == 5 and out.shape[0] == 3
            gradient = torch.autograd.grad(total_loss(out, torch.tensor([0, 1, 2])).sum(), leaf)[0]
            assert gradient.isfinite().all() and (gradient != 0).any()
            assert torch.equal(way.sample(x, [4, 5, 6]), out) != way.draws  # another draw


def test_step_grad_and_bpda_are_heeded(tiny, tmp_path):
    trainer = built(tiny, tmp_path, "RTPT", {"TRAINER.TTA.AUGMIX": "on"})
    assert [w.name for w in ways(trainer, replace(EOT, step_grad="unroll"))][3:] == ["unroll", "mean"]
    x = pictures().float() / 255
    with PixelModel(trainer):
        for k in range(1, 4):
            with_mix, without = (ways(trainer, replace(EOT, bpda=b))[k].sample(x, [1, 2, 3]) for b in (True, False))
            assert not torch.equal(with_mix, without)


def test_the_sum_over_views():
    logits = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0))
    label = torch.tensor([1, 3])
    expected = -logits.double().log_softmax(-1)[torch.arange(2), :, label].sum(dim=1)
    torch.testing.assert_close(total_loss(logits, label), expected)


def test_an_attack_raises_the_loss_in_the_ball(tiny, tmp_path):
    trainer = built(tiny, tmp_path, "RTPT")
    clean, label = pictures(), torch.tensor([0, 1, 2])
    for name in ("views", "stop"):
        way = next(w for w in ways(trainer, EOT) if w.name == name)
        with PixelModel(trainer):
            adv, zero = attack_way(way, S, EOT, clean, label, [1, 2, 3])
            again, _ = attack_way(way, S, EOT, clean, label, [1, 2, 3])
            unseen = objective(way, label, replace(EOT, draws=4), 99, range(3))
            before, after = (unseen(u8.float() / 255, 0, 0, False).loss for u8 in (clean, adv))
        assert adv.dtype == torch.uint8 and (adv.int() - clean.int()).abs().max() <= 16
        assert torch.equal(adv, again) and not zero.any()
        assert after.mean() > before.mean() + 0.2


def test_attacks_that_take_a_deterministic_model_are_refused(tiny, tmp_path):
    trainer = built(tiny, tmp_path, "RTPT")
    way = ways(trainer, EOT)[1]
    for names in (("apgd-ce",), ("pgd", "square")):
        with pytest.raises(InputError, match="deterministic"):
            attack_way(way, replace(S, names=names), EOT, pictures(), torch.tensor([0, 1, 2]), [1, 2, 3])


def test_an_image_does_not_depend_on_its_batch(tiny, tmp_path):
    trainer = built(tiny, tmp_path, "RTPT")
    way = next(w for w in ways(trainer, EOT) if w.name == "stop")
    clean, label, order = pictures(), torch.tensor([0, 1, 2]), [2, 0]
    with PixelModel(trainer):
        together, _ = attack_way(way, replace(S, batch=64), EOT, clean, label, [1, 2, 3])
        others, _ = attack_way(way, replace(S, batch=3), EOT, clean[order], label[order], [3, 1])
    agree = (together[order] == others).float().mean()
    assert agree > 0.98  # a sign may turn with the rounding of another batch size
    assert (together[order] == attack_way(way, S, EOT, clean[order], label[order], [1, 3])[0]).float().mean() < 0.95


@pytest.mark.parametrize("name", ["RTPT", "MTA", "TTC"])
def test_known_draws_are_the_defences_own(tiny, tmp_path, name):
    """The way's answer is that of the method in its own test, on the same picture."""
    trainer = built(tiny, tmp_path, name, {"TRAINER.TTA.AUG_BACKEND": "tensor", "TRAINER.TTA.AUGMIX": "on"})
    way = ways(trainer, replace(EOT, known_draws=True, bpda=False))[-1]
    assert way.name == "known draws" and way.known and way.views == trainer.n_views()
    clean, seeds = pictures(), [11, 12, 13]
    group = [trainer.views.start(to_image(u8), to_image(u8), i, 0, "", seeds[i]) for i, u8 in enumerate(clean)]
    with torch.no_grad():
        expected = trainer.answer(group)[1]
    with PixelModel(trainer):
        found = way.sample(clean.float() / 255, seeds).detach()
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-3)
        adv, _ = attack_way(way, S, EOT, clean, torch.tensor([0, 1, 2]), [1, 2, 3], seeds)
        other, _ = attack_way(way, S, EOT, clean, torch.tensor([0, 1, 2]), [1, 2, 3], [4, 5, 6])
    assert not torch.equal(adv, other)


def test_dlr_has_ways_of_its_own(tiny, tmp_path):
    trainer = built(tiny, tmp_path, "RTPT")
    plain = [w.name for w in ways(trainer, EOT)]
    assert [w.name for w in ways(trainer, replace(EOT, loss="both"))] == plain + [f"{name} dlr" for name in plain]
    only = ways(trainer, replace(EOT, loss="dlr"))
    assert [w.name for w in only] == [f"{name} dlr" for name in plain] and all(w.loss is dlr for w in only)
    trainer.dm.dataset._classnames = ["a", "b"]
    with pytest.raises(InputError, match="DLR needs at least 3 classes, but there are 2"):
        ways(trainer, replace(EOT, loss="dlr"))
