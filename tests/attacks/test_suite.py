"""From settings to 8-bit pictures: worst case per image, what is left alone, what is measured."""

from __future__ import annotations

import pytest
import torch
from toys import linear, network, pictures, predicted

from attacks import AttackSettings, attack_pictures
from attacks.losses import margin
from dassl.utils import InputError

SEEDS = list(range(12))


def run(model, *names, **kwargs):
    u8 = pictures()
    label = predicted(model, u8.float() / 255)
    label[::4] = (label[::4] + 1) % 5  # a quarter is misclassified from the start
    base = {"names": names, "eps": 8.0, "alpha": 2.0, "steps": 6, "queries": 40, "targets": 3}
    return u8, label, attack_pictures(AttackSettings(**base | kwargs), model, u8, label, SEEDS)


@pytest.mark.parametrize("names", [("pgd",), ("fgsm",), ("noise",), ("di",), ("apgd-ce", "fab-t", "square")])
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
