"""Tuning at test time: against the plain implementation, and every way to the same gradient."""

from __future__ import annotations

import math

import clip
import pytest
import torch
from torch.nn import functional as F

from clipkit import InputError, TextEncoder, tokenize
from tests.plain.rtpt import PlainTestTimeTuning
from trainers.ctpt import dispersion
from trainers.shared.backbone import _load
from trainers.tta.per_image_adamw import PerImageAdamW
from trainers.tta.view_ensemble import confident, marginal_entropy, pointwise_entropy, reliability, weighted

N = "TRAINER.TTA."
PATHS = ("batched", "vjp", "jacobian", "loop")


def built(tiny, folder, name="RTPT", pairs=None, double=True):
    """A trainer on a tiny CLIP; in fp64, since a step of AdamW turns the last bit of a tiny gradient into its sign."""
    trainer = tiny.trainer(folder, name, {"DATASET.SUBSAMPLE_CLASSES": "all"} | (pairs or {}))
    trainer.set_model_mode("eval")
    if double:
        trainer.clip = trainer.clip.double()
        trainer.ctx0, trainer.logit_scale = trainer.ctx0.double(), trainer.clip.logit_scale.exp()
        trainer.mean, trainer.std = trainer.mean.double(), trainer.std.double()
        trainer.prompts.double()
        if trainer._dense is not None:
            trainer._dense.double()
    return trainer


@pytest.fixture(autouse=True)
def double_precision(monkeypatch):
    """The stock LayerNorm would go through fp32; and the process's CLIP, turned into fp64, is not left to others."""
    monkeypatch.setattr(clip.model.LayerNorm, "forward", torch.nn.LayerNorm.forward)
    yield
    _load.cache_clear()


def features(count=5, n=30, d=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, n, d, generator=generator, dtype=torch.float64), dim=-1)


def pictures(count, n=30):
    """Views that are alike within an image, as real ones are."""
    generator = torch.Generator().manual_seed(1)
    base = torch.rand(count, 1, 3, 16, 16, generator=generator, dtype=torch.float64)
    noise = torch.rand(count, n, 3, 16, 16, generator=generator, dtype=torch.float64)
    return (0.6 * base + 0.4 * noise).contiguous()


# ---------------------------------------------------------------------- against the plain implementation


@pytest.mark.parametrize(
    ("name", "pairs", "plain"),
    [
        ("RTPT", {N + "COMPAT": "rtpt", N + "ENS_SELF_MASK": "diagonal"}, {"mask": "diagonal"}),
        ("RTPT", {N + "STEPS": 3}, {"mask": "diagonal", "steps": 3}),
        ("TPT", {N + "COMPAT": "tpt", N + "VIEW_SOURCE": "processed"}, {"loss": "marginal", "ensemble": "none"}),
    ],
)
def test_twenty_images_as_the_plain_implementation(tiny, tmp_path, name, pairs, plain):
    trainer = built(tiny, tmp_path, name, pairs)
    views = pictures(20)
    reference = PlainTestTimeTuning(trainer.clip, trainer.classnames, **plain)
    with torch.no_grad():
        before, after = (
            torch.cat(x) for x in zip(*(trainer.respond(v, [0] * len(v)) for v in views.split(8)), strict=True)
        )
    theirs = [reference.run((v - trainer.mean) / trainer.std) for v in views]
    for ours, other in zip((before, after), zip(*theirs, strict=True), strict=True):
        other = torch.stack(other).detach()
        torch.testing.assert_close(ours, other, rtol=1e-4, atol=1e-4)
        assert torch.equal(ours.argmax(1), other.argmax(1))
    assert (after - before).abs().max() > 1e-2


def test_weights_of_the_published_mask(tiny, tmp_path):
    """On the same features: rounding decides which self-similarities are masked."""
    f = F.normalize(features(3).float() + 1.5, dim=-1)
    reference = PlainTestTimeTuning.__new__(PlainTestTimeTuning)
    for mask in ("ge1", "diagonal"):
        reference.mask = mask
        expected = torch.stack([reference.weights(view) for view in f])
        torch.testing.assert_close(reliability(f, 20, 0.01, mask), expected, rtol=1e-5, atol=0)
    assert not torch.allclose(reliability(f, 20, 0.01, "ge1"), reliability(f, 20, 0.01))


