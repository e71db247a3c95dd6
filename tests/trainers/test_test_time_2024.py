"""ZERO, TPS, O-TPT, C-TPT in two steps and SS-TPT: against plain implementations, and in their corner cases."""

from __future__ import annotations

import json

import clip
import pytest
import torch
from helpers import make_clip
from torch.nn import functional as F

from clipkit import InputError, load_clip, normalize
from tests.plain.rtpt import PlainTestTimeTuning
from tests.plain.test_time_votes import reflections, ss_loss, ss_weights, surest, tps, zero
from trainers.ctpt import VARIANTS, dispersion
from trainers.otpt import correlation
from trainers.shared.backbone import _load
from trainers.sstpt import consistency, stability
from trainers.tta.prototypes import descriptor_sentence
from trainers.tta.weak_views import weak_views
from trainers.zero import break_tie, count_votes

N = "TRAINER.TTA."


def built(tiny, folder, name, pairs=None, double=True):
    trainer = tiny.trainer(folder, name, {"DATASET.SUBSAMPLE_CLASSES": "all"} | (pairs or {}))
    trainer.set_model_mode("eval")
    if double:  # since a step of AdamW turns the last bit of a tiny gradient into its sign
        trainer.clip = trainer.clip.double()
        trainer.ctx0, trainer.logit_scale = trainer.ctx0.double(), trainer.clip.logit_scale.exp()
        trainer.mean, trainer.std = trainer.mean.double(), trainer.std.double()
        trainer.prompts.double()
        if name == "TPS":
            trainer.c = trainer.c.double()
    return trainer


@pytest.fixture(autouse=True)
def double_precision(monkeypatch):
    """The stock LayerNorm would go through fp32; and the process's CLIP, turned into fp64, is not left to others."""
    monkeypatch.setattr(clip.model.LayerNorm, "forward", torch.nn.LayerNorm.forward)
    yield
    _load.cache_clear()


def pictures(count, n):
    generator = torch.Generator().manual_seed(1)
    base = torch.rand(count, 1, 3, 16, 16, generator=generator, dtype=torch.float64)
    noise = torch.rand(count, n, 3, 16, 16, generator=generator, dtype=torch.float64)
    return (0.6 * base + 0.4 * noise).contiguous()


def features(count=12, n=20, d=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, n, d, generator=generator, dtype=torch.float64) + 0.5, dim=-1)


# ---------------------------------------------------------------------- ZERO


@pytest.mark.parametrize("temperature", ["hard", "fp16"])
def test_zero_as_the_plain_implementation(tiny, tmp_path, temperature):
    trainer = built(tiny, tmp_path, "ZERO", {"TRAINER.ZERO.TEMP": temperature})
    f = torch.cat([features(), features(seed=3)[:, :3].repeat(1, 7, 1)[:, :20]])  # the second half has ties
    with torch.no_grad():
        found, t = trainer.from_features(f), trainer.text_features()
    eps = 2.0**-10 if temperature == "fp16" else 0.0
    expected = torch.stack([zero(one, t, trainer.logit_scale.item(), eps=eps) for one in f])
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)
    assert found.sum(dim=1).round().unique().tolist() in (
        [6.0],
        [6.0, 7.0],
    )  # k = 6 votes, and one where there is a tie


def test_ties_go_to_the_surest_view_that_was_not_kept():
    votes = torch.tensor([3.0, 0.0, 3.0, 0.0])
    one = lambda c: F.one_hot(torch.tensor(c), 4).float()  # noqa: E731
    assert break_tie(votes, torch.stack([one(1), one(2), one(0)])).argmax() == 2
    assert break_tie(votes, torch.tensor([[0.1, 0.9, 0.3, 0.2]])).argmax() == 2  # prefers class 1; of the tied ones 2
    assert break_tie(votes, torch.empty(0, 4)).argmax() == 0
    assert torch.equal(break_tie(votes + one(2), torch.stack([one(0)])), votes + one(2))
    cosines = torch.tensor([[[0.3, 0.3005], [0.2, 0.1]]])
    assert count_votes(cosines, "hard").tolist() == [[1.0, 1.0]]
    equal = torch.tensor([[[0.3, 0.1, 0.3], [0.2, 0.1, 0.3], [0.2, 0.2, 0.2]]])
    torch.testing.assert_close(count_votes(equal, "hard"), torch.tensor([[0.5 + 1 / 3, 1 / 3, 1.5 + 1 / 3]]))
    limit = (equal / torch.finfo(torch.float32).eps).softmax(-1).sum(1)  # what a temperature of fp32's epsilon gives
    torch.testing.assert_close(count_votes(equal, "hard"), limit)
    soft = count_votes(cosines, "fp16")[0]
    assert soft.sum().item() == pytest.approx(2) and 0.3 < soft[0] - 1 < 0.4  # odds of e^0.512


