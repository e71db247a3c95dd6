"""MMRL++: what it shares with MMRL, and what is its own."""

from __future__ import annotations

import json

import pytest
import torch

N = "TRAINER.MMRLpp."
SIZES = {"REP_LAYERS": [2, 3], "REP_DIM": 24, "N_REP_TOKENS": 3}


def test_with_beta_one_and_no_residual_it_is_mmrl(tiny, tmp_path):
    mmrl = tiny.trainer(tmp_path / "1", "MMRL", {f"TRAINER.MMRL.{k}": v for k, v in SIZES.items()})
    ours = tiny.trainer(tmp_path / "2", "MMRLpp", {N + k: v for k, v in SIZES.items()} | {N + "BETA": 1.0})
    state = {k: v.clone() for k, v in ours.model.state_dict().items()}
    start = "representation_learner.compound_rep_tokens"
    state[start] = mmrl.model.state_dict()[start]
    for side in "vt":
        first = getattr(mmrl.model.representation_learner, f"compound_rep_tokens_r2{side}proj")
        assert torch.equal(first[0].weight, first[1].weight)
        state[f"representation_learner.srra_r2{side}proj.weight"] = first[0].weight
        for i, layer in enumerate(first):
            state[f"representation_learner.srra_r2{side}proj.srra.{i}.bias"] = layer.bias
    ours.model.load_state_dict(state)
    mmrl.model.image_encoder.proj_rep.data.copy_(mmrl.image_encoder.projection())
    image, label = torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 2, 0])
    for trainer in (mmrl, ours):
        trainer.epoch = trainer.batch_idx = 0
    for (a, terms_a), (b, terms_b) in [(mmrl.loss(image, label), ours.loss(image, label))]:
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
        for name in terms_a:
            torch.testing.assert_close(terms_a[name], terms_b[name], atol=1e-5, rtol=1e-5)


def test_the_start(tiny, tmp_path):
    model = tiny.trainer(tmp_path, "MMRLpp").model
    maps = model.representation_learner.srra_r2vproj
    assert not any(layer.B.any() for layer in maps.srra) and not model.image_encoder.B.any()
    a = maps.srra[0].A
    assert a.shape == (64, 4) and 0.3 < a.abs().max() <= 0.5  # uniform over (-0.5, 0.5)
    assert all(torch.equal(layer.bias, maps.srra[0].bias) for layer in maps.srra)


def test_beta_travels_and_the_targets_own_is_said(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("trainers.mmrlpp", fromlist=["x"]).BETA_OF_TARGET, "Tiny", 0.3)
    assert tiny.run(tmp_path / "run", "MMRLpp", (), {"OPTIM.MAX_EPOCH": 1, N + "BETA": 0.8, "TASK": "CD"}) == 0
    flags = ("--eval-only", "--model-dir", tmp_path / "run", "--load-epoch", 1)
    for name, pairs in (("honest", {}), ("published", {N + "TARGET_BETA": True})):
        pairs = pairs | {"TASK": "CD", "DATASET.SUBSAMPLE_CLASSES": "all"}
        assert tiny.run(tmp_path / name, "MMRLpp", flags, pairs) == 0
    honest, published = (json.loads((tmp_path / n / "results.json").read_text()) for n in ("honest", "published"))
    assert honest["config"]["TRAINER"]["MMRLpp"]["BETA"] == 0.8 and "beta_of_the_target" not in honest
    assert published["beta_of_the_target"] == 0.3


@pytest.mark.parametrize(
    ("dataset", "task", "expected"),
    [
        ("Food101", "B2N", {N + "BETA": 0.1, N + "REG_WEIGHT": 1.0}),
        ("ImageNet", "FS", {N + "BETA": 0.9, N + "REG_WEIGHT": 0.2}),
        ("ImageNet", "CD", {N + "BETA": 0.9, N + "REG_WEIGHT": 0.1}),
        ("Food101", "CD", {}),
    ],
)
def test_settings_of_datasets(dataset, task, expected):
    from types import SimpleNamespace

    from trainers.mmrlpp import MMRLpp

    cfg = SimpleNamespace(DATASET=SimpleNamespace(NAME=dataset), TASK=task)
    assert MMRLpp.dataset_overrides(cfg) == expected


@pytest.mark.parametrize("method", ["MMRLpp", "CLIPLoRA", "TipAdapter"])
def test_the_published_scale(tiny, tmp_path, method):
    trainer = tiny.trainer(
        tmp_path, method, {f"TRAINER.{method if method == 'MMRLpp' else method.upper()}.FIXED_SCALE": True}
    )
    assert trainer.logit_scale == 100
    f = torch.nn.functional.normalize(torch.randn(2, 32), dim=1)
    torch.testing.assert_close(trainer.logits(f, f).diagonal(), torch.full((2,), 100.0))
