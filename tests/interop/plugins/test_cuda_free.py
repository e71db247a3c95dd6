"""`.cuda()` and `.half()` on a machine without a GPU."""

from __future__ import annotations

import half_tower
import pytest
import torch
from torch import nn
from torch.overrides import handle_torch_function, has_torch_function

from interop.plugins.cuda_free import OnCpu

F16, F32, CPU = torch.float16, torch.float32, torch.device("cpu")


def dispatching(convert):
    """`convert` within a function that hands itself to the mode, in whose body the mode is off."""

    def function(x):
        if has_torch_function((x,)):
            return handle_torch_function(function, (x,), x)
        return convert(x)

    return function


def in_backward(convert):
    """`convert` as a step of a backward pass, which torch runs with the mode off."""

    def function(x):
        leaf = torch.zeros_like(x, requires_grad=True)
        kept = []
        out = leaf * 1
        out.register_hook(lambda grad: kept.append(convert(x)))
        out.sum().backward()
        return kept[0]

    return function


PLACES = {
    "the mode": lambda convert: convert,
    "a function that dispatches": dispatching,
    "a backward pass": in_backward,
}


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
        lambda x: torch.tensor(1.0, dtype=F16) * x,
        lambda x: torch.zeros_like(x, dtype=F16) + x,
        lambda x: x.new_zeros(2, 3, dtype=F16) + x,
        lambda x: x.type(torch.HalfTensor),
        lambda x: x.type(torch.cuda.HalfTensor),
        lambda x: x.type(torch.cuda.FloatTensor),
        lambda x: torch.cuda.HalfTensor(2, 3).fill_(1) * x,
        lambda x: torch.HalfTensor([1.0]) * x,
        lambda x: x.pin_memory().cuda(),
        lambda x: nn.Identity().cuda().half()(x).to(device="cuda", dtype=torch.half),
        lambda x: torch.softmax(x, -1, F16) * 0 + torch.nn.functional.log_softmax(x, -1, dtype=F16) * 0 + x,
        lambda x: x.sum(dtype=F16) * 0 + x,
    ],
)
@pytest.mark.parametrize("within", PLACES)
def test_a_tensor_stays_on_the_cpu_in_fp32(convert, within):
    x = torch.rand(2, 3)
    with OnCpu():
        y = PLACES[within](convert)(x)
    assert y.device == CPU and y.dtype is F32 and torch.equal(y, x)


def test_a_forks_own_tower_runs_in_fp32(tmp_path):
    """Its own attention, casts and checkpointed blocks: the numbers of the same tower without any cast."""
    torch.manual_seed(0)
    plain = half_tower.Tower()
    torch.save({key: value.half() for key, value in plain.state_dict().items()}, tmp_path / "tower.pt")
    plain.load_state_dict({key: value.half().float() for key, value in plain.state_dict().items()})
    image = torch.rand(2, 3, 8, 8)
    with OnCpu():
        tower = half_tower.load(tmp_path / "tower.pt")
        assert {p.dtype for p in tower.parameters()} == {F32}
        out = tower(image.cuda().half())
        out.square().mean().backward()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(half_tower, "attention_forward", plain_attention)
        patch.setattr(half_tower.Cast, "apply", lambda x: x)
        expected = plain(image)
        expected.square().mean().backward()
    assert out.dtype is F32
    torch.testing.assert_close(out, expected)
    for ours, theirs in zip(tower.parameters(), plain.parameters(), strict=True):
        assert ours.grad.dtype is F32
        torch.testing.assert_close(ours.grad, theirs.grad)


def plain_attention(x, heads, in_weight, in_bias, out_weight, out_bias):
    def split(y):
        return y.unflatten(-1, (heads, -1)).transpose(1, 2)

    q, k, v = map(split, nn.functional.linear(x, in_weight, in_bias).chunk(3, dim=-1))
    out = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    return nn.functional.linear(out, out_weight, out_bias)


def test_defaults_and_the_number_of_a_gpu():
    with OnCpu():
        torch.cuda.set_device(1)
        torch.cuda.synchronize()
        assert torch.cuda.current_device() == 0
        torch.set_default_dtype(torch.half)
        assert torch.ones(1).dtype is F32
        torch.set_default_device("cuda")
        assert torch.ones(1).device == CPU
        torch.set_default_device(None)


def test_one_within_another():
    with OnCpu():
        with OnCpu():
            assert torch.ones(1).half().dtype is F32
        assert dispatching(lambda x: x.half())(torch.ones(1)).dtype is F32
    assert torch.ones(1).half().dtype is F16 and torch.HalfTensor.__name__ == "HalfTensor"
    assert "half" not in vars(torch.Tensor)


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
