"""DP-SEP against its equations, element by element."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from clipkit import TextEncoder
from trainers.label_noise.derangement import derangement

N = "TRAINER.DPSEP."
OFF = {N + key: False for key in ("USE_APOS", "USE_ANEG", "USE_MC", "USE_SEP")}


def built(tiny, folder, pairs=None, epoch: int = 0):
    trainer = tiny.trainer(folder, "DPSEP", pairs)
    trainer.epoch, trainer.batch_idx, trainer.num_batches = epoch, 0, 10**6
    return trainer


def batch():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(4, 3, 16, 16, generator=generator), torch.tensor([0, 1, 2, 0])


def features(trainer, image):
    """f, z^pos, z^neg through the stock towers, prompt by prompt."""
    clip, found = trainer.clip, [F.normalize(trainer.clip.encode_image(image), dim=-1)]
    for ctx, prompts in (
        (trainer.model.ctx_pos, trainer.model.prompts),
        (trainer.model.ctx_neg, trainer.model.negative_prompts),
    ):
        dense = prompts(ctx)
        rows = []
        for row, eot in zip(dense, prompts.eot, strict=True):
            x = row[None] + clip.positional_embedding[: len(row)]
            pad = clip.positional_embedding[len(row) :][None].expand(1, -1, -1)  # what stands after EOT does not matter
            x = clip.transformer(torch.cat([x, pad], 1).permute(1, 0, 2)).permute(1, 0, 2)
            rows.append(clip.ln_final(x)[0, eot] @ clip.text_projection)
        found.append(F.normalize(torch.stack(rows), dim=-1))
    return found


@pytest.mark.parametrize(("epoch", "lengths"), [(0, {}), (2, {}), (1, {N + "N_CTX": 4, N + "N_CTX_NEG": 6})])
def test_terms_are_equations_2_to_6(tiny, tmp_path, epoch, lengths):
    trainer = built(tiny, tmp_path, lengths | {N + "SEP_SIGMA": 0.0, N + "BETA": 0.7}, epoch)
    trainer.max_epoch = 3
    image, label = batch()
    logits, terms = trainer.loss(image, label)
    f, z_pos, z_neg = features(trainer, image)
    scale = trainer.clip.logit_scale.exp()
    p_pos, p_neg = (scale * f @ z_pos.T).softmax(1), (scale * f @ z_neg.T).softmax(1)
    pi = trainer.wrong_partner().tolist()
    expected = dict.fromkeys(("ce", "sep", "a_pos", "a_neg", "m_c"), 0.0)
    for n, y in enumerate(label.tolist()):
        s_pos, s_neg = p_pos[n, y].item(), p_neg[n, pi[y]].item()
        expected["ce"] -= math.log(s_pos) / 4
        expected["sep"] += 0.5 * -sum(p * math.log(p) for p in p_pos[n].tolist()) / 4
        expected["a_pos"] += max(0.0, 0.9 - s_pos) / 4
        expected["a_neg"] += (0.1 + 0.9 * (epoch + 1) / 3) * max(0.0, s_neg - s_pos + 0.5) / 4
        expected["m_c"] += 0.7 * max(0.0, s_neg - s_pos) / 4
    assert {k: v.item() for k, v in terms.items()} == pytest.approx(expected, abs=1e-4)
    torch.testing.assert_close(logits, scale * f @ z_pos.T, atol=1e-4, rtol=1e-4)


def test_both_polarities_are_one_text_batch(tiny, tmp_path, monkeypatch):
    trainer = built(tiny, tmp_path)
    calls, real = [], TextEncoder.encode
    monkeypatch.setattr(TextEncoder, "encode", lambda *a, **k: calls.append(a) or real(*a, **k))
    trainer.loss(*batch())
    assert len(calls) == 1
    z_pos, z_neg = trainer.encode_both()
    torch.testing.assert_close(z_pos, trainer.encode_text(), atol=1e-5, rtol=0)
    assert not torch.allclose(z_pos, z_neg)


def test_the_worked_example(tiny, tmp_path, monkeypatch):
    """s_pos = 0.2, s_neg = 0.4: A_pos 0.7, A_neg 0.7, M_C 0.2."""
    trainer = built(tiny, tmp_path, {N + "ALPHA_MIN": 1.0})
    trainer.max_epoch = 3
    pair = torch.tensor([0.2]), torch.tensor([0.4])
    monkeypatch.setattr("trainers.dpsep.pair_similarities", lambda *args: pair)
    z = F.normalize(torch.randn(3, 32), dim=-1)
    terms = trainer.alignment_terms(z[:1], z, z, torch.tensor([0]))
    assert [terms[k].item() for k in ("a_pos", "a_neg", "m_c")] == pytest.approx([0.7, 0.7, 0.2])


def test_all_switches_off_is_coop_to_the_last_bit(tiny, tmp_path):
    pairs = OFF | {N + "SEP_LAMBDA": 0.0, N + "SEP_SIGMA": 0.0}
    assert tiny.run(tmp_path / "dpsep", "DPSEP", pairs=pairs) == 0
    assert tiny.run(tmp_path / "coop", "CoOp") == 0
    ours, coop = (
        torch.load(tmp_path / name / "prompt_learner" / "model.pth.tar-3", weights_only=True)["state_dict"]
        for name in ("dpsep", "coop")
    )
    assert torch.equal(ours["ctx_pos"], coop["ctx"])


def test_both_signs_of_the_entropy_term(tiny, tmp_path):
    values = []
    for sign in ("printed", "intent"):
        trainer = built(tiny, tmp_path, {N + "SEP_SIGN": sign, N + "SEP_SIGMA": 0.0})
        values.append(trainer.loss(*batch())[1]["sep"].item())
    assert values[0] == pytest.approx(-values[1]) and values[0] > 0


@pytest.mark.parametrize("shape", ["elementwise", "scalar"])
@pytest.mark.parametrize("form", ["dist", "label"])
def test_perturbation(tiny, tmp_path, shape, form):
    """delta as drawn: the term of Eq. 5 with it, added up by hand; another draw at the next step."""
    trainer = built(tiny, tmp_path, {N + "DELTA_SHAPE": shape, N + "SEP_FORM": form, N + "SEP_SIGMA": 0.5})
    image, label = batch()
    logits, terms = trainer.loss(image, label)
    log_p = logits.log_softmax(1)
    if form == "label":
        log_p = log_p.gather(1, label[:, None])
    delta = trainer.delta(log_p)
    assert delta.shape == (log_p.shape if shape == "elementwise" else (4, 1))
    expected = -0.5 * ((log_p.exp() + delta) * log_p).sum(1).mean()
    torch.testing.assert_close(terms["sep"], expected, atol=1e-5, rtol=1e-4)
    trainer.batch_idx = 1
    assert not torch.equal(trainer.delta(log_p), delta)


@pytest.mark.parametrize(
    ("mode", "same_step", "same_epoch"),
    [("iter", False, False), ("epoch", True, False), ("fixed", True, True), ("shift", True, True)],
)
def test_how_often_the_pairing_is_drawn(tiny, tmp_path, mode, same_step, same_epoch):
    trainer = built(tiny, tmp_path, {N + "PI_MODE": mode, "DATASET.SUBSAMPLE_CLASSES": "all"})

    def drawn(epoch: int, step: int) -> list[int]:
        trainer.epoch, trainer.batch_idx = epoch, step
        return trainer.wrong_partner().tolist()

    steps = [drawn(0, i) for i in range(8)]
    epochs = [drawn(i, 0) for i in range(8)]
    assert (len(set(map(tuple, steps))) == 1) == same_step and (len(set(map(tuple, epochs))) == 1) == same_epoch
    assert drawn(0, 0) == steps[0] and all(i != p for row in steps for i, p in enumerate(row))
    if mode == "shift":
        assert steps[0] == [1, 2, 3, 4, 0]


@pytest.mark.parametrize("classes", [2, 3, 37])
def test_derangements_have_no_fixed_point_and_are_uniform(classes):
    counts = torch.zeros(classes, classes)
    for seed in range(10000 if classes < 37 else 1000):
        pi = derangement(classes, seed)
        assert sorted(pi.tolist()) == list(range(classes))
        counts[torch.arange(classes), pi] += 1
    assert counts.diagonal().sum() == 0
    shares = counts[~torch.eye(classes, dtype=torch.bool)] / counts.sum(1)[0]
    assert (shares - 1 / (classes - 1)).abs().max() < 0.05
    with pytest.raises(ValueError, match="at least two classes"):
        derangement(1, 0)


@pytest.mark.parametrize(
    "pairs",
    [
        {N + "MC_SIM": "cosine"},
        {N + "SIM_NORM": "pair"},
        {N + "REDUCTION": "sum"},
        {N + "INFER": "pos_minus_neg"},
        {N + "SIM_SCALE": 10.0},
        {N + "PAR_WEIGHT": 2.0},
    ],
)
def test_options_matter(tiny, tmp_path, pairs):
    image, label = batch()
    plain, other = built(tiny, tmp_path), built(tiny, tmp_path, pairs)
    for trainer in (plain, other):
        trainer.max_epoch = 3
        trainer.set_model_mode("eval")
    if N + "INFER" in pairs:
        z_pos, z_neg = other.encode_both()
        f = other.encode_image(image)
        expected = other.logits(f, z_pos).softmax(1) - other.logits(f, z_neg).softmax(1)
        torch.testing.assert_close(other.model_inference(image), expected, atol=1e-5, rtol=1e-4)
        return
    a, b = (sum(t.loss(image, label)[1].values()) for t in (plain, other))
    assert abs(a - b) > 1e-4


def test_learns_two_contexts_alone(tiny, tmp_path):
    trainer = built(tiny, tmp_path)
    assert {k: tuple(v.shape) for k, v in trainer.model.state_dict().items()} == {
        "ctx_pos": (16, 64),
        "ctx_neg": (16, 64),
    }
    sum(trainer.loss(*batch())[1].values()).backward()
    assert all(p.grad.abs().max() > 0 for p in trainer.model.parameters())
    assert all(p.grad is None for p in trainer.clip.parameters())
