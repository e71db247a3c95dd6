"""Training against attacks: each method's loss, gradients and pictures against a plain implementation of its own."""

from __future__ import annotations

import json

import pytest
import torch
from helpers import METHODS
from torch.nn import functional as F

from clipkit import ImageEncoder, InputError, normalize
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import base_seed, stream_seed
from trainers.adversarial import adversarial
from trainers.coop import CoOp
from trainers.parts.training_attack import CONFIG_DEFAULTS, TrainingAttack, attack_seeds, eps_of_tower
from trainers.zsclip import ZeroshotCLIP

A = "TRAIN_ATTACK."
DEEP = {"TRAINER.FAP.PROMPT_DEPTH": 3}
NEW = ("APT", "CoOpAT", "MaPLeAT", "ANPromptAT", "FAP", "AdvMaPLe", "AdvIVLP", "AdvVPT", "AdvPT")
FIT = {
    "MaPLeAT": {"TRAINER.MAPLE.PROMPT_DEPTH": 3},
    "ANPromptAT": {"TRAINER.ANPROMPT.IN_LAYERS": [2, 3], "TRAINER.ANPROMPT.N_TOKENS": 3},
    "AdvIVLP": {"TRAINER.IVLP.PROMPT_DEPTH_VISION": 3, "TRAINER.IVLP.PROMPT_DEPTH_TEXT": 3},
    "AdvVPT": {"TRAINER.VPT.PROMPT_DEPTH_VISION": 3}, "FAP": DEEP, "AdvMaPLe": DEEP,
}  # fmt: skip


def built(tiny, folder, name="APT", pairs=None):
    pairs = {"DATASET.SUBSAMPLE_CLASSES": "all"} | FIT.get(name, {}) | (pairs or {})
    trainer = tiny.trainer(folder, name, pairs)
    trainer.set_model_mode("train")
    trainer.epoch = trainer.batch_idx = 0
    if name.startswith("ANPrompt"):
        trainer.make_noise_ctx()
    torch.manual_seed(5)
    with torch.no_grad():  # away from the start, where attacks have small gradients
        for p in trainer.model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return trainer


def batch(trainer, size=4):
    """Pictures of 8 bits, normalised; their labels and indices."""
    generator = torch.Generator().manual_seed(3)
    u8 = torch.randint(0, 256, (size, 3, 16, 16), generator=generator)
    x = u8.float() / 255
    found = {"img": (x - trainer.mean) / trainer.std, "label": torch.arange(size) % 3, "index": torch.arange(size) + 7}
    return x, found


def draws(trainer, x, items):
    seeds = [stream_seed(base_seed(trainer.cfg), "train attack", 0, int(i)) for i in items]
    return torch.stack([torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(s)) for s in seeds])


def step(trainer, found):
    """(loss, {name: gradient}) of a batch."""
    image, label, *more = trainer.parse_batch_train(found)
    trainer.model.zero_grad(set_to_none=True)
    _, terms = trainer.loss(image, label, *more)
    assert all(p.grad is None for p in trainer.model.parameters())  # the attack leaves nothing behind
    loss = sum(terms.values())
    loss.backward()
    return loss.detach(), {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None}


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-3, atol=1e-5)


# ---------------------------------------------------------------------- APT