# ---------------------------------------------------------------------- gradients and steps


@pytest.mark.parametrize("name", ["RTPT", "TPT", "CTPT", "OTPT"])
@pytest.mark.parametrize("count", [1, 5])
def test_all_ways_to_the_gradient_agree(tiny, tmp_path, name, count):
    trainer = built(tiny, tmp_path, name)
    f = features(count, n=6)
    v = trainer.ctx0.expand(count, -1, -1)
    with torch.no_grad():
        found = [getattr(trainer, f"gradient_{path}")(f, v) for path in PATHS]
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-10, atol=1e-12)
    assert found[0].abs().max() > 1e-4
    trainer.prompts_per_pass = 5  # one image a pass
    with torch.no_grad():
        torch.testing.assert_close(trainer.gradient_batched(f, v), found[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("path", PATHS)
def test_answers_do_not_depend_on_path_group_and_order(tiny, tmp_path, path):
    trainer = built(tiny, tmp_path, pairs={N + "GRAD_PATH": path, N + "STEPS": 2})
    plain = built(tiny, tmp_path / "plain", pairs={N + "STEPS": 2})
    f = features()
    with torch.no_grad():
        expected = torch.cat([plain.from_features(one[None]) for one in f])
        torch.testing.assert_close(trainer.from_features(f), expected, rtol=1e-7, atol=1e-7)
        torch.testing.assert_close(trainer.from_features(f.flip(0)), expected.flip(0), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("steps", [1, 3])
def test_steps_are_torch_adamw(steps):
    start = torch.randn(4, 2, 8, dtype=torch.float64)
    gradients = [torch.randn_like(start) * 10.0 ** -(3 * i) for i in range(steps)]
    ours, value = PerImageAdamW(5e-3, 0.01), start
    theirs = start.clone().requires_grad_()
    optimizer = torch.optim.AdamW([theirs], lr=5e-3)
    for gradient in gradients:
        value = ours.step(value, gradient)
        theirs.grad = gradient
        optimizer.step()
    torch.testing.assert_close(value, theirs.detach(), rtol=0, atol=1e-12)
    single = PerImageAdamW(5e-3, 0.01)
    torch.testing.assert_close(single.step(start[:1], gradients[0][:1]), ours_first(start, gradients[0])[:1])


def ours_first(start, gradient):
    """One step in closed form."""
    return start * (1 - 5e-5) - 5e-3 * gradient / (gradient.abs() + 1e-8)


# ---------------------------------------------------------------------- text


def test_any_length_of_text_is_the_same(tiny, tmp_path):
    f = features()
    auto, whole = built(tiny, tmp_path), built(tiny, tmp_path / "b", pairs={N + "TEXT_LEN": 77})
    ctx = auto.ctx0 + torch.randn(3, *auto.ctx0.shape, dtype=torch.float64) / 10
    with torch.no_grad():
        torch.testing.assert_close(auto.encode_contexts(ctx), whole.encode_contexts(ctx), rtol=0, atol=1e-12)
        torch.testing.assert_close(auto.from_features(f), whole.from_features(f), rtol=1e-7, atol=1e-7)
        texts = tokenize([f"a photo of a {name}." for name in auto.classnames])
        expected = F.normalize(auto.clip.encode_text(texts), dim=-1)
        torch.testing.assert_close(auto.text_features(), expected, rtol=0, atol=1e-12)


def test_a_text_longer_than_the_cut_is_refused(tiny, tmp_path):
    with pytest.raises(InputError, match="longest prompt has 11 tokens"):
        built(tiny, tmp_path, pairs={N + "TEXT_LEN": 8}, double=False)


def test_text_at_the_start_is_encoded_once(tiny, tmp_path, monkeypatch):
    trainer = built(tiny, tmp_path, double=False)
    calls, real = [], TextEncoder.encode
    monkeypatch.setattr(TextEncoder, "encode", lambda *a, **k: calls.append(a[1].prefix.shape[0]) or real(*a, **k))
    images, real_image = [], type(trainer.image_encoder).__call__
    monkeypatch.setattr(
        type(trainer.image_encoder), "__call__", lambda s, x, **k: images.append(len(x)) or real_image(s, x, **k)
    )
    trainer.test()
    count = len(trainer.test_loader.dataset)
    assert count == 20 and calls == [1] + [8, 8] * 2 + [4, 4]  # v0, then gradient and answer of each group
    assert sum(images) == 64 * count


# ---------------------------------------------------------------------- losses, selection, ensembles


def test_losses_by_hand():
    logits = torch.randn(2, 3, 4, dtype=torch.float64)
    p = logits.softmax(-1).tolist()
    for b in range(2):
        entropies = [-sum(x * math.log(x) for x in row) for row in p[b]]
        mean = [sum(row[c] for row in p[b]) / 3 for c in range(4)]
        assert pointwise_entropy(logits)[b].item() == pytest.approx(sum(entropies) / 3)
        assert marginal_entropy(logits)[b].item() == pytest.approx(-sum(x * math.log(x) for x in mean))


def test_dispersion_by_hand():
    t = features(2, n=4, d=3)
    for b in range(2):
        mean = t[b].mean(0)
        expected = sum(math.dist(row.tolist(), mean.tolist()) for row in t[b]) / 4
        assert dispersion(t)[b].item() == pytest.approx(expected)


@pytest.mark.parametrize(("n", "share", "size"), [(64, 0.1, 6), (9, 0.1, 1), (30, 0.1, 3), (5, 1.0, 5)])
def test_selection(n, share, size):
    logits = torch.randn(2, n, 4, dtype=torch.float64)
    chosen = confident(logits, share)
    assert chosen.shape == (2, size)
    for row, scores in zip(chosen.tolist(), logits, strict=True):
        p = scores.softmax(1)
        entropies = -(p * p.log()).sum(1)
        assert sorted(row) == sorted(entropies.argsort()[:size].tolist())
    assert confident(torch.zeros(1, 9, 3), 0.5).tolist() == [[0, 1, 2, 3]]  # ties: the first ones


def test_ensembles(tiny, tmp_path):
    f, logits = features(3), torch.randn(3, 30, 5, dtype=torch.float64)
    chosen = torch.tensor([[0, 2], [1, 3], [4, 5]])

    def of(how):
        return built(tiny, tmp_path / how, pairs={N + "ENSEMBLE": how}).ensemble(f, logits, chosen)

    assert torch.equal(of("none"), logits[:, 0])
    torch.testing.assert_close(of("mean"), logits.mean(1))
    torch.testing.assert_close(of("selected_mean")[1], (logits[1, 1] + logits[1, 3]) / 2)
    w = torch.empty(3, 30, dtype=torch.float64)
    for b in range(3):
        for i in range(30):
            others = sorted((float(f[b, i] @ f[b, j]) for j in range(30) if j != i), reverse=True)[:20]
            w[b, i] = sum(others) / 20
    w = (w / 0.01).softmax(1)
    torch.testing.assert_close(of("reliability"), torch.stack([w[b] @ logits[b] for b in range(3)]))


def test_identical_views_are_the_plain_mean(tiny, tmp_path):
    f = features(1, n=1).expand(2, 8, -1)
    w = reliability(f, 20, 0.01)
    torch.testing.assert_close(w, torch.full((2, 8), 1 / 8, dtype=torch.float64))
    logits = torch.randn(2, 8, 3, dtype=torch.float64)
    torch.testing.assert_close(weighted(w, logits), logits.mean(1))
    assert reliability(f[:, :1], 20, 0.01).tolist() == [[1.0], [1.0]]


def test_a_constant_image_under_the_published_mask(tiny, tmp_path):
    """All similarities are 1 and masked: uniform weights in place of NaN, and the record counts it."""
    trainer = built(tiny, tmp_path, pairs={N + "ENS_SELF_MASK": "ge1"}, double=False)
    one = torch.zeros(32)
    one[3] = 1.0
    f = torch.stack([one.expand(30, -1), F.normalize(features(1)[0].float(), dim=-1)])
    with torch.no_grad(), trainer.counting():
        assert trainer.from_features(f).isfinite().all()
    assert trainer.record["test_time"]["uniform_weights"] == 1
    with torch.no_grad():  # outside of a test nothing is counted
        trainer.from_features(f)
    assert trainer.counts is None and trainer.record["test_time"]["uniform_weights"] == 1