def test_zero_keeps_a_view_of_few_and_reads_several_templates(tiny, tmp_path):
    f = features(n=3)
    trainer = built(tiny, tmp_path, "ZERO", {N + "N_VIEWS": 3})
    with torch.no_grad():
        assert trainer.from_features(f).sum(dim=1).tolist() == [1.0] * len(f)
    several = built(tiny, tmp_path, "ZERO", {"TRAINER.ZERO.TEMPLATES": "select"}, double=False)
    one = several.text_encoder.encode_texts(["itap of a striped circle.", "a origami striped circle."])
    t = several.text_features()
    assert t.shape == (5, 32) and (t[0] @ normalize(one).T > 0.5).all()
    torch.testing.assert_close(t.norm(dim=1), torch.ones(5))


def test_a_second_clip_votes_on_the_views_that_the_first_has_kept(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTPROMPT_CACHE", str(tmp_path / "cache"))
    other, wide = make_clip(tmp_path / "other.safetensors", width=128, seed=3), {N + "N_VIEWS": 12}
    pairs = wide | {"TRAINER.ZERO.VOTER_BACKBONE": other, "TRAINER.ZERO.GAMMA": 0.25}
    trainer = built(tiny, tmp_path, "ZERO", pairs, double=False)
    alone = built(tiny, tmp_path, "ZERO", wide | {"TRAINER.ZERO.GAMMA": 0.25}, double=False)
    views = pictures(6, 12).float()
    with torch.no_grad():
        before, after = trainer.respond(views, [0] * 6)
        first, _ = alone.respond(views, [0] * 6)
        logits = alone.view_logits(alone.encode_views(views), alone.text_features())
    assert torch.equal(before, first)
    second = load_clip("", str(other))
    names = [name.replace("_", " ") for name in trainer.dm.dataset.classnames]
    with torch.no_grad():
        t = F.normalize(second.encode_text(clip.tokenize([f"a photo of a {name}." for name in names])), dim=1)
        for own, logit, found in zip(views, logits, after, strict=True):
            order = surest(logit)
            g = F.normalize(second.encode_image((own[order[:3]] - trainer.mean) / trainer.std), dim=1)
            votes = torch.zeros(5)
            for row in g @ t.T:
                votes[row.argmax()] += 1
            rest = logit[order[3:]]
            torch.testing.assert_close(found, break_tie(votes, rest))
    x = views[:2, 0].clone().requires_grad_()
    assert torch.autograd.grad(trainer.pixel_logits(x, 1)[:, 0].sum(), x)[0].abs().max() > 0
    # whole runs: its own features of views are not enough, and none are kept
    assert tiny.run(tmp_path / "a", "ZERO", ("--eval-only",), pairs) == 0
    told = json.loads((tmp_path / "a" / "results.json").read_text())["test_time"]
    assert told["voter"]["backbone"] == str(other) and not list((tmp_path / "cache").glob("*.features"))
    assert tiny.run(tmp_path / "b", "ZERO", ("--eval-only",), wide) == 0 and list(
        (tmp_path / "cache").glob("*.features")
    )


def test_a_second_clip_that_does_not_fit_is_refused(tiny, tmp_path, capsys):
    for pairs, says in (
        ({"TRAINER.ZERO.VOTER_BACKBONE": "ViT-B/32"}, "ViT-B/32 (TRAINER.ZERO.VOTER_BACKBONE) reads images of 224"),
        ({"TRAINER.ZERO.VOTER_BACKBONE": "ViT-Z/1"}, "ViT-Z/1"),
        ({"TRAINER.ZERO.VOTER_BACKBONE": tiny.backbone, N + "CTX_FROM": tmp_path / "coop"}, "CTX_FROM is a context of"),
    ):
        if N + "CTX_FROM" in pairs:
            assert tiny.run(tmp_path / "coop", pairs={"OPTIM.MAX_EPOCH": 1}) == 0
            capsys.readouterr()
        assert tiny.run(tmp_path / "out", "ZERO", ("--eval-only",), pairs) == 2
        assert says in capsys.readouterr().err


# ---------------------------------------------------------------------- TPS


@pytest.mark.parametrize(
    ("steps", "shift", "film"),
    [(1, "class", False), (1, "shared", False), (3, "class", False), (1, "class", True), (3, "shared", True)],
)
def test_tps_as_the_plain_implementation(tiny, tmp_path, steps, shift, film):
    own = {"TRAINER.TPS.SHIFT": shift, "TRAINER.TPS.FILM": film}
    trainer = built(tiny, tmp_path, "TPS", {N + "STEPS": steps, **own})
    f = features()
    with torch.no_grad():
        found = trainer.from_features(f)
    scale = trainer.logit_scale.item()
    expected = torch.stack([tps(one, trainer.c, scale, steps, shift == "shared", film=film) for one in f])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    assert not torch.allclose(found, scale * f[:, 0] @ trainer.c.T, atol=1e-3)
    assert trainer.record["test_time"]["tuned_numbers"] == (160 if shift == "class" else 32) * (1 + film)


def test_a_step_of_tps_moves_by_the_sign(tiny, tmp_path):
    trainer = built(tiny, tmp_path, "TPS")
    f = features()[:, :4]
    shift = trainer.tune(f)
    gradient = trainer.gradient_batched(f, trainer.ctx0.expand(len(f), -1, -1))
    torch.testing.assert_close(shift, -5e-3 * gradient / (gradient.abs() + 1e-8), atol=1e-12, rtol=0)


def test_prototypes_of_tps(tiny, tmp_path, capsys):
    names = ["striped circle", "dotted star", "checkered house", "plain tree", "speckled fish"]
    file = tmp_path / "descriptors.json"
    file.write_text(
        json.dumps(
            {name.replace(" ", "_"): ["stripes", "a tail", "often round"][: i % 3 + 1] for i, name in enumerate(names)}
        )
    )
    given = {"TRAINER.TPS.DESCRIPTORS": file}
    kinds = ("templates", "descriptors", "micro", "macro")
    own = {kind: built(tiny, tmp_path, "TPS", {"TRAINER.TPS.PROTOTYPES": kind} | given, double=False) for kind in kinds}
    encode = own["micro"].text_encoder.encode_texts
    texts = ["dotted star, which has stripes", "dotted star, which is a tail"]
    described = normalize(encode(texts).float())
    c = {kind: trainer.prototypes()[1] for kind, trainer in own.items()}
    torch.testing.assert_close(c["descriptors"], described.mean(0))
    torch.testing.assert_close(c["micro"], (c["templates"] + described.mean(0)) / 2)
    torch.testing.assert_close(c["macro"], (80 * c["templates"] + described.sum(0)) / 82)
    assert c["templates"].norm() < 1  # the mean is not normalised before it is averaged
    torch.testing.assert_close(own["micro"].c[1], normalize(c["micro"]))
    assert descriptor_sentence("cat", "used as a pet") == "cat, which is used as a pet"
    assert descriptor_sentence("cat", "often grey") == "cat, which often grey"
    for pairs, says in (
        ({"TRAINER.TPS.PROTOTYPES": "micro"}, "needs sentences about the classes"),
        ({"TRAINER.TPS.PROTOTYPES": "micro", "TRAINER.TPS.DESCRIPTORS": tmp_path / "none.json"}, "cannot be read"),
        ({"TRAINER.TPS.PROTOTYPES": "words"}, "PROTOTYPES is 'words'"),
    ):
        assert tiny.run(tmp_path / "out", "TPS", ("--eval-only",), pairs) == 2
        assert says in capsys.readouterr().err
    file.write_text(json.dumps({names[0]: ["stripes"]}))
    with pytest.raises(InputError, match="no descriptor of 'dotted star' \\(4 of 5"):
        built(tiny, tmp_path, "TPS", {"TRAINER.TPS.PROTOTYPES": "micro"} | given)


# ---------------------------------------------------------------------- O-TPT, C-TPT


def test_correlation_is_the_distance_of_reflections():
    generator = torch.Generator().manual_seed(0)
    for classes in range(2, 21):
        t = F.normalize(
            torch.randn(classes, 24, generator=generator, dtype=torch.float64) + 0.3, dim=1
        ).requires_grad_()
        ours, theirs = correlation(t[None])[0], reflections(t)
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=0)
        a, b = (torch.autograd.grad(value, t)[0] for value in (ours, theirs))
        torch.testing.assert_close(a, b, atol=1e-9, rtol=0)
    apart = torch.eye(6, dtype=torch.float64)[None].requires_grad_()
    value = correlation(apart)
    assert value.item() == 0 and torch.autograd.grad(value.sum(), apart)[0].isfinite().all()


