"""The robust losses against their definitions, element by element."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from trainers.label_noise.robust_losses import DEFAULTS, LOSSES, robust_loss

SETTINGS = SimpleNamespace(**{key.partition(".")[2]: value for key, value in DEFAULTS.items()})


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(6, 4, generator=generator), torch.tensor([0, 1, 2, 3, 0, 1])


def by_hand(name: str, p: list[float], y: int) -> float:
    entropy = -sum(x * math.log(x) for x in p)
    return {
        "ce": -math.log(p[y]),
        "gce": (1 - p[y] ** 0.7) / 0.7,
        "mae": sum(abs(x - (i == y)) for i, x in enumerate(p)),
        # the reverse term: -sum_k p_k log onehot_k, log 0 = -4
        "sce": -0.1 * math.log(p[y]) + sum(4 * x for i, x in enumerate(p) if i != y),
        "bootstrap": -sum((0.95 * (i == y) + 0.05 * x) * math.log(x) for i, x in enumerate(p)),
        "confidence_penalty": -math.log(p[y]) - 0.1 * entropy,
        "double_softmax": -math.log(math.exp(p[y]) / sum(math.exp(x) for x in p)),
    }[name]


@pytest.mark.parametrize("name", LOSSES)
def test_definition(name):
    logits, label = rows()
    p = logits.double().softmax(1).tolist()
    expected = sum(by_hand(name, row, y) for row, y in zip(p, label.tolist(), strict=True)) / len(p)
    assert robust_loss(name, logits, label, SETTINGS).item() == pytest.approx(expected, rel=1e-4)


def test_bounds_and_gradient_of_the_double_softmax():
    """Labels that are confidently wrong move no more than those that are confidently right."""
    C = 100
    z = torch.zeros(3, C)
    z[0, 0], z[1, 1], z[2, :2] = 60.0, 60.0, 60.0  # right, wrong, between the label and one other
    z.requires_grad_()
    each = [robust_loss("double_softmax", row[None], torch.tensor([0]), SETTINGS) for row in z]
    most = math.log(math.e + C - 1)
    assert each[0].item() == pytest.approx(most - 1) and each[1].item() == pytest.approx(most)
    sum(each).backward()
    p = z.detach().softmax(1)
    g = p.softmax(1) - torch.eye(C)[0]
    torch.testing.assert_close(z.grad, p * (g - (p * g).sum(1, keepdim=True)), atol=1e-6, rtol=1e-4)
    assert z.grad[:2].abs().max() < 1e-6 and 0.2 < z.grad[2, 0].abs() < 0.3


def test_limits_of_the_generalised_cross_entropy():
    logits, label = rows()
    near_ce = SimpleNamespace(GCE_Q=1e-3)
    assert robust_loss("gce", logits.double(), label, near_ce) == pytest.approx(
        F.cross_entropy(logits, label).item(), rel=0.01
    )
    half_mae = robust_loss("mae", logits, label, SETTINGS) / 2
    assert robust_loss("gce", logits, label, SimpleNamespace(GCE_Q=1.0)) == pytest.approx(half_mae.item(), rel=1e-3)


def test_bounded_losses_pull_less_on_a_label_that_contradicts_the_prediction():
    """The gradient on a confidently contradicted label: near 1 for CE, near 0 for MAE and GCE."""
    size = {}
    for name in ("ce", "gce", "mae"):
        logits = torch.tensor([[8.0, 0.0, 0.0]], requires_grad=True)
        robust_loss(name, logits, torch.tensor([1]), SETTINGS).backward()
        size[name] = logits.grad.norm().item()
    assert size["ce"] > 1 and size["gce"] < 0.1 and size["mae"] < 0.01


@pytest.mark.parametrize("name", LOSSES[1:])
def test_coop_trains_with_it(tiny, tmp_path, name):
    trainer = tiny.trainer(tmp_path, "CoOp", {"LOSS.NAME": name})
    trainer.epoch, trainer.batch_idx, trainer.num_batches = 0, 0, 10**6
    batch = next(iter(trainer.train_loader_x))
    logits, terms = trainer.loss(batch["img"], batch["label"])
    assert set(terms) == {name}
    assert terms[name].item() == pytest.approx(robust_loss(name, logits, batch["label"], SETTINGS).item())
    first = trainer.forward_backward(batch)["loss"]
    for _ in range(10):
        last = trainer.forward_backward(batch)["loss"]
    assert last < first


def test_ptnl_is_coop_with_two_losses(tiny, tmp_path):
    coop = tiny.trainer(tmp_path, "CoOp")
    image, label = torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 2, 0])
    logits, terms = coop.loss(image, label)
    ours, same = tiny.trainer(tmp_path, "PTNL").loss(image, label)
    assert torch.equal(ours, logits) and torch.equal(same["ce"], terms["ce"])
    _, other = tiny.trainer(tmp_path, "PTNL", {"TRAINER.PTNL.LOSS": "gce"}).loss(image, label)
    p_y = logits.softmax(1)[torch.arange(4), label]
    torch.testing.assert_close(other["gce"], ((1 - p_y**0.5) / 0.5).mean(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("trainer", "pairs", "says"),
    [
        ("CoOp", {"LOSS.NAME": "hinge"}, "LOSS.NAME is 'hinge'"),
        ("PTNL", {"TRAINER.PTNL.LOSS": "mae"}, "TRAINER.PTNL.LOSS is 'mae'"),
        ("PTNL", {"LOSS.NAME": "gce"}, "LOSS.NAME is 'gce'"),
    ],
)
def test_unknown_losses(tiny, tmp_path, capsys, trainer, pairs, says):
    assert tiny.run(tmp_path / "run", trainer, pairs=pairs) == 2
    assert says in capsys.readouterr().err
