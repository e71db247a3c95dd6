"""From settings to 8-bit pictures: worst case per image, what is left alone, what is measured."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from toys import linear, network, pictures, predicted

from attacks import AttackSettings, attack_pictures
from attacks.losses import margin
from attacks.pgd import start
from dassl.utils import InputError, stream_seed

SEEDS = list(range(12))


def run(model, *names, **kwargs):
    u8 = pictures()
    label = predicted(model, u8.float() / 255)
    label[::4] = (label[::4] + 1) % 5  # a quarter is misclassified from the start
    base = {"names": names, "eps": 8.0, "alpha": 2.0, "steps": 6, "queries": 40, "targets": 3}
    return u8, label, attack_pictures(AttackSettings(**base | kwargs), model, u8, label, SEEDS)


@pytest.mark.parametrize(
    "names", [("pgd",), ("fgsm",), ("noise",), ("di",), ("cw",), ("tpgd",), ("apgd-ce", "fab-t", "square")]
)
def test_pictures_are_8_bit_and_in_the_ball(names):
    model = network(scale=6.0)
    u8, label, found = run(model, *names)
    assert found.picture.dtype == torch.uint8
    assert (found.picture.int() - u8.int()).abs().max() <= 8
    scores = model(found.picture.float() / 255)
    assert torch.equal(found.pred, scores.argmax(1))
    torch.testing.assert_close(found.margin, margin(scores, label))
    assert torch.equal(found.clean_pred, predicted(model, u8.float() / 255))


def test_none_changes_nothing():
    u8, label, found = run(network(), "none")
    assert torch.equal(found.picture, u8) and set(found.attack) == {"none"}
    assert torch.equal(found.pred, found.clean_pred) and (found.pred != label).sum() == 3


def test_misclassified_images_may_be_left_alone():
    model = network(scale=6.0)
    u8, label, every = run(model, "pgd")
    _, _, some = run(model, "pgd", only_correct=True)
    wrong = predicted(model, u8.float() / 255) != label
    assert torch.equal(some.picture[wrong], u8[wrong]) and not torch.equal(every.picture[wrong], u8[wrong])
    assert torch.equal(some.picture[~wrong], every.picture[~wrong])
    assert [name == "none" for name in some.attack] == wrong.tolist()


def test_several_attacks_are_the_worst_case_per_image():
    model = network(scale=6.0)
    parts = [run(model, name) for name in ("noise", "fgsm", "pgd")]
    _, label, found = run(model, "noise", "fgsm", "pgd")
    robust = torch.stack([part[2].pred == label for part in parts]).all(0)
    assert torch.equal(found.pred == label, robust)
    assert robust.sum() < (parts[0][2].pred == label).sum()  # the others add something
    # an image that a later attack did not hurt more keeps the earlier picture
    for i, name in enumerate(found.attack):
        assert torch.equal(
            found.picture[i], dict(zip(("noise", "fgsm", "pgd"), parts, strict=True))[name][2].picture[i]
        )
    assert len(set(found.attack)) > 1


def test_success_is_measured_after_quantisation():
    """Below one grey level the integer ball holds the clean picture alone."""
    model = linear(5)
    model[1].bias.data -= model(pictures().float() / 255).mean(0)  # so that margins are small
    u8, label, found = run(model, "pgd", eps=0.9, alpha=0.5, steps=10)
    assert torch.equal(found.picture, u8) and torch.equal(found.pred, found.clean_pred)
    assert (found.float_pred != found.pred).any()
    _, _, floats = run(model, "pgd", eps=0.9, alpha=0.5, steps=10, quant="none")
    assert floats.picture.dtype == torch.float32 and torch.equal(floats.pred, found.float_pred)


def test_cw_is_not_held_in_a_ball():
    model = network(scale=12.0)
    u8, label, found = run(model, "cw-l2", steps=50, eps=0.0)
    assert (found.pred != label).sum() > 3 and not torch.equal(found.picture, u8)


def test_eot_needs_a_random_model():
    with pytest.raises(InputError, match="not random"):
        run(network(), "eot-pgd")
    model = network(scale=6.0)
    u8 = pictures()
    label = predicted(model, u8.float() / 255)
    settings = AttackSettings(names=("eot-pgd",), eps=8.0, alpha=2.0, steps=6, draws=2)
    random = attack_pictures(settings, model, u8, label, SEEDS, sample=lambda x, seed: model(x))
    plain = attack_pictures(AttackSettings(names=("pgd",), eps=8.0, alpha=2.0, steps=6), model, u8, label, SEEDS)
    assert (random.picture != plain.picture).float().mean() < 0.01


def test_cw_and_tpgd_as_plain_formulas():
    """From the same starts, with the losses written out."""
    model = network(scale=6.0)
    u8 = pictures()
    x = u8.float() / 255
    label = predicted(model, x)
    p = model(x).softmax(1)

    def hinge(z):
        own = z.gather(1, label[:, None])[:, 0]
        return -torch.relu(own - z.masked_fill(F.one_hot(label, 5).bool(), -1e9).amax(1) + 50).sum()

    losses = {"cw": hinge, "tpgd": lambda z: F.kl_div(z.log_softmax(1), p, reduction="batchmean")}
    for name, loss in losses.items():
        settings = {"eps": 8.0, "alpha": 2.0, "steps": 6, "keep": "last", "quant": "none", "kappa": 50.0}
        found = attack_pictures(AttackSettings(names=(name,), **settings), model, u8, label, SEEDS).picture
        adv = x if name == "cw" else start(x, 8 / 255, SEEDS, 0)
        for _ in range(6):
            leaf = adv.clone().requires_grad_()
            step = 2 / 255 * torch.autograd.grad(loss(model(leaf)), leaf)[0].sign()
            adv = (x + (adv + step - x).clamp(-8 / 255, 8 / 255)).clamp(0, 1)
        torch.testing.assert_close(found, adv, atol=1e-6, rtol=0)
        assert (predicted(model, adv) != label).any()
    still = attack_pictures(
        AttackSettings(names=("cw",), eps=8.0, alpha=2.0, steps=6), model, u8, (label + 1) % 5, SEEDS
    )
    assert torch.equal(still.picture, u8) and still.zero_gradient.all()  # wrong already: no gradient at kappa 0


class Tower:
    """Logits and embeddings of a network."""

    def __init__(self):
        self.network = network(scale=6.0)

    def embed(self, x):
        return self.network(x)

    def __call__(self, x):
        return self.embed(x) @ torch.ones(5, 5).triu()


def test_the_attack_on_features_knows_neither_labels_nor_logits():
    """As written out; the start is above the picture, unclipped at the first pass."""
    tower, u8 = Tower(), pictures()
    x = u8.float() / 255
    settings = AttackSettings(names=("feature",), eps=16.0, steps=8, quant="none")
    found = attack_pictures(settings, tower, u8, torch.zeros(12, dtype=torch.long), SEEDS).picture
    other = attack_pictures(settings, tower, u8, torch.arange(12) % 5, SEEDS).picture
    assert torch.equal(found, other)
    eps, p = 16 / 255, tower.embed(x).softmax(1)
    draws = [
        torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(stream_seed(s, "start", 0))) for s in SEEDS
    ]
    delta = eps * torch.stack(draws)
    for i in range(8):
        leaf = (x + delta if i == 0 else (x + delta).clamp(0, 1)).requires_grad_()
        loss = (p * (p.log() - tower.embed(leaf).log_softmax(1))).sum(1).mean()
        delta = (delta + 1.25 * eps / 8 * torch.autograd.grad(loss, leaf)[0].sign()).clamp(-eps, eps)
        delta = (x + delta).clamp(0, 1) - x
    torch.testing.assert_close(found, x + delta, atol=1e-6, rtol=0)
    assert (found - x).abs().max() <= eps + 1e-6 and (found - x).mean() > 0
    with pytest.raises(InputError, match="ATTACK.MODE T"):
        attack_pictures(settings, network(), u8, torch.zeros(12, dtype=torch.long), SEEDS)