class PlainAPT:
    """CoOp's context on CLIP by its own modules, attacked as the paper says."""

    def __init__(self, trainer):
        self.trainer, self.clip, self.ctx = trainer, trainer.clip, trainer.model.ctx.detach().clone().requires_grad_()

    def text(self, ctx):
        names = [name.replace("_", " ") for name in self.trainer.dm.dataset.classnames]
        import clip

        tokens = clip.tokenize([" ".join(["X"] * len(ctx)) + f" {name}." for name in names])
        e = self.clip.token_embedding(tokens)
        x = torch.cat([e[:, :1], ctx.expand(len(names), -1, -1), e[:, 1 + len(ctx) :]], dim=1)
        x = (x + self.clip.positional_embedding).permute(1, 0, 2)
        x = self.clip.ln_final(self.clip.transformer(x).permute(1, 0, 2))
        return F.normalize(x[torch.arange(len(names)), tokens.argmax(-1)] @ self.clip.text_projection, dim=1)

    def loss(self, x01, label, t):
        f = F.normalize(self.clip.encode_image((x01 - self.trainer.mean) / self.trainer.std), dim=1)
        return F.cross_entropy(self.trainer.logit_scale * f @ t.T, label)

    def run(self, x, label, delta, eps, alpha, steps, prompt, size):
        start = self.ctx.detach().clone()
        raw = self.trainer.dm.dataset.classnames
        for _ in range(steps):
            seen = (x + delta).clamp(0, 1).detach().requires_grad_()
            if prompt == "fixed":
                fixed = self.trainer.text_encoder.encode_texts([f"a photo of a {name}" for name in raw])
                t = F.normalize(fixed, dim=1)
            else:
                t = self.text(self.ctx)
            self.ctx.grad = None
            self.loss(seen, label, t).backward()
            delta = (delta + alpha * seen.grad.sign()).clamp(-eps, eps)
            if prompt == "perturbed":
                with torch.no_grad():
                    self.ctx.add_(self.ctx.grad, alpha=size)
        with torch.no_grad():
            self.ctx.copy_(start)
        self.ctx.grad = None
        loss = self.loss((x + delta).clamp(0, 1), label, self.text(self.ctx))
        loss.backward()
        return loss.detach(), self.ctx.grad


@pytest.mark.parametrize("prompt", ["current", "fixed", "perturbed"])
def test_apt_as_the_plain_implementation(tiny, tmp_path, prompt):
    size = 0.5 if prompt == "perturbed" else 0.0
    trainer = built(tiny, tmp_path, "APT", {A + "PROMPT": prompt, A + "PROMPT_STEP": size})
    x, found = batch(trainer)
    before = trainer.model.ctx.detach().clone()
    loss, gradients = step(trainer, found)
    assert torch.equal(trainer.model.ctx, before)  # a perturbed context is put back exactly
    delta = 4 / 255 * (2 * draws(trainer, x, found["index"]) - 1)
    expected, gradient = PlainAPT(trainer).run(x, found["label"], delta, 4 / 255, 2.67 / 255, 3, prompt, size)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    same(gradients, {"ctx": gradient})
    told = trainer.record["train_attack"]
    assert (told["eps"], told["alpha"], told["steps"]) == pytest.approx((4, 2.67, 3))
    assert (told["loss"], told["start"], told["prompt"]) == ("ce", "uniform", prompt)


def test_the_prompt_under_attack_matters(tiny, tmp_path):
    losses = []
    for prompt, size in (("current", 0.0), ("fixed", 0.0), ("perturbed", 2.0)):
        trainer = built(tiny, tmp_path, "APT", {A + "PROMPT": prompt, A + "PROMPT_STEP": size, A + "EPS": 16})
        losses.append(step(trainer, batch(trainer)[1])[0].item())
    assert len(set(losses)) == 3 and losses[0] > losses[1]  # whoever is attacked is hurt most
    still = built(tiny, tmp_path, "APT", {A + "PROMPT": "perturbed"})
    moving = built(tiny, tmp_path, "APT", {})
    torch.testing.assert_close(step(still, batch(still)[1])[0], step(moving, batch(moving)[1])[0], rtol=1e-6, atol=0)


