"""TAPT: its loss and gradient beside a plain implementation, its statistics, resets, whole runs, and bad input."""

from __future__ import annotations

import json

import pytest
import torch
from helpers import FITTING, make_clip, outputs_rows
from safetensors.torch import save_file
from torch.nn import functional as F

from attacks import PixelModel
from clipkit import InputError
from dassl.utils import read_image
from dassl.utils.flops import operations
from robustness.adaptive import Eot, total_loss, ways
from runs.predictor import load_predictor
from tests.plain.deep import IVLP, VPT
from tests.plain.towers import replace_first, replace_last, text_tower, vision_tower
from trainers.tta.token_statistics import Statistics

T, N = "TRAINER.TAPT.", "TRAINER.TTA."
FEW = {N + "N_VIEWS": 8, N + "SELECTION_P": 0.5}
EVAL = ("--eval-only",)
PAIRS = {"AdvIVLP": ("IVLP", {}), "AdvVPT": ("VPT", {}), "AdvMaPLe": ("AdvMaPLe", {"TRAIN_ATTACK.EPS": 0.0})}


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """{method: (folder of its run, folder of the same prompts trained on clean pictures)}."""
    top, found = tmp_path_factory.mktemp("trained"), {}
    for method, (clean, pairs) in PAIRS.items():
        folders = top / method / "adv", top / method / "clean"
        for name, folder, own in ((method, folders[0], {}), (clean, folders[1], pairs)):
            fitting = FITTING[name.removeprefix("Adv") if name != "AdvMaPLe" else name]
            more = {"OPTIM.MAX_EPOCH": 1, "TRAIN_ATTACK.STEPS": 1} | fitting | own
            assert tiny.run(folder, name, pairs=more) == 0
        found[method] = folders
    return found


def settings(trained, method="AdvIVLP", **own):
    adv, clean = trained[method]
    return FEW | {T + "FROM": adv, T + "CLEAN_FROM": clean} | {T + key: value for key, value in own.items()}


def built(tiny, folder, pairs):
    trainer = tiny.trainer(folder, "TAPT", {"DATASET.SUBSAMPLE_CLASSES": "all"} | pairs)
    trainer.set_model_mode("eval")
    return trainer


def pictures(count=3, n=8):
    generator = torch.Generator().manual_seed(1)
    base = torch.rand(count, 1, 3, 16, 16, generator=generator)
    return (0.6 * base + 0.4 * torch.rand(count, n, 3, 16, 16, generator=generator)).contiguous()


# ---------------------------------------------------------------------- the loss


class PlainTAPT:
    """Logits and block inputs of pictures from learned numbers by name, by the stock modules."""

    def __init__(self, trainer, method):
        self.trainer, self.clip, self.method = trainer, trainer.clip, method
        self.p = {k: v.detach().clone().requires_grad_() for k, v in trainer.trained.learner.state_dict().items()}

    def prompts(self):
        """(the text's context and deep prompts, the image's first and deep ones)"""
        p = self.p
        if self.method != "AdvMaPLe":
            return None
        deep = {i: p[f"prompt_learner.compound_prompts_image.{i - 2}"] for i in (2, 3)}
        name = "prompt_learner.compound_prompt_projections."
        text = {i: deep[i] @ p[f"{name}{i - 2}.weight"].T + p[f"{name}{i - 2}.bias"] for i in (2, 3)}
        ctx = p["prompt_learner.ctx"]
        return text, ctx @ p["prompt_learner.proj.weight"].T + p["prompt_learner.proj.bias"], deep

    def both(self, views):
        """(logits [k, C], {block: input [k, L, width]})."""
        x, seen = (views - self.trainer.mean) / self.trainer.std, {}
        kind = {"AdvVPT": VPT, "AdvIVLP": IVLP, "AdvMaPLe": IVLP}[self.method]
        words = {"CTX_INIT": "a photo of a", "N_CTX": 2}
        plain = kind(self.clip, words, "Tiny", self.trainer.classnames, {})
        plain.p = self.p
        if self.method == "AdvMaPLe":
            text, first, deep = self.prompts()
            embeddings, eot = plain.with_context(plain.prompt_texts(2, "a photo of a"), self.p["prompt_learner.ctx"])
            t = F.normalize(text_tower(self.clip, embeddings, eot, replace_first(text)), dim=-1)
        else:
            first, deep, t = self.p["image_encoder.VPT"], plain.blocks("image_encoder"), plain.encode_text()
        put = replace_last(deep)

        def before(number, tokens):
            tokens = put(number, tokens)
            seen[number] = tokens.permute(1, 0, 2)
            return tokens

        f = F.normalize(vision_tower(self.clip, x, first, before), dim=-1)
        return self.trainer.logit_scale * f @ t.T, seen

    def loss(self, views, adv, clean, g=0.5):
        logits, seen = self.both(views)
        p = logits.softmax(1).mean(0)
        total = -(p * p.log()).sum()
        for share, (mean, var) in ((g, adv), (1 - g, clean)):
            for block in (1, 2):  # of three prompted blocks
                x = seen[block]
                mu = sum(x) / len(x)
                spread = sum((each - mu) ** 2 for each in x) / len(x)
                a = 0.5 * F.l1_loss(mu, mean[block - 1]) + 0.5 * F.l1_loss(spread, var[block - 1])
                total = total + 100 / 3 * share * a
        return total


