"""The optimizer of the embedded CLIP's matrices."""

import pytest
import torch

from datasets.embedded.muon import Muon, orthogonalised


@pytest.mark.parametrize("shape", [(3, 16, 48), (2, 48, 16), (1, 24, 24)])
def test_singular_values_are_made_nearly_equal_and_vectors_are_kept(shape):
    g = torch.Generator().manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(shape[0], n, n, generator=g))[0] for n in shape[1:])
    k = min(shape[1:])
    values = torch.linspace(1.0, 0.1, k)
    matrices = 5 * left[:, :, :k] * values @ right[:, :, :k].mT
    made = orthogonalised(matrices, torch.float32)
    diagonal = left[:, :, :k].mT @ made @ right[:, :, :k]
    assert diagonal.diagonal(dim1=1, dim2=2).sub(0.95).abs().max() < 0.35
    off = diagonal - torch.diag_embed(diagonal.diagonal(dim1=1, dim2=2))
    assert off.abs().max() < 1e-4


def test_updates_have_adamws_size_and_a_resumed_state_continues():
    def run(stop: bool) -> torch.Tensor:
        torch.manual_seed(0)
        p = torch.nn.Parameter(torch.zeros(32, 96))
        optimizer = Muon([p], lr=0.01, weight_decay=0.0, dtype=torch.float32)
        for step in range(4):
            if stop and step == 2:
                saved, optimizer = optimizer.state_dict(), Muon([p], lr=0.01, weight_decay=0.0, dtype=torch.float32)
                optimizer.load_state_dict(saved)
            before = p.detach().clone()
            p.grad = torch.randn(32, 96)
            optimizer.step()
            size = (p.detach() - before).square().mean().sqrt()
            assert 0.1 * 0.01 < size < 0.3 * 0.01
        return p.detach()

    assert torch.equal(run(False), run(True))


def test_a_quadratic_is_solved():
    g = torch.Generator().manual_seed(1)
    target = torch.randn(8, 8, generator=g)
    p = torch.nn.Parameter(torch.zeros(8, 8))
    optimizer = Muon([p], lr=0.1, weight_decay=0.0, dtype=torch.float32)
    for step in range(200):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 200)
        loss = (p - target).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05 * target.square().sum()