def test_apt_at_eps_0_is_coop(tiny, tmp_path):
    """A step bit for bit; a run up to rounding, since CoOp's may go on features of crops that were encoded together."""
    trainer = built(tiny, tmp_path / "t", "APT", {A + "EPS": 0.0})
    image, label, items = trainer.parse_batch_train(batch(trainer)[1])
    with trainer.one_step():
        assert torch.equal(trainer.attacked(image, label, items), image)
    assert torch.equal(trainer.loss(image, label, items)[0], CoOp.loss(trainer, image, label)[0])
    for name, pairs in (("APT", {A + "EPS": 0.0}), ("CoOp", {})):
        assert tiny.run(tmp_path / name, name, pairs=pairs | {"OPTIM.MAX_EPOCH": 2}) == 0
    a, b = (
        torch.load(tmp_path / name / "prompt_learner" / "model.pth.tar-2", weights_only=True)["state_dict"]["ctx"]
        for name in ("APT", "CoOp")
    )
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_coop_against_attacks_is_apt(tiny, tmp_path):
    steps = [step(trainer, batch(trainer)[1]) for trainer in (built(tiny, tmp_path / n, n) for n in ("APT", "CoOpAT"))]
    assert torch.equal(steps[0][0], steps[1][0]) and torch.equal(steps[0][1]["ctx"], steps[1][1]["ctx"])


@pytest.mark.parametrize("name", ["APT", "MaPLeAT", "FAP", "AdvMaPLe"])
def test_one_text_forward_is_enough(tiny, tmp_path, monkeypatch, name):
    trainer = built(tiny, tmp_path, name)
    _, found = batch(trainer)
    calls, encode = [], type(trainer).host.encode_names

    def counted(self, prepared):
        calls.append(1)
        return encode(self, prepared)

    monkeypatch.setattr(type(trainer).host, "encode_names", counted)
    loss, gradients = step(trainer, found)
    assert len(calls) == 1
    monkeypatch.setattr(trainer, "reuse_text", False, raising=False)
    other, each = step(trainer, found)
    assert len(calls) > 3
    torch.testing.assert_close(loss, other, rtol=1e-6, atol=1e-6)
    same(gradients, each)


# ---------------------------------------------------------------------- FAP, AdvMaPLe


def two_steps(trainer, x, found, both, kl):
    """Pictures after PGD of two steps of eps 1, up the KL from the clean prediction, or the cross-entropy."""
    eps, clean = 1 / 255, both(x)[0].softmax(1).detach()
    seen = (x + eps * (2 * draws(trainer, x, found["index"]) - 1)).clamp(0, 1)
    for _ in range(2):
        leaf = seen.detach().requires_grad_()
        q = both(leaf)[0]
        loss = F.kl_div(q.log_softmax(1), clean, reduction="sum") if kl else F.cross_entropy(q, found["label"])
        g = torch.autograd.grad(loss, leaf)[0]
        seen = (x + (seen + eps * g.sign() - x).clamp(-eps, eps)).clamp(0, 1)
    return seen


@pytest.mark.parametrize("name", ["FAP", "AdvMaPLe"])
def test_fap_and_advmaple_as_plain_formulas(tiny, tmp_path, name):
    trainer = built(tiny, tmp_path, name)
    x, found = batch(trainer)
    label = found["label"]
    loss, gradients = step(trainer, found)
    learner = trainer.model.prompt_learner
    image_encoder = ImageEncoder(trainer.clip)

    def both(x01):
        prompts = {
            1: learner.proj(learner.ctx),
            2: learner.compound_prompts_image[0],
            3: learner.compound_prompts_image[1],
        }
        f = F.normalize(image_encoder((x01 - trainer.mean) / trainer.std, replace=prompts), dim=1)
        deep = {
            2 + i: map_(p)
            for i, (map_, p) in enumerate(
                zip(learner.compound_prompt_projections, learner.compound_prompts_image, strict=True)
            )
        }
        t = trainer.text_encoder.encode(learner.prompts.split(learner.ctx), replace=deep)
        return trainer.logit_scale * f @ F.normalize(t, dim=1).T, f

    z, f = both(x)
    p = z.softmax(1)
    z_adv, f_adv = both(two_steps(trainer, x, found, both, name != "AdvMaPLe"))
    if name == "AdvMaPLe":
        expected = F.cross_entropy(z_adv, label)
    else:
        kl = (p * (p.log() - z_adv.log_softmax(1))).sum(1)
        cos = F.cosine_similarity(f, f_adv, dim=1)
        expected = F.cross_entropy(z, label) + 1.5 * (kl * (1 + cos)).mean()
    trainer.model.zero_grad(set_to_none=True)
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=1e-5)
    same(gradients, {n: q.grad for n, q in trainer.model.named_parameters() if q.grad is not None})


