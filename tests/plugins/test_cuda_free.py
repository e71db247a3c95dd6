"""`.cuda()` and `.half()` on a machine without a GPU."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from plugins.cuda_free import OnCpu

F16, F32, CPU = torch.float16, torch.float32, torch.device("cpu")


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.cuda(),
        lambda x: x.cuda(0, non_blocking=True),
        lambda x: x.half(),
        lambda x: x.to("cuda"),
        lambda x: x.to(0, non_blocking=True),
        lambda x: x.to("cuda:1", torch.half, non_blocking=True),
        lambda x: x.to(device=torch.device("cuda", 0), dtype=F16),
        lambda x: x.to(F16),
        lambda x: x.to(torch.zeros(1).to(F16)),
        lambda x: x.type(F16),
        lambda x: x.type("torch.cuda.HalfTensor"),
        lambda x: torch.ones(2, 3, device="cuda", dtype=torch.half) * x,
        lambda x: torch.randn(2, 3, device=torch.device("cuda"), dtype=F16).mul(0) + x,
        lambda x: torch.tensor([1.0], device="cuda") * x,
        lambda x: torch.zeros_like(x, device="cuda") + x,
        lambda x: x.new_zeros(2, 3, device="cuda") + x,
        lambda x: torch.arange(3, device="cuda") * 0 + x,
    ],
)
def test_a_tensor_stays_on_the_cpu_in_fp32(convert):
    x = torch.rand(2, 3)
    with OnCpu():
        y = convert(x)
    assert y.device == CPU and y.dtype is F32 and torch.equal(y, x)


def test_modules_gradients_and_optimizers_go_on_as_ever():
    torch.manual_seed(0)
    plain, other = nn.Linear(3, 2), nn.Linear(3, 2)
    other.load_state_dict(plain.state_dict())
    weight = other.weight
    x = torch.rand(4, 3)
    with OnCpu():
        assert other.cuda().half().to("cuda").to(F16) is other and other.weight is weight
        loss = other(x.cuda().half()).square().mean()
        torch.optim.SGD(other.parameters(), 0.1).zero_grad()
        loss.backward()
    plain(x).square().mean().backward()
    assert torch.equal(plain.weight.grad, other.weight.grad)


def test_half_precision_files_are_read_as_they_are(tmp_path):
    torch.save({"w": torch.ones(2, dtype=F16), "n": torch.arange(2)}, tmp_path / "w.pt")
    with OnCpu():
        found = torch.load(tmp_path / "w.pt", map_location="cpu")
        model = nn.Linear(2, 1, bias=False)
        model.load_state_dict({"weight": found["w"][None]})
        assert found["w"].half().dtype is F32
    assert found["w"].dtype is F16 and model.weight.dtype is F32 and found["n"].dtype is torch.int64


def test_outside_nothing_is_changed():
    with OnCpu():
        pass
    assert torch.ones(1).half().dtype is F16 and torch.ones(1).to(F16).dtype is F16
    if not torch.cuda.is_available():
        with pytest.raises((AssertionError, RuntimeError)):
            torch.ones(1).cuda()