@pytest.mark.parametrize("method", PAIRS)
def test_loss_gradient_and_answer_as_the_plain_implementation(tiny, tmp_path, trained, method):
    trainer = built(tiny, tmp_path, settings(trained, method))
    plain, views = PlainTAPT(trainer, method), pictures(1)[0]
    (g, adv), (rest, clean) = trainer.statistics
    assert (g, rest) == (0.5, 0.5) and not torch.equal(adv.mean, clean.mean)
    assert adv.mean.shape == adv.var.shape == (2, 1 + 4 + (8 if method == "AdvVPT" else 2), 64)
    expected = plain.loss(views[:4], adv, clean)
    with torch.enable_grad():
        found = trainer.objective(views[:4])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    names = [name for name, _ in trainer.trained.learner.named_parameters()]
    gradients = torch.autograd.grad(expected, [plain.p[name] for name in names])
    for name, ours, theirs in zip(names, trainer.gradients(views[:4]), gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max()), msg=name)
    # the answer: the most confident half of the views, a step of torch's AdamW, the plain view
    with torch.no_grad():
        before, after = trainer.respond(views[None], [0])
        logits = plain.both(views)[0]
    torch.testing.assert_close(before[0], logits[0], rtol=1e-4, atol=1e-4)
    p = logits.softmax(1)
    chosen = (-(p * p.log()).sum(1)).argsort()[:4]
    optimizer = torch.optim.AdamW(plain.p.values(), lr=5e-4, weight_decay=0.01)
    plain.loss(views[chosen], adv, clean).backward()
    optimizer.step()
    with torch.no_grad():
        expected = plain.both(views[:1])[0][0]
    torch.testing.assert_close(after[0], expected, rtol=1e-2, atol=1e-2)
    assert (after - before).abs().max() > 0.02