class PlainO(PlainTestTimeTuning):
    weight = 18.0

    def objective(self, logits):
        return super().objective(logits) + self.weight * reflections(self.encode_text())


class PlainC(PlainTestTimeTuning):
    """Two steps by one AdamW: TPT's, then the spread of the text features alone."""

    def run(self, views):
        with torch.no_grad():
            self.ctx.copy_(self.start)
        optimizer = torch.optim.AdamW([self.ctx], lr=5e-3)
        logits = self.logits(views)
        for second in (False, True):
            optimizer.zero_grad()
            t = self.encode_text()
            loss = (
                -50.0 * (t - t.mean(0)).norm(dim=1).mean() if second else self.objective(logits[self.confident(logits)])
            )
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            return self.logits(views)[0]


@pytest.mark.parametrize("method", ["OTPT", "CTPT"])
def test_tuning_as_the_plain_implementation(tiny, tmp_path, method):
    pairs = {"TRAINER.CTPT.TWO_STEP": True} if method == "CTPT" else {}
    trainer, views = built(tiny, tmp_path, method, pairs), pictures(6, 20)
    plain = {"OTPT": PlainO, "CTPT": PlainC}[method](trainer.clip, trainer.classnames, loss="marginal", ensemble="none")
    with torch.no_grad():
        found = trainer.from_features(trainer.encode_views(views))
    theirs = [plain.run((v - trainer.mean) / trainer.std) for v in views]
    expected = torch.stack([x[1] if isinstance(x, tuple) else x for x in theirs]).detach()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    if method == "CTPT":  # the second step has a number of its own
        joint = built(tiny, tmp_path / "joint", method)
        with torch.no_grad():
            assert not torch.allclose(joint.from_features(joint.encode_views(views)), found, atol=1e-3)
            t = joint.encode_contexts(trainer.tune(trainer.encode_views(views)[:, :2]))
            assert (dispersion(t) > dispersion(joint.text_features()[None])).all()


