"""CLIP-LoRA: low-rank updates beside and within the weights, dropout, and training by steps."""

from __future__ import annotations

import json
import math

import pytest
import torch

from clipkit import InputError, normalize

N = "TRAINER.CLIPLORA."


def moved(trainer):
    noise = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in trainer.model.parameters():
            p += 0.05 * torch.randn(p.shape, generator=noise)
    return trainer


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def test_starts_at_zero_shot_clip(tiny, tmp_path):
    """B = 0."""
    trainer = tiny.trainer(tmp_path, "CLIPLoRA")
    texts = [f"a photo of a {name}." for name in trainer.classnames]
    trainer.set_model_mode("eval")
    with torch.no_grad():
        expected = trainer.logits(trainer.frozen_image(images()), trainer.frozen_text(texts))
        torch.testing.assert_close(trainer.model_inference(images()), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("encoder, layers", [("both", 6), ("text", 3), ("vision", 3)])
def test_merged_equals_unmerged(tiny, tmp_path, encoder, layers):
    """In training without dropout the updates stand beside the weights, at test within them; and only in one tower,
    or in some of the parts, where that is asked for."""
    pairs = {N + "DROPOUT": 0.0, N + "ENCODER": encoder, N + "PARAMS": ("q", "v"), N + "R": 3}
    trainer = moved(tiny.trainer(tmp_path, "CLIPLoRA", pairs))
    assert len(trainer.model.state_dict()) == layers * 2 * 2
    before = {name: p.clone() for name, p in trainer.clip.named_parameters()}
    found = {}
    with torch.no_grad():
        for mode in ("train", "eval"):
            trainer.set_model_mode(mode)
            found[mode] = trainer.encode_image(images()), trainer.encode_text()
    for ours, theirs in zip(found["train"], found["eval"], strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=0)
    frozen = trainer.frozen_image(images()), trainer.frozen_text([f"a photo of a {n}." for n in trainer.classnames])
    changed = [not torch.allclose(a, b, atol=1e-3) for a, b in zip(found["eval"], frozen, strict=True)]
    assert changed == [encoder != "text", encoder != "vision"]
    assert all(torch.equal(p, before[name]) for name, p in trainer.clip.named_parameters())


def test_dropout_draws_for_each_class_and_part(tiny, tmp_path):
    """A beginning that classes share is computed for each; the draw depends on seed and step; at test there is none."""
    trainer = moved(tiny.trainer(tmp_path, "CLIPLoRA", {N + "DROPOUT": 0.5}))
    trainer.set_model_mode("train")
    assert "prefix" not in trainer.adapted()[0].savings and "prefix" in trainer.text_encoder.savings
    layer = next(trainer.model.children())
    x = torch.ones(1, 1, 64)
    torch.manual_seed(0)
    q, k = (layer.added(x, part, part + 1) for part in (0, 1))
    low = 0.5 * torch.nn.functional.linear(x, layer.q_proj.w_lora_A)
    torch.manual_seed(0)
    both = layer.added(x, 0, 2)
    assert torch.equal(both, torch.cat([q, k], dim=-1)) and not torch.allclose(q, low @ layer.q_proj.w_lora_B.T)
    trainer.epoch, found = 0, []
    for trainer.batch_idx in (0, 0, 1):
        found.append(trainer.loss(images(), torch.arange(4) % 3)[1]["ce"].item())
    assert found[0] == found[1] != found[2]
    same = normalize(trainer.adapted()[0].encode(trainer.prepare_names(["tree", "tree"])).float())
    assert not torch.allclose(same[0], same[1], atol=1e-3)
    trainer.set_model_mode("eval")
    assert torch.equal(trainer.encode_text(), trainer.encode_text())
    assert "prefix" in trainer.adapted()[0].savings


def test_mean_of_dropped_updates_is_the_update(tiny, tmp_path):
    layer = next(moved(tiny.trainer(tmp_path, "CLIPLoRA", {N + "DROPOUT": 0.25})).model.children())
    x = torch.randn(1, 64, generator=torch.Generator().manual_seed(0)).expand(40_000, 1, 64)
    torch.manual_seed(0)
    with torch.no_grad():
        mean, whole = layer.added(x, 0, 3).mean(0), layer.eval().added(x[:1], 0, 3)[0]
        torch.testing.assert_close(mean, whole, atol=0.02 * whole.abs().max().item(), rtol=0)
        merged = layer.merge(torch.zeros(3 * 64, 64))
        torch.testing.assert_close(x[:1, 0] @ merged.T, whole, atol=1e-6, rtol=1e-5)
        s = layer.s
    assert s == pytest.approx(1 / math.sqrt(2))


# ---------------------------------------------------------------------- by steps


def test_rate_steps_and_batches(tiny, tmp_path):
    """K shots: 3 K steps here; every image once a pass, a last batch of what is left; cosine from LR to 1e-6."""
    pairs = {N + "STEPS": 0, N + "STEPS_PER_SHOT": 3, "DATALOADER.TRAIN_X.BATCH_SIZE": 5, "OPTIM.MAX_EPOCH": 5}
    trainer = tiny.trainer(tmp_path, "CLIPLoRA", pairs | {"OPTIM.LR": 0.01})
    rates, batches, step = [], [], trainer.forward_backward

    def noted(batch):
        rates.append(trainer.get_current_lr())
        batches.append(batch["index"].tolist())
        return step(batch)

    trainer.forward_backward = noted
    trainer.train()
    assert len(rates) == trainer.total_steps() == 12
    expected = [1e-6 + (0.01 - 1e-6) / 2 * (1 + math.cos(math.pi * t / 12)) for t in range(13)]
    assert rates == pytest.approx(expected[:12], rel=1e-9)
    assert trainer.get_current_lr() == pytest.approx(1e-6)
    assert [len(b) for b in batches] == 4 * [5, 5, 2]
    passes = [sum(batches[i : i + 3], []) for i in range(0, 12, 3)]
    assert all(sorted(order) == list(range(12)) for order in passes)
    assert len({tuple(order) for order in passes}) == 4


@pytest.mark.parametrize(
    "pairs, said",
    [
        ({N + "STEPS": 0, "DATASET.NUM_SHOTS": -1}, "give TRAINER.CLIPLORA.STEPS"),
        ({N + "STEPS": 2}, "OPTIM.MAX_EPOCH is 3, but CLIPLoRA has 2 steps"),
        ({"OPTIM.LR_SCHEDULER": "single_step"}, "leave it at cosine"),
    ],
)
def test_what_cannot_be_is_one_sentence(tiny, tmp_path, pairs, said):
    with pytest.raises(InputError, match=said):
        tiny.trainer(tmp_path, "CLIPLoRA", pairs).train()


def test_another_division_into_epochs_does_not_go_on(tiny, tmp_path, capsys):
    assert tiny.run(tmp_path / "run", "CLIPLoRA") == 0
    for file in ("config.yaml", "results.json"):
        (tmp_path / "run" / file).unlink()
    assert tiny.run(tmp_path / "run", "CLIPLoRA", pairs={"OPTIM.MAX_EPOCH": 4}) == 2
    assert "9 in 3 epochs" in capsys.readouterr().err


def test_a_file_of_the_authors(tiny, tmp_path):
    """Nested by layer and matrix, with rank and alpha beside."""
    assert tiny.run(tmp_path / "run", "CLIPLoRA", pairs={N + "ALPHA": 3.0, "OPTIM.MAX_EPOCH": 1}) == 0
    state = torch.load(tmp_path / "run" / "lora" / "model.pth.tar-1", weights_only=True)["state_dict"]
    weights: dict = {}
    for key, value in state.items():
        layer, matrix, name = key.split(".")
        weights.setdefault(layer, {}).setdefault(matrix, {})[name] = value
    about = {"r": 2, "alpha": 3, "encoder": "both", "params": ["q", "k", "v"], "position": "all"}
    (tmp_path / "theirs" / "lora").mkdir(parents=True)
    torch.save({"weights": weights, "metadata": about}, tmp_path / "theirs" / "lora" / "model.pth.tar-1")
    results = []
    for part in ("run", "theirs"):
        flags = ("--eval-only", "--model-dir", tmp_path / part, "--load-epoch", 1)
        assert tiny.run(tmp_path / f"test {part}", "CLIPLoRA", flags) == 0
        record = json.loads((tmp_path / f"test {part}" / "results.json").read_text())
        assert record["config"]["TRAINER"]["CLIPLORA"]["ALPHA"] == 3
        results.append(record["results"])
    assert results[0] == results[1]