@pytest.mark.parametrize("name", ["AdvIVLP", "AdvMaPLe", "CoOpAT"])
def test_any_host_by_faps_loss(tiny, tmp_path, name):
    """AdvVLP as its code has it by another setting: the formula on the pictures that an attack on the KL finds."""
    trainer = built(tiny, tmp_path, name, {A + "OBJECTIVE": "fap", A + "PRESET": "advmaple", A + "LAMBDA": 0.7})
    x, found = batch(trainer)
    loss, gradients = step(trainer, found)
    told = trainer.record["train_attack"]
    assert (told["loss"], told["objective"], told["lambda"]) == ("kl", "fap", 0.7)

    def both(x01):
        f = trainer.image_encoder if name == "CoOpAT" else trainer.encode_image
        f = F.normalize(f((x01 - trainer.mean) / trainer.std), dim=1)
        return trainer.logit_scale * f @ trainer.encode_text().T, f

    z, f = both(x)
    p = z.softmax(1)
    z_adv, f_adv = both(two_steps(trainer, x, found, both, True))
    kl = (p * (p.log() - z_adv.log_softmax(1))).sum(1)
    expected = F.cross_entropy(z, found["label"]) + 0.7 * (kl * (1 + F.cosine_similarity(f, f_adv, dim=1))).mean()
    trainer.model.zero_grad(set_to_none=True)
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=1e-5)
    same(gradients, {n: q.grad for n, q in trainer.model.named_parameters() if q.grad is not None})
    assert built(tiny, tmp_path, name, {A + "OBJECTIVE": "fap", A + "LOSS": "ce"}).inner.loss == "ce"


def test_faps_loss_on_advmaple_is_fap(tiny, tmp_path):
    ours = built(tiny, tmp_path / "a", "AdvMaPLe", {A + "OBJECTIVE": "fap"})
    fap = built(tiny, tmp_path / "b", "FAP")
    (a, g), (b, h) = (step(trainer, batch(trainer)[1]) for trainer in (ours, fap))
    assert torch.equal(a, b) and all(torch.equal(g[key], h[key]) for key in h)


def test_faps_loss_needs_one_answer(tiny, tmp_path, capsys):
    assert tiny.run(tmp_path / "out", "ANPromptAT", pairs=FIT["ANPromptAT"] | {A + "OBJECTIVE": "fap"}) == 2
    assert "TRAIN_ATTACK.OBJECTIVE fap compares image features with class features" in capsys.readouterr().err


def test_fap_pulls_predictions_together_and_pushes_features_apart():
    from trainers.parts.aware_loss import aware_divergence

    z = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    f = normalize(torch.randn(3, 8, dtype=torch.float64)).requires_grad_()
    assert aware_divergence(z, z, f, f).item() == 0
    other = torch.randn(3, 5, dtype=torch.float64)
    kl = F.kl_div(other.log_softmax(1), z.softmax(1), reduction="batchmean")
    assert aware_divergence(z, other, f, f).item() == pytest.approx(2 * kl.item())
    assert aware_divergence(z, other, f, -f).item() == pytest.approx(0, abs=1e-12)
    towards = torch.autograd.grad(aware_divergence(z, other, f, f.detach()), (z, f))
    assert towards[0].abs().max() > 0 and towards[1].abs().max() > 0  # through the clean branch, too