@pytest.mark.parametrize("dataset", ["Tiny", "ImageNet", *VARIANTS])
def test_otpt_has_another_lambda_on_imagenets_variants(tiny, tmp_path, dataset):
    import train

    args = tiny.arguments(tmp_path, "OTPT", (), {"DATASET.NAME": dataset})
    cfg = train.setup_cfg(train.build_parser().parse_args(args))
    assert (2.0 if dataset in VARIANTS else 18.0) == cfg.TRAINER.OTPT.LAMBDA


# ---------------------------------------------------------------------- SS-TPT


class PlainSS(PlainTestTimeTuning):
    def run(self, views, weak):
        with torch.no_grad():
            self.ctx.copy_(self.start)
            f = self.encode_image(views)
            logits = self.logits(views)
            p, q = logits.softmax(1), self.logits(weak).softmax(1)
        chosen = surest(logits)[:3]
        optimizer = torch.optim.AdamW([self.ctx], lr=5e-3)
        optimizer.zero_grad()
        ss_loss(self.logits(views)[chosen], ss_weights(f, p, q, chosen)).backward()
        optimizer.step()
        with torch.no_grad():
            return ss_weights(f, p, q, list(range(len(f)))) @ self.logits(views)


def test_sstpt_as_the_plain_implementation(tiny, tmp_path):
    trainer, views = built(tiny, tmp_path, "SSTPT"), pictures(5, 16)
    plain = PlainSS(trainer.clip, trainer.classnames)
    with torch.no_grad():
        _, found = trainer.respond(views, [3, 4, 5, 6, 7])
    scale = lambda x: (x - trainer.mean) / trainer.std  # noqa: E731
    expected = [plain.run(scale(v), scale(weak_views(v, seed))) for v, seed in zip(views, range(3, 8), strict=True)]
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-4, rtol=1e-4)
    assert trainer.views.n == 16


def test_parts_of_sstpt():
    p, q = torch.rand(2, 4, 6, dtype=torch.float64).softmax(-1).chunk(2)
    m = (p + q) / 2
    js = 0.5 * ((p * (p / m).log()).sum(-1) + (q * (q / m).log()).sum(-1))
    assert not torch.allclose(1 / stability(p, q), js, atol=1e-6)  # the divergences run the other way
    assert stability(p, p).min() > 9e7
    logits = torch.randn(1, 3, 4, dtype=torch.float64)
    assert consistency(logits[:, :1].expand(-1, 3, -1), torch.rand(1, 3, dtype=torch.float64)).abs().max() < 1e-12
    assert consistency(logits[:, :1], torch.ones(1, 1, dtype=torch.float64)).item() == 0


def test_weak_views_are_near_and_drawn_by_the_seed_alone():
    views = pictures(1, 4)[0].float()
    made = [weak_views(views, seed) for seed in range(8)]
    assert all(x.shape == views.shape and x.min() >= 0 and x.max() <= 1 for x in made)
    assert all(torch.equal(x, weak_views(views, seed)) for seed, x in enumerate(made))
    assert len({float(x.sum()) for x in made}) == 8
    flat = torch.full((1, 3, 32, 32), 0.5)
    assert max((weak_views(flat, seed)[..., 8:-8, 8:-8] - 0.5).abs().max() for seed in range(8)) < 0.15
