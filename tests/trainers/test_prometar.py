"""ProMetaR: the episode, second derivatives, the network V, and what a resumed run needs."""

from __future__ import annotations

import pytest
import torch
from test_paper_losses import IVLP, keys, moved

from clipkit import InputError, normalize
from tests.plain import plain_of, same_draw
from trainers.parts.episode import draw_episode

LABEL = torch.tensor([0, 1, 2, 0])


def built(tiny, folder, **changes):
    pairs = keys("PROMETAR", IVLP | {"ADAPT_LR": 0.05, "VNET_LR": 0.0} | changes) | {"OPTIM.WARMUP_EPOCH": -1}
    trainer = tiny.trainer(folder, "ProMetaR", pairs)
    moved(trainer)
    trainer.epoch = trainer.batch_idx = 0
    trainer.num_batches = 10
    return trainer


def image() -> torch.Tensor:
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(4))


def test_the_gradients_of_v_are_second_derivatives(tiny, tmp_path):
    trainer = built(tiny, tmp_path, LR_RATIO=1.0)
    plain = plain_of("ProMetaR", trainer)
    trainer.forward_backward({"img": image(), "label": LABEL})
    same_draw(plain, trainer)
    plain.gradients(image(), LABEL)
    ours = [p.grad for gate in trainer.vnet.gates.values() for p in gate.parameters()]
    assert len(ours) == len(plain.gate_gradients) > 0
    largest = max(x.abs().max().item() for x in plain.gate_gradients)
    assert largest > 0
    for a, b in zip(ours, plain.gate_gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4 * largest, rtol=1e-3)


def test_without_an_inner_step_it_is_the_mixed_query_loss(tiny, tmp_path):
    trainer = built(tiny, tmp_path, ADAPT_LR=0.0)
    trainer.forward_backward({"img": image(), "label": LABEL})
    found = {name: p.grad.clone() for name, p in trainer.model.named_parameters()}
    assert all(p.grad is None or not p.grad.any() for p in trainer.vnet.parameters())
    # the tensors as they were before the second step
    momentum = {name: trainer.optim.state[p]["momentum_buffer"] for name, p in trainer.model.named_parameters()}
    lr = trainer.optim.param_groups[0]["lr"]
    with torch.no_grad():
        for name, p in trainer.model.named_parameters():
            p += lr * momentum[name]
    query, _, partner, share = trainer.episode(LABEL)
    text, f = trainer.encode_text(), trainer.prompted_image(image())
    logits = trainer.logits(normalize(share[:, None] * f[query] + (1 - share[:, None]) * f[partner]), text)
    losses = [torch.nn.functional.cross_entropy(logits, LABEL[i], reduction="none") for i in (query, partner)]
    loss = 5e-4 * (share * losses[0] + (1 - share) * losses[1]).mean()
    names = list(found)
    expected = torch.autograd.grad(loss, [trainer.model.get_parameter(name) for name in names])
    for name, g in zip(names, expected, strict=True):
        torch.testing.assert_close(found[name], g, atol=1e-4 * g.abs().max().item(), rtol=1e-3)


def test_a_batch_of_one_class_takes_one_step(tiny, tmp_path):
    trainer = built(tiny, tmp_path)
    trainer.forward_backward({"img": image(), "label": torch.zeros(4, dtype=torch.long)})
    assert trainer.episode(torch.zeros(4, dtype=torch.long)) is None
    assert all(p.grad is None for p in trainer.vnet.parameters())
    assert all(p.grad is not None for p in trainer.model.parameters())


def test_an_episode():
    for seed in range(20):
        query, support, partner, share = draw_episode(LABEL, seed, 0.5, 0.5)
        assert len(LABEL[query].unique()) == 1 and set(query.tolist()) | set(support.tolist()) == {0, 1, 2, 3}
        assert not set(LABEL[query].tolist()) & set(LABEL[support].tolist())
        assert set(partner.tolist()) <= set(support.tolist()) and len(partner) == len(query) == len(share)
        assert ((share >= 0) & (share <= 1)).all()


def test_first_order_differs(tiny, tmp_path):
    found = []
    for i, fast in enumerate((False, True)):
        trainer = built(tiny, tmp_path / str(i), FAST_ADAPTATION=fast, LR_RATIO=1.0)
        trainer.forward_backward({"img": image(), "label": LABEL})
        found.append(trainer.model.prompt_learner.ctx.grad.clone())
    assert (found[0] - found[1]).abs().max() > 1e-4 * found[0].abs().max()


def test_the_network_is_in_checkpoints_of_unfinished_runs_alone(tiny, tmp_path):
    assert tiny.run(tmp_path / "run", "ProMetaR", (), {"OPTIM.MAX_EPOCH": 1}) == 0
    (file,) = (tmp_path / "run").glob("*/model.pth.tar-1")
    checkpoint = torch.load(file, weights_only=True)
    assert "vnet" not in checkpoint["extra"]
    trainer = built(tiny, tmp_path / "2")
    assert {"vnet", "vnet_optim"} <= trainer.extra_state().keys()


def test_its_size_at_vit_b16():
    from trainers.parts.gradient_network import GradientNetwork

    tensors = {f"v{i}": torch.empty(4, 768) for i in range(9)} | {f"t{i}": torch.empty(4, 512) for i in range(9)}
    with torch.device("meta"):
        network = GradientNetwork(tensors, 8, "DIM_RATE")
    assert sum(p.numel() for p in network.parameters()) == 32_587_776


def test_weights_must_be_shared_by_equal_numbers_of_values(tiny, tmp_path):
    with pytest.raises(InputError, match="TRAINER.PROMETAR.DIM_RATE is 7, but must divide the 256 values of"):
        tiny.trainer(tmp_path, "ProMetaR", {"TRAINER.PROMETAR.DIM_RATE": 7})


def test_amp_is_refused(tiny, tmp_path):
    with pytest.raises(InputError, match="second derivatives"):
        tiny.trainer(tmp_path, "ProMetaR", {"TRAINER.PROMETAR.PREC": "amp"})