def test_numbers_and_names_of_fap(tiny, tmp_path):
    from trainers.parts.image_to_text import PromptLearner

    class Prompts(torch.nn.Module):
        pass

    assert sum(p.numel() for p in PromptLearner(torch.zeros(2, 512), Prompts(), 768, 9).parameters()) == 3_557_120
    trainer = built(tiny, tmp_path, "FAP")
    keys = set(trainer.model.state_dict())
    assert keys == {"prompt_learner.ctx", "prompt_learner.proj.weight", "prompt_learner.proj.bias"} | {
        f"prompt_learner.{name}" for i in range(2)
        for name in [f"compound_prompts_image.{i}"]
        + [f"compound_prompt_projections.{i}.{w}" for w in ("weight", "bias")]
    }  # fmt: skip
    own = built(tiny, tmp_path / "own", "FAP", {"TRAINER.FAP.CTX_TEMPLATE": "fap"})
    assert own.model.prompt_learner.prompts.texts[0] == "a photo of a {}. striped circle."


# ---------------------------------------------------------------------- AdvPT


def test_advpt_attacks_embeddings_as_the_plain_formula(tiny, tmp_path):
    trainer = built(tiny, tmp_path, "AdvPT")
    x = torch.randint(0, 256, (3, 3, 16, 16), generator=torch.Generator().manual_seed(3)).float() / 255
    found = trainer.attack_embeddings(x, [1, 2, 3])
    drawn = torch.stack([torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(s)) for s in (1, 2, 3)])
    delta, eps = 8 / 255 * drawn, 8 / 255
    target = trainer.embed(x).softmax(1).detach()
    for i in range(10):
        seen = (x + delta if i == 0 else (x + delta).clamp(0, 1)).requires_grad_()
        loss = (target * (target.log() - trainer.embed(seen).log_softmax(1))).sum(1).mean()
        delta = (delta + 1.25 * eps / 10 * torch.autograd.grad(loss, seen)[0].sign()).clamp(-eps, eps)
        delta = (x + delta).clamp(0, 1) - x
    torch.testing.assert_close(found, trainer.embed(x + delta).detach(), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(found, trainer.embed(x), atol=1e-3)


def test_advpt_trains_on_its_bank_and_on_no_picture(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTPROMPT_CACHE", str(tmp_path / "bank"))
    trainer = built(tiny, tmp_path, "AdvPT")
    key = trainer.bank_key()
    for pairs in ({A + "EPS": 4.0}, {A + "STEPS": 5}, {"INPUT.SIZE": (16, 16), "INPUT.PIXEL_STD": [0.2, 0.2, 0.2]}):
        assert built(tiny, tmp_path, "AdvPT", pairs).bank_key() != key
    assert built(tiny, tmp_path, "AdvPT", {"OPTIM.LR": 0.5}).bank_key() == key
    trainer.before_train()
    first = [b["index"].tolist() for b in trainer.train_loader_x]
    assert sorted(sum(first, [])) == list(range(20)) and first == [b["index"].tolist() for b in trainer.train_loader_x]
    trainer.epoch = 1
    assert first != [b["index"].tolist() for b in trainer.train_loader_x]
    found = next(iter(trainer.train_loader_x))
    logits, _ = trainer.loss(found["img"], found["label"])
    expected = trainer.logit_scale * F.normalize(found["img"], dim=1) @ trainer.encode_text().T
    torch.testing.assert_close(logits, expected)
    again = built(tiny, tmp_path, "AdvPT")
    monkeypatch.setattr(type(again), "attack_all", None)  # read from disk
    again.before_train()
    assert torch.equal(again.train_loader_x.bank, trainer.train_loader_x.bank)


# ---------------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", NEW)
def test_a_run_trains_and_says_against_what(tiny, tmp_path, name):
    assert tiny.run(tmp_path / "a", name, pairs=FIT.get(name, {}) | {"OPTIM.MAX_EPOCH": 1}) == 0
    record = json.loads((tmp_path / "a" / "results.json").read_text())
    assert record["train_attack"]["eps"] == pytest.approx({"FAP": 1, "AdvMaPLe": 1, "AdvPT": 8}.get(name, 4))
    assert record["learnable_numbers"] > 0


def test_pictures_stay_in_the_ball_and_depend_on_the_item_alone(tiny, tmp_path):
    trainer = built(tiny, tmp_path, "MaPLeAT")
    x, found = batch(trainer)
    image, label, items = trainer.parse_batch_train(found)
    with trainer.one_step():
        made = (trainer.attacked(image, label, items) * trainer.std + trainer.mean).detach()
    assert (made - x).abs().max() <= 4 / 255 + 1e-6 and made.min() > -1e-6 and made.max() < 1 + 1e-6
    assert attack_seeds(1, 0, [3, 5]) == attack_seeds(1, 0, [5, 3])[::-1] != attack_seeds(1, 1, [3, 5])
    with trainer.one_step():
        other = trainer.attacked(image.flip(0), label.flip(0), items.flip(0)).flip(0) * trainer.std + trainer.mean
    assert ((made - other).abs() > 1e-5).float().mean() < 0.01  # a sign may turn with rounding


def test_no_step_is_the_start_and_presets_scale(tiny, tmp_path):
    x = torch.rand(2, 3, 8, 8)
    for start in ("uniform", "uniform_clipped", "positive", "none"):
        attack = TrainingAttack(0.1, 0.05, 0, "ce", start)
        delta = attack.run(x, lambda _: torch.zeros(()), [1, 2]) - x
        assert delta.abs().max() <= 0.1 + 1e-6 and (start != "positive" or delta.min() >= -1e-7)
        assert (delta == 0).all() == (start == "none")
    found = built(tiny, tmp_path, "APT", {A + "PRESET": "apt1"}).inner
    assert (255 * found.eps, 255 * found.alpha) == pytest.approx((1.0, 0.67))
    found = built(tiny, tmp_path, "APT", {A + "EPS": 8}).inner
    assert (255 * found.eps, 255 * found.alpha) == pytest.approx((8.0, 5.34))
    found = built(tiny, tmp_path, "AdvPT", {A + "EPS": 16, A + "STEPS": 40}).inner
    assert (255 * found.eps, 255 * found.alpha) == pytest.approx((16.0, 0.5))


def test_the_towers_eps_is_compared(tiny, tmp_path, caplog):
    assert eps_of_tower("a/vitb32_eps4.pth.tar") == 4 and eps_of_tower("tecoa_eps_2.pt") == 2
    assert eps_of_tower("TeCoA.pth.tar") is None and eps_of_tower("eps1/tower.pt") is None
    plain = built(tiny, tmp_path, "CoOpAT")
    file = tmp_path / "vit_eps1.pt"
    torch.save(plain.clip.visual.state_dict(), file)
    for eps, warned in ((4.0, True), (1.0, False)):
        caplog.clear()
        built(tiny, tmp_path, "CoOpAT", {"MODEL.BACKBONE.VISUAL_WEIGHTS": file, A + "EPS": eps})
        found = [r.getMessage() for r in caplog.records if "image tower's file" in r.getMessage()]
        assert found == (["Warning: the image tower's file says eps 1, but TRAIN_ATTACK trains at 4"] if warned else [])


def test_bad_input(tiny, tmp_path, capsys):
    for pairs, says in (
        ({A + "EPS": -2.0}, "TRAIN_ATTACK.EPS is -2"),
        ({A + "PRESET": "pgd"}, "PRESET is 'pgd'"),
        ({A + "PROMPT": "none"}, "PROMPT is 'none'"),
    ):
        assert tiny.run(tmp_path / "out", "APT", pairs=pairs) == 2
        assert says in capsys.readouterr().err
    adversarial(ZeroshotCLIP, "NothingAT")
    try:
        with pytest.raises(InputError, match="ZeroshotCLIP is not trained"):
            tiny.trainer(tmp_path, "NothingAT")
    finally:
        TRAINER_REGISTRY._members.pop("NothingAT", None)
    assert adversarial(TRAINER_REGISTRY.get("CoOp")) is TRAINER_REGISTRY.get("CoOpAT")
    assert set(CONFIG_DEFAULTS) <= set(TRAINER_REGISTRY.get("FAP").config_defaults)
    assert "CoOp" in METHODS