def test_without_alignment_the_entropy_is_left(tiny, tmp_path, trained):
    trainer = built(tiny, tmp_path, settings(trained, ALIGN=0.0))
    assert trainer.statistics == []
    views = pictures(1)[0][:4]
    with torch.no_grad():
        p = trainer.view_logits(trainer.encode_views(views[None]), trainer.text_features())[0].softmax(1).mean(0)
    torch.testing.assert_close(trainer.objective(views).detach(), -(p * p.log()).sum(), rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------------- statistics


def test_statistics_are_those_of_all_training_pictures(tiny, tmp_path, trained):
    trainer = built(tiny, tmp_path, settings(trained, GAMMA=1.0) | {"DATASET.SUBSAMPLE_CLASSES": "new"})
    ((_, found),) = trainer.statistics
    items = [tiny.root / "tiny" / "images" / f"{c}_train_{i}.png" for c in range(3) for i in range(6)]  # the base half
    transform = trainer.test_loader.dataset.transform
    x = torch.stack([transform(read_image(str(item))) for item in items])
    plain = PlainTAPT(trainer, "AdvIVLP")
    with torch.no_grad():
        _, seen = plain.both(x * trainer.std + trainer.mean)
    inputs = torch.stack([seen[1], seen[2]])
    torch.testing.assert_close(found.mean, inputs.mean(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.var, inputs.var(1), rtol=1e-3, atol=1e-5)
    few = built(tiny, tmp_path, settings(trained, GAMMA=1.0, STATS_SHOTS=1))
    assert not torch.equal(few.statistics[0][1].mean, found.mean)


def test_statistics_are_computed_once_and_can_be_given(tiny, tmp_path, trained, monkeypatch):
    monkeypatch.setenv("ROBUSTPROMPT_CACHE", str(tmp_path / "cache"))
    first = built(tiny, tmp_path, settings(trained))
    kept = {file.name for file in (tmp_path / "cache").glob("*.safetensors")}
    monkeypatch.setattr("trainers.tta.token_statistics.moments", None)  # read from disk
    again = built(tiny, tmp_path, settings(trained))
    for (_, a), (_, b) in zip(first.statistics, again.statistics, strict=True):
        assert torch.equal(a.mean, b.mean) and torch.equal(a.var, b.var)
    assert {file.name for file in (tmp_path / "cache").glob("*.safetensors")} == kept and len(kept) >= 2
    for share, own, name in ((0, again.statistics[0][1], "adv"), (1, again.statistics[1][1], "clean")):
        save_file(own._asdict(), tmp_path / f"{name}.safetensors")
        assert again.statistics[share][1] is own
    given = {T + "ADV_STATS": tmp_path / "adv.safetensors", T + "CLEAN_STATS": tmp_path / "clean.safetensors"}
    given |= FEW | {T + "FROM": trained["AdvIVLP"][0]}
    told = built(tiny, tmp_path, given)
    views = pictures()
    with torch.no_grad():
        assert torch.equal(told.respond(views, [0, 0, 0])[1], first.respond(views, [0, 0, 0])[1])
    with pytest.raises(TypeError):  # another transform: other statistics
        built(tiny, tmp_path, settings(trained) | {"INPUT.PIXEL_STD": [0.5, 0.5, 0.5]})


def test_distance():
    x = torch.randn(2, 4, 5, 3, dtype=torch.float64)
    own = Statistics(x.mean(1), x.var(1, correction=0))
    assert own.distance(x).item() == 0
    assert Statistics(own.mean + 2, own.var - 1).distance(x).item() == pytest.approx(2 * 1.5)


# ---------------------------------------------------------------------- whole runs


@pytest.mark.parametrize("method", ["AdvIVLP", "AdvMaPLe"])
def test_nothing_survives_an_image(tiny, tmp_path, trained, method):
    trainer = built(tiny, tmp_path, settings(trained, method) | {N + "STEPS": 2})
    state = {name: p.detach().clone() for name, p in trainer.trained.learner.named_parameters()}
    views = pictures()
    with torch.no_grad():
        alone = trainer.respond(views[2:], [0])[1]
        for i in range(2):
            trainer.respond(views[i : i + 1], [0])
        after = trainer.respond(views[2:], [0])[1]
        together = trainer.respond(views, [0, 0, 0])[1][2:]
    assert torch.equal(alone, after)
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-3)
    assert all(torch.equal(p, state[name]) for name, p in trainer.trained.learner.named_parameters())


def test_a_run_and_its_record(tiny, tmp_path, trained):
    pairs = settings(trained)
    assert tiny.run(tmp_path / "a", "TAPT", EVAL, pairs) == 0
    record, found = json.loads((tmp_path / "a" / "results.json").read_text()), outputs_rows(tmp_path / "a")
    told = record["test_time"]
    assert len(found) == told["images"] == record["results"]["total"] == 12 and record["learnable_numbers"] == 0
    assert told["tuned_numbers"] == 2 * 64 * 6 and told["augmix"] is False and "model.pth.tar-1" in told["template"]
    # before: the run's own answers
    flags = (*EVAL, "--model-dir", str(trained["AdvIVLP"][0]), "--load-epoch", "1")
    fitting = FITTING["IVLP"]
    assert tiny.run(tmp_path / "own", "AdvIVLP", flags, fitting) == 0
    own = outputs_rows(tmp_path / "own")
    assert [row["before.prediction"] for row in found] == [row["prediction"] for row in own]
    assert any(row["before.confidence"] != row["confidence"] for row in found)
    for name, other in (("workers", {"DATALOADER.NUM_WORKERS": 2}), ("groups", {N + "SAMPLES_PER_STEP": 3})):
        assert tiny.run(tmp_path / name, "TAPT", EVAL, pairs | other) == 0
        assert [row["prediction"] for row in outputs_rows(tmp_path / name)] == [row["prediction"] for row in found]
    # pictures alone, by the run's folder
    predictor = load_predictor(tmp_path / "a")
    file = tiny.root / "tiny" / "images" / "0_test_0.png"
    assert predictor.probabilities([file]).sum().item() == pytest.approx(1, abs=1e-4)


def test_attacked_pictures_and_other_classes(tiny, tmp_path, trained):
    attack = {"TEST.ADV_SET": "make", "ATTACK.EPS": 8, "ATTACK.STEPS": 2, "ATTACK.DIR": tmp_path / "adv"}
    attack |= {"INPUT.PIXEL_MEAN": [0.48145466, 0.4578275, 0.40821073], "DATASET.SUBSAMPLE_CLASSES": "new"}
    assert tiny.run(tmp_path / "a", "TAPT", EVAL, settings(trained) | attack) == 0
    assert {row["label"] for row in outputs_rows(tmp_path / "a")} == {"0", "1"}


def test_adaptive_attacks_go_through_it(tiny, tmp_path, trained):
    trainer = built(tiny, tmp_path, settings(trained, "AdvMaPLe"))
    found = ways(trainer, Eot(draws=1, views=4))
    assert [way.name for way in found] == ["plain", "views", "untuned mean", "output"]
    x = pictures(2, 1)[:, 0]
    with PixelModel(trainer):
        for way in found:
            leaf = x.clone().requires_grad_()
            loss = total_loss(way.sample(leaf, [1, 2]), torch.tensor([0, 1])).sum()
            gradient = torch.autograd.grad(loss, leaf)[0]
            assert gradient.isfinite().all() and (gradient != 0).any()
        torch.testing.assert_close(
            trainer.pixel_logits(x[:1], [5]), trainer.pixel_logits(x, [5, 6])[:1], rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize("method", ["AdvIVLP", "AdvMaPLe"])
def test_its_operations_can_be_counted(tiny, tmp_path, trained, method):
    trainer = built(tiny, tmp_path, settings(trained, method))
    counted = {}
    for steps in (0, 1):
        trainer.cfg.defrost()
        trainer.cfg.TRAINER.TTA.STEPS = steps
        with torch.no_grad():
            counted[steps] = operations(lambda: trainer.respond(pictures(1), [0]))
    assert 0 < counted[0] < counted[1]


# ---------------------------------------------------------------------- bad input


def test_bad_input_is_one_sentence(tiny, tmp_path, trained, capsys):
    adv, clean = trained["AdvIVLP"]
    other_clip = make_clip(tmp_path / "other.safetensors", seed=3)
    fitting = {"TRAINER.IVLP.PROMPT_DEPTH_VISION": 2, "TRAINER.IVLP.PROMPT_DEPTH_TEXT": 2, "OPTIM.MAX_EPOCH": 1}
    assert tiny.run(tmp_path / "shallow", "IVLP", pairs=fitting) == 0
    one = fitting | {"TRAINER.IVLP.PROMPT_DEPTH_VISION": 1}
    assert tiny.run(tmp_path / "one", "IVLP", pairs=one) == 0
    assert tiny.run(tmp_path / "text", "IVLP", pairs=fitting | {"TRAINER.IVLP.N_CTX_VISION": 0}) == 0
    assert tiny.run(tmp_path / "coop", "CoOp", pairs={"OPTIM.MAX_EPOCH": 1}) == 0
    save_file({"mean": torch.zeros(1, 7, 64), "var": torch.zeros(2, 7, 64)}, tmp_path / "stats.safetensors")
    save_file({"mean": torch.zeros(2, 7, 64)}, tmp_path / "half.safetensors")
    both = {T + "FROM": adv, T + "CLEAN_FROM": clean}
    capsys.readouterr()
    for pairs, says in (
        ({}, "FROM is empty: TAPT tunes trained prompts"),
        ({T + "FROM": tmp_path / "nowhere", T + "GAMMA": 1.0}, "no checkpoint"),
        ({T + "FROM": adv}, "CLEAN_FROM is empty"),
        (both | {T + "RESET": 5}, "RESET is 5"),
        (both | {"MODEL.BACKBONE.PATH": other_clip}, "trained with another backbone"),
        (both | {T + "FROM": tmp_path / "coop"}, "is of CoOp; give a run of AdvIVLP"),
        (both | {T + "FROM": tmp_path / "text"}, "no tokens in the image tower"),
        (both | {T + "FROM": tmp_path / "one"}, "tokens in one block"),
        (both | {T + "CLEAN_FROM": tmp_path / "shallow"}, "has 2 tokens in 2 blocks, but TRAINER.TAPT.FROM has 2 in 3"),
        (both | {T + "CLEAN_FROM": trained["AdvVPT"][1]}, "has 8 tokens in 3 blocks"),
        (both | {T + "ADV_STATS": tmp_path / "stats.safetensors"}, "mean has shape (1, 7, 64) instead of (2, 7, 64)"),
        (both | {T + "ADV_STATS": tmp_path / "half.safetensors"}, "has no tensor var"),
        (both | {T + "ADV_STATS": tmp_path / "none.safetensors"}, "does not exist"),
        (both | {T + "GAMMA": 2.0}, "GAMMA is 2.0"),
    ):
        assert tiny.run(tmp_path / "out", "TAPT", EVAL, FEW | pairs) == 2
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert says in said and said.startswith("error: "), said
        assert not (tmp_path / "out" / "results.json").exists()
    with pytest.raises(InputError, match="the run whose prompts are tuned is given as TRAINER.TAPT.FROM"):
        built(tiny, tmp_path, settings(trained)).load_model("somewhere", 1)
