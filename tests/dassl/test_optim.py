"""Learning-rate sequences as measured on upstream; optimizers and parameter groups."""

import pytest
import torch
from torch import nn

from dassl.config import get_cfg_default
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.optim.radam import RAdam

LR = 0.002


def optim_cfg(*opts):
    cfg = get_cfg_default()
    cfg.merge_from_list(["OPTIM.NAME", "sgd", "OPTIM.LR", LR, "OPTIM.MAX_EPOCH", 10])
    named = list(opts)
    named[::2] = [f"OPTIM.{key}" for key in named[::2]]
    cfg.merge_from_list(named)
    return cfg.OPTIM


def rates(cfg, optim=None, sched=None, epochs=10):
    optim = optim or build_optimizer([nn.Parameter(torch.zeros(1))], cfg)
    sched = sched or build_lr_scheduler(optim, cfg)
    out = []
    for _ in range(epochs):
        out.append(optim.param_groups[0]["lr"])
        optim.step()
        sched.step()
    return out


COSINE = [2e-3, 1.951057e-3, 1.809017e-3, 1.587785e-3, 1.309017e-3, 1e-3, 6.90983e-4, 4.122147e-4, 1.90983e-4]
SEQUENCES = [
    (["LR_SCHEDULER", "cosine"], [*COSINE, 4.89435e-5]),
    (["LR_SCHEDULER", "cosine", "WARMUP_EPOCH", 1, "WARMUP_TYPE", "constant"], [1e-5, *COSINE]),
    (["LR_SCHEDULER", "cosine", "WARMUP_EPOCH", 3, "WARMUP_TYPE", "constant"], [1e-5] * 3 + COSINE[:7]),
    (["LR_SCHEDULER", "cosine", "WARMUP_EPOCH", 3], [1e-5, 6.666667e-4, 1.333333e-3, *COSINE[:7]]),
    (
        ["LR_SCHEDULER", "cosine", "WARMUP_EPOCH", 1, "WARMUP_TYPE", "constant", "WARMUP_RECOUNT", False],
        [1e-5, 2e-3, 1.8543973e-3, 1.6276158e-3, 1.3418545e-3, 1.0250856e-3, 7.083168e-4, 4.225554e-4]
        + [1.957739e-4, 5.01713e-5],
    ),
    (
        ["LR_SCHEDULER", "cosine", "WARMUP_EPOCH", 3, "WARMUP_TYPE", "constant", "WARMUP_RECOUNT", False],
        [1e-5] * 3 + [2e-3, 1.648859e-3, 1.2596162e-3, 8.703734e-4, 5.192324e-4, 2.405653e-4, 6.165e-5],
    ),
    (
        ["LR_SCHEDULER", "single_step", "STEPSIZE", (3,), "WARMUP_EPOCH", 1, "WARMUP_TYPE", "constant"],
        [1e-5] + [2e-3] * 3 + [2e-4] * 3 + [2e-5] * 3,
    ),
    (
        ["LR_SCHEDULER", "multi_step", "STEPSIZE", (3, 6), "WARMUP_EPOCH", 1, "WARMUP_TYPE", "constant"],
        [1e-5] + [2e-3] * 3 + [2e-4] * 3 + [2e-5] * 3,
    ),
    (["LR_SCHEDULER", "single_step"], [2e-3] * 10),
]


@pytest.mark.parametrize(("opts", "expected"), SEQUENCES)
def test_sequence(opts, expected):
    assert rates(optim_cfg(*opts)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("opts", "expected"), SEQUENCES)
@pytest.mark.parametrize("stop", [1, 4])
def test_sequence_after_resume(opts, expected, stop):
    """State dicts are plain, and a new scheduler that loads one goes on where the old stopped."""
    cfg = optim_cfg(*opts)
    param = nn.Parameter(torch.zeros(1))
    optim = build_optimizer([param], cfg)
    sched = build_lr_scheduler(optim, cfg)
    rates(cfg, optim, sched, stop)
    saved = optim.state_dict(), sched.state_dict()
    if "successor" in saved[1]:
        assert type(saved[1]["successor"]) is dict

    optim = build_optimizer([param], cfg)
    sched = build_lr_scheduler(optim, cfg)
    optim.load_state_dict(saved[0])
    sched.load_state_dict(saved[1])
    assert rates(cfg, optim, sched, 10 - stop) == pytest.approx(expected[stop:], abs=1e-9)


def test_resume_from_upstreams_form():
    """Upstream stores the wrapped scheduler as an object with an optimizer of its own."""
    cfg = optim_cfg("LR_SCHEDULER", "cosine", "WARMUP_EPOCH", 1, "WARMUP_TYPE", "constant")
    optim = build_optimizer([nn.Parameter(torch.zeros(1))], cfg)
    sched = build_lr_scheduler(optim, cfg)
    expected = rates(cfg, epochs=10)
    rates(cfg, optim, sched, 3)
    state = {**sched.state_dict(), "successor": sched.successor}

    new = build_optimizer([nn.Parameter(torch.zeros(1))], cfg)
    new_sched = build_lr_scheduler(new, cfg)
    new.load_state_dict(optim.state_dict())
    new_sched.load_state_dict(state)
    assert new_sched.successor.optimizer is new
    assert rates(cfg, new, new_sched, 7) == pytest.approx(expected[3:], abs=1e-12)


def test_warmup_rate_holds_for_all_groups():
    cfg = optim_cfg("LR_SCHEDULER", "cosine", "WARMUP_EPOCH", 1, "WARMUP_TYPE", "constant")
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (0.1, 0.2)]
    optim = build_optimizer(None, cfg, param_groups=groups)
    sched = build_lr_scheduler(optim, cfg)
    assert [g["lr"] for g in optim.param_groups] == [1e-5, 1e-5]
    optim.step()
    sched.step()
    assert [g["lr"] for g in optim.param_groups] == [0.1, 0.2]


@pytest.mark.parametrize(
    ("name", "kind", "values"),
    [
        ("sgd", torch.optim.SGD, {"momentum": 0.9, "dampening": 0, "nesterov": False}),
        ("adam", torch.optim.Adam, {"betas": (0.9, 0.999), "amsgrad": False}),
        ("amsgrad", torch.optim.Adam, {"amsgrad": True}),
        ("adamw", torch.optim.AdamW, {"betas": (0.9, 0.999)}),
        ("radam", RAdam, {"betas": (0.9, 0.999), "decoupled_weight_decay": True}),
        ("rmsprop", torch.optim.RMSprop, {"momentum": 0.9, "alpha": 0.99}),
    ],
)
def test_optimizers(name, kind, values):
    model = nn.Linear(2, 2)
    model.bias.requires_grad = False
    optim = build_optimizer(model, optim_cfg("NAME", name))
    assert type(optim) is kind
    group = optim.param_groups[0]
    assert len(group["params"]) == 2  # frozen ones too
    assert {k: group[k] for k in values} == values
    assert (group["lr"], group["weight_decay"]) == (LR, 5e-4)


def test_unknown_names():
    with pytest.raises(ValueError, match="adamw"):
        build_optimizer(nn.Linear(1, 1), optim_cfg("NAME", "adamx"))
    optim = build_optimizer(nn.Linear(1, 1), optim_cfg())
    with pytest.raises(ValueError, match="cosine"):
        build_lr_scheduler(optim, optim_cfg("LR_SCHEDULER", "cosin"))
    with pytest.raises(ValueError, match="WARMUP_TYPE"):
        build_lr_scheduler(optim, optim_cfg("WARMUP_EPOCH", 1, "WARMUP_TYPE", "lin"))
    with pytest.raises(TypeError, match="STEPSIZE"):
        build_lr_scheduler(optim, optim_cfg("STEPSIZE", (1.5,)))


def test_staged_lr():
    model = nn.ModuleDict({"old": nn.Linear(1, 1), "new": nn.Linear(1, 1)})
    cfg = optim_cfg("STAGED_LR", True, "NEW_LAYERS", ("new",))
    base, new = build_optimizer(model, cfg).param_groups
    assert base["lr"] == pytest.approx(LR * 0.1)
    assert new["lr"] == LR
    assert base["params"] == list(model["old"].parameters())
    with pytest.raises(TypeError):
        build_optimizer(model.parameters(), cfg)
    with pytest.warns(UserWarning, match="STAGED_LR"):
        build_optimizer(model, cfg, param_groups=[{"params": model.parameters()}])


def test_a_new_layer_that_the_model_does_not_have_is_told():
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.warns(UserWarning, match="'foo' is no layer of this model, which has 0"):
        build_optimizer(model, optim_cfg("STAGED_LR", True, "NEW_LAYERS", ("foo", "0")))
