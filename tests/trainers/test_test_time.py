"""Test-time methods as whole runs: nothing survives an image, workers and order do not matter, bad input is refused."""

from __future__ import annotations

import json
import math

import pytest
import torch
from helpers import outputs_rows
from PIL import Image
from torch.nn import functional as F

from clipkit import InputError, normalize
from dassl.utils import InputError as DataError
from datasets.templates import FULL80
from runs.config_names import FROM_A_RUN, TEST_TIME
from runs.predictor import load_predictor
from runs.protocols import plan
from trainers.ctpt import VARIANTS
from trainers.mta import mean_shift
from trainers.tta.prototypes import mean_of_texts
from trainers.tta.views import groups, view_loader

N, C = "TRAINER.TTA.", "TRAINER.COOP."
EVAL = ("--eval-only",)
FEW = {N + "N_VIEWS": 12, N + "SELECTION_P": 0.3}


def built(tiny, folder, name="RTPT", pairs=None):
    trainer = tiny.trainer(folder, name, FEW | {"DATASET.SUBSAMPLE_CLASSES": "all"} | (pairs or {}))
    trainer.set_model_mode("eval")
    return trainer


def images(trainer, split="test"):
    return list(view_loader(trainer.cfg, trainer.views, trainer.test_loader, trainer.dm.dataset, split))


# ---------------------------------------------------------------------- whole runs


@pytest.mark.parametrize("method", [name for name in TEST_TIME if name not in FROM_A_RUN])
def test_a_run_and_its_record(tiny, tmp_path, method):
    assert tiny.run(tmp_path / "a", method, EVAL, FEW) == 0
    record = json.loads((tmp_path / "a" / "results.json").read_text())
    found, told = outputs_rows(tmp_path / "a"), record["test_time"]
    assert len(found) == record["results"]["total"] == told["images"] == 12
    assert found[3]["path"] == "0_test_3.png" and found[3]["label"] == "0"
    for when, column in (("before", "before.prediction"), ("after", "prediction")):
        right = [row["label"] == row[column] for row in found]
        assert told[f"accuracy_{when}"] == pytest.approx(100 * sum(right) / 12)
    assert record["results"]["accuracy"] == pytest.approx(told["accuracy_after"])
    assert any(row["before.confidence"] != row["confidence"] for row in found)
    assert record["learnable_numbers"] == 0 and told["template"] == "a photo of a {}."
    # the undefended numbers are those of CLIP with the same words
    trainer = tiny.trainer(tmp_path / "b", method, FEW)
    batch = next(iter(trainer.test_loader))["img"]
    logits = trainer.logits(trainer.frozen_image(batch), trainer.encode_text())
    assert [int(row["before.prediction"]) for row in found[:5]] == logits.argmax(1).tolist()
    # train() tests too, with the same result
    assert tiny.run(tmp_path / "c", method, (), FEW) == 0
    assert outputs_rows(tmp_path / "c") == found


@pytest.fixture(scope="module", params=["RTPT", "TTC"])
def tested(request, tiny, tmp_path_factory):
    """A method, and what it answered."""
    folder = tmp_path_factory.mktemp(request.param) / "a"
    assert tiny.run(folder, request.param, EVAL, FEW) == 0
    return request.param, outputs_rows(folder)


@pytest.mark.parametrize(
    "other",
    [{"DATALOADER.NUM_WORKERS": 2}, {N + "SAMPLES_PER_STEP": 3}, {"DATALOADER.TEST.BATCH_SIZE": 2}],
    ids=["workers", "groups", "batches"],
)
def test_predictions_do_not_depend_on_how_it_is_run(tiny, tmp_path, tested, other):
    method, a = tested
    assert tiny.run(tmp_path / "b", method, EVAL, FEW | other) == 0
    b = outputs_rows(tmp_path / "b")
    assert [r["prediction"] for r in a] == [r["prediction"] for r in b]
    for x, y in zip(a, b, strict=True):
        assert float(x["confidence"]) == pytest.approx(float(y["confidence"]), abs=2e-3)


def test_nothing_survives_an_image(tiny, tmp_path):
    """An image alone has the answer that it has after and beside others, to the last bit in groups of one."""
    trainer = built(tiny, tmp_path, pairs={N + "SAMPLES_PER_STEP": 1})
    found = images(trainer)
    before = trainer.ctx0.clone()
    with torch.no_grad():
        alone = trainer.answer([found[7]])[1]
        for image in found[:7]:
            trainer.answer([image])
        after = trainer.answer([found[7]])[1]
    assert torch.equal(alone, after) and torch.equal(trainer.ctx0, before)


def test_seeds_are_other_views(tiny, tmp_path):
    assert tiny.run(tmp_path / "a", "RTPT", EVAL, FEW) == 0
    assert tiny.run(tmp_path / "b", "RTPT", ("--seed", "2", *EVAL), FEW) == 0
    assert outputs_rows(tmp_path / "a") != outputs_rows(tmp_path / "b")


def test_base_and_new_classes_and_val(tiny, tmp_path):
    assert tiny.run(tmp_path / "new", "TPT", EVAL, FEW | {"DATASET.SUBSAMPLE_CLASSES": "new"}) == 0
    found = outputs_rows(tmp_path / "new")
    assert [row["path"] for row in found[::4]] == ["3_test_0.png", "4_test_0.png"]
    assert {row["label"] for row in found} == {"0", "1"} and {row["prediction"] for row in found} <= {"0", "1"}
    assert tiny.run(tmp_path / "val", "TPT", EVAL, FEW | {"TEST.SPLIT": "val"}) == 0
    assert len(outputs_rows(tmp_path / "val", "outputs_val.npz")) == 6


# ---------------------------------------------------------------------- views


def test_views_are_keyed_by_the_path(tiny, tmp_path):
    trainer, again = built(tiny, tmp_path), built(tiny, tmp_path / "b", pairs={"DATALOADER.NUM_WORKERS": 2})
    a, b = images(trainer), images(again)
    for x, y in zip(a, b, strict=True):
        assert (x.path, x.seed) == (y.path, y.seed) and torch.equal(x.views, y.views)
    assert not torch.equal(a[0].views, a[1].views) and len({x.seed for x in a}) == 20
    assert images(trainer, "val")[0].seed != a[0].seed
    base = next(iter(trainer.test_loader))["img"]
    finished = torch.stack([trainer.views.finish(x, trainer.device)[0] for x in a[:5]])
    assert torch.equal((finished - trainer.mean) / trainer.std, base)  # view 0 is the loader's picture, to the last bit


@pytest.mark.parametrize(
    ("method", "mixed"),
    [
        ("TPT", {"Tiny": True, "ImageNet": False, "ImageNetV2": False, "ImageNetSketch": False}),
        ("RTPT", {"Tiny": True, "ImageNet": False, "ImageNetA": False, "ImageNetR": False}),
        ("CTPT", {"Tiny": True, "ImageNet": False} | dict.fromkeys(VARIANTS, True)),
        ("OTPT", {"Tiny": True, "ImageNet": False} | dict.fromkeys(VARIANTS, True)),
        ("TPS", {"Tiny": True, "ImageNet": False, "ImageNetA": False}),
        ("ZERO", {"Tiny": False, "ImageNet": False, "ImageNetV2": False}),
        ("MTA", {"Tiny": False, "ImageNet": False, "ImageNetV2": False}),
        ("TTC", {"Tiny": False, "ImageNet": False}),
    ],
)
def test_auto_mixes_the_views_that_the_methods_own_scripts_mix(tiny, tmp_path, method, mixed):
    trainer = built(tiny, tmp_path, method)
    assert trainer.views.augmix == trainer.record["test_time"]["augmix"] == mixed.pop("Tiny")
    assert {name: trainer.mixes(name) for name in mixed} == mixed
    if method != "TTC":  # which has no views
        assert any(image.drawn for image in images(built(tiny, tmp_path, method, {N + "AUG_BACKEND": "tensor"})))
        for given, expected in (("on", True), ("off", False)):
            found = images(built(tiny, tmp_path, method, {N + "AUGMIX": given, N + "AUG_BACKEND": "tensor"}))
            assert {bool(view.chains) for view in found[0].drawn} == {expected}


@pytest.mark.parametrize("dataset", ["Tiny", "ImageNet", *VARIANTS])
def test_ctpt_has_another_lambda_on_imagenets_variants(tiny, tmp_path, dataset):
    import train

    def found(*pairs):
        args = tiny.arguments(tmp_path, "CTPT", (), {"DATASET.NAME": dataset})
        return train.setup_cfg(train.build_parser().parse_args([*args, *pairs])).TRAINER.CTPT.LAMBDA

    assert found() == (20.0 if dataset in VARIANTS else 50.0)
    assert found("TRAINER.CTPT.LAMBDA", "7") == 7.0


@pytest.mark.parametrize(
    ("method", "numbers"),
    [
        *dict.fromkeys(("TPT", "RTPT", "CTPT", "OTPT", "SSTPT"), 256).items(),
        ("TPS", 160), *dict.fromkeys(("ZERO", "MTA", "TTC"), 0).items(),
    ],
)  # fmt: skip
def test_how_many_numbers_an_image_tunes(tiny, tmp_path, method, numbers):
    """Four tokens of width 64, or shifts of 5 classes, 32 numbers each; results.json has it beside
    `learnable_numbers`, which are trained: none."""
    assert built(tiny, tmp_path, method).record["test_time"]["tuned_numbers"] == numbers


@pytest.mark.parametrize("source", ["processed", "original"])
def test_backends_answer_alike(tiny, tmp_path, source):
    pairs = {N + "VIEW_SOURCE": source, N + "AUGMIX": "off", N + "STEPS": 0}
    pil = built(tiny, tmp_path / "a", pairs=pairs)
    tensor = built(tiny, tmp_path / "b", pairs=pairs | {N + "AUG_BACKEND": "tensor"})
    with torch.no_grad():
        a, b = pil.answer(images(pil)[:6])[1], tensor.answer(images(tensor)[:6])[1]
    torch.testing.assert_close(a, b, atol=0.02, rtol=0.02)


def test_views_of_the_whole_file(tiny, tmp_path):
    a = images(built(tiny, tmp_path / "a", pairs={N + "VIEW_SOURCE": "original"}))
    b = images(built(tiny, tmp_path / "b"))
    assert torch.equal(a[0].plain, b[0].plain) and not torch.equal(a[0].views, b[0].views)


def test_compat(tiny, tmp_path):
    cfg = built(tiny, tmp_path, "RTPT", {N + "COMPAT": "rtpt", N + "N_VIEWS": 24}).cfg.TRAINER.TTA
    assert (cfg.ENS_SELF_MASK, cfg.VIEW_SOURCE, cfg.TEXT_LEN, cfg.LOSS) == ("ge1", "original", 40, "pointwise")
    cfg = built(tiny, tmp_path, "TPT", {N + "COMPAT": "tpt", N + "VIEW_SOURCE": "processed"}).cfg.TRAINER.TTA
    assert (cfg.LOSS, cfg.ENSEMBLE, cfg.PREC, cfg.VIEW_SOURCE) == ("marginal", "none", "amp", "processed")
    ttc = built(tiny, tmp_path, "TTC", {N + "COMPAT": "ttc"})
    assert (ttc.cfg.TRAINER.TTA.PREC, ttc.record["test_time"]["template"]) == ("amp", "This is a photo of a {}.")


def test_compat_rtpt_makes_its_attacked_pictures_as_published(tiny, tmp_path):
    """Truncated to 8 bits, of the last iterate. A set that is there already stays as it is."""
    attack = {"TEST.ADV_SET": "make", "ATTACK.EPS": 4, "ATTACK.STEPS": 2, "ATTACK.DIR": tmp_path / "adv"}
    mean = {"INPUT.PIXEL_MEAN": [0.48145466, 0.4578275, 0.40821073]}
    attack |= mean
    compat = {N + "COMPAT": "rtpt", N + "N_VIEWS": 4}
    ours, theirs = (built(tiny, tmp_path, "RTPT", attack | more).dm.dataset.test for more in ({}, compat))
    manifests = [json.dumps(items.adversarial.manifest) for items in (ours, theirs)]
    assert [("trunc" in text, "best_loss" in text) for text in manifests] == [(False, True), (True, False)]
    u, q = ours.adversarial, theirs.adversarial
    assert any(not torch.equal(u.picture(i), q.picture(i)) for i in range(len(u)))
    again = built(tiny, tmp_path, "RTPT", {"TEST.ADV_SET": q.folder, "ATTACK.DIR": tmp_path / "adv"} | compat | mean)
    assert again.dm.dataset.adversarial["key"] == q.key


def test_an_attacked_run_has_the_clean_runs_draws(tiny, tmp_path):
    attack = {"TEST.ADV_SET": "make", "ATTACK.EPS": 16, "ATTACK.STEPS": 3, "ATTACK.DIR": tmp_path / "adv"}
    attack |= {"INPUT.PIXEL_MEAN": [0.48145466, 0.4578275, 0.40821073]}
    clean, attacked = built(tiny, tmp_path / "a"), built(tiny, tmp_path / "b", pairs=attack)
    a, b = images(clean), images(attacked)
    assert [x.seed for x in a] == [x.seed for x in b] and [x.path for x in a] == [x.path for x in b]
    apart = [(x.plain.int() - y.plain.int()).abs().max().item() for x, y in zip(a, b, strict=True)]
    assert 0 < max(apart) <= 16
    with pytest.raises(DataError, match="VIEW_SOURCE"):
        images(built(tiny, tmp_path / "c", pairs=attack | {N + "VIEW_SOURCE": "original"}))


# ---------------------------------------------------------------------- the start


def test_context_from_a_trained_coop(tiny, tmp_path):
    coop = {C + "N_CTX": 3, "OPTIM.MAX_EPOCH": 1, "DATASET.SUBSAMPLE_CLASSES": "all"}
    assert tiny.run(tmp_path / "coop", pairs=coop) == 0
    file = tmp_path / "coop" / "prompt_learner" / "model.pth.tar-1"
    ctx = torch.load(file, weights_only=True)["state_dict"]["ctx"]
    for given in (tmp_path / "coop", file):
        trainer = built(tiny, tmp_path / "t", pairs={N + "CTX_FROM": given})
        assert torch.equal(trainer.ctx0, ctx)
    trained = tiny.trainer(tmp_path / "again", "CoOp", coop)
    trained.load_model(str(tmp_path / "coop"), 1)
    torch.testing.assert_close(trainer.encode_text(), trained.encode_text(), atol=1e-5, rtol=0)
    for wrong, pairs in (
        ("class", {C + "CSC": True}), ("name in the front", {C + "CLASS_TOKEN_POSITION": "front", C + "N_CTX": 2}),
    ):  # fmt: skip
        assert tiny.run(tmp_path / wrong, pairs=coop | pairs) == 0
        with pytest.raises(InputError, match=wrong):
            built(tiny, tmp_path / "t", pairs={N + "CTX_FROM": tmp_path / wrong})
    with pytest.raises(InputError, match="no checkpoint"):
        built(tiny, tmp_path / "t", pairs={N + "CTX_FROM": tmp_path / "nowhere"})


WHOLE = ["KgCoOp", "ProGrad", "PTNL", "NLPrompt", "DPSEP", "JoAPR", "CoOpSAR", "KgCoOpSAR", "CoOpAT", "APT"]
IN_PART = ["TCP", "VisPrompt", "IVLP", "VPT", "PromptSRC", "MMRL", "ANPrompt", "CoPrompt", "TAC", "CLIPLoRA"]


@pytest.mark.parametrize("method", WHOLE)
def test_every_method_whose_prompt_is_its_context_gives_a_start(tiny, tmp_path, method):
    """The text features that tuning starts from are those that the method itself is tested with."""
    short = {"OPTIM.MAX_EPOCH": 1, "DATASET.SUBSAMPLE_CLASSES": "base"}
    if method.endswith("SAR"):
        short |= {"TRAINER.SAR.NOVEL_SOURCE": "oracle", "TRAINER.SAR.SAMPLE_SIZE": 2}
    assert tiny.run(tmp_path / "given", method, pairs=short) == 0
    trained = tiny.trainer(tmp_path / "again", method, short)
    trained.load_model(str(tmp_path / "given"), 1)
    start = {N + "CTX_FROM": tmp_path / "given", "DATASET.SUBSAMPLE_CLASSES": "base"}
    trainer = built(tiny, tmp_path / "t", pairs=start)
    torch.testing.assert_close(trainer.encode_text(), trained.encode_text(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", IN_PART)
def test_a_method_whose_prompt_is_more_than_a_context_gives_none(tiny, tmp_path, method):
    assert tiny.run(tmp_path / "given", method, pairs={"OPTIM.MAX_EPOCH": 1}) == 0
    with pytest.raises(InputError, match="CTX_FROM"):
        built(tiny, tmp_path / "t", pairs={N + "CTX_FROM": tmp_path / "given"})


@pytest.mark.parametrize(
    ("method", "unread"), [("TPT", ""), ("MTA", "TRAINER.TTA.STEPS"), ("TTC", "TRAINER.TTA.STEPS, TRAINER.TTA.N_VIEWS")]
)
def test_settings_that_say_nothing_to_a_method_are_named(tiny, tmp_path, caplog, method, unread):
    trainer = tiny.trainer(tmp_path, method, {N + "STEPS": 2, N + "N_VIEWS": 5, N + "CTX_INIT": "a photo of a"})
    found = [r.getMessage() for r in caplog.records if "has no effect" in r.getMessage()]
    assert found == ([f"Warning: {unread} has no effect on {method}"] if unread else [])
    assert (trainer.record["test_time"]["loss"] is None) == (method != "TPT")


@pytest.mark.parametrize("words", ["a photomicrograph of a", "a photo of a", "crop"])
def test_the_start_is_the_prompt_with_these_words(tiny, tmp_path, words):
    """A word may be several tokens."""
    trainer = built(tiny, tmp_path, "TPT", {N + "CTX_INIT": words})
    expected = trainer.text_encoder.encode_texts([f"{words} {name}." for name in trainer.classnames])
    torch.testing.assert_close(trainer.encode_text(), expected, atol=1e-5, rtol=0)


def test_a_context_that_is_not_all_of_a_prompt_is_refused(tiny, tmp_path):
    short = {"OPTIM.MAX_EPOCH": 1, "DATASET.SUBSAMPLE_CLASSES": "all"}
    for method, pairs, says in (
        ("MaPLe", {}, "holds more than a context"),
        ("CoCoOp", {}, "holds more than a context"),
        ("PTNL", {"TRAINER.PTNL.CLASS_TOKEN_POSITION": "front", "TRAINER.PTNL.N_CTX": 2}, "name in the front"),
        ("CoOp", {C + "CTX_INIT": "a photomicrograph of a"}, "4 learned tokens in front of fixed ones"),
    ):
        folder = tmp_path / f"{method}{len(pairs)}"
        assert tiny.run(folder, method, pairs=short | pairs) == 0
        given = folder / "MultiModalPromptLearner" / "model.pth.tar-1" if method == "MaPLe" else folder
        with pytest.raises(InputError, match=says):
            built(tiny, tmp_path / "t", pairs={N + "CTX_FROM": given})
    assert tiny.run(tmp_path / "good", "PTNL", pairs=short | {"TRAINER.PTNL.N_CTX": 2}) == 0
    assert len(built(tiny, tmp_path / "t", pairs={N + "CTX_FROM": tmp_path / "good"}).ctx0) == 2


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        ({N + "LOSS": "entropy"}, "LOSS is 'entropy'"),
        ({N + "N_VIEWS": 0}, "N_VIEWS is 0"),
        ({N + "SELECTION_P": 1.5}, "SELECTION_P is 1.5"),
        ({N + "ENS_TEMP": 0.0}, "ENS_TEMP"),
        ({N + "CTX_INIT": ""}, "CTX_INIT is empty"),
        ({N + "TEXT_LEN": 90}, "TEXT_LEN is 90"),
        ({"INPUT.SIZE": "(16, 20)"}, "squares"),
    ],
)
def test_bad_input(tiny, tmp_path, capsys, pairs, sentence):
    assert tiny.run(tmp_path / "out", "RTPT", EVAL, pairs) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_trained_model_is_refused(tiny, tmp_path, capsys):
    assert tiny.run(tmp_path / "out", "TPT", (*EVAL, "--model-dir", "somewhere"), FEW) == 2
    assert "CTX_FROM" in capsys.readouterr().err


def test_an_output_that_is_not_finite_stops_the_run(tiny, tmp_path):
    trainer = built(tiny, tmp_path)
    trainer.ctx0 = trainer.ctx0 * math.nan
    with pytest.raises(FloatingPointError, match="0_test_0.png"), torch.no_grad():
        trainer.answer(images(trainer)[:2])


def test_predict_and_inference_without_a_file(tiny, tmp_path):
    assert tiny.run(tmp_path / "run", "RTPT", EVAL, FEW) == 0
    predictor = load_predictor(tmp_path / "run")
    image = Image.open(tiny.root / "tiny" / "images" / "0_test_0.png")
    first, both = predictor.probabilities([image]), predictor.probabilities([image, image])
    assert first.shape == (1, 3)
    torch.testing.assert_close(both, first.expand(2, -1), atol=1e-3, rtol=1e-3)


# ---------------------------------------------------------------------- MTA, TTC, calibration


def test_mean_shift_by_hand():
    """One image at a time, written with loops."""
    f = F.normalize(torch.randn(3, 12, 5, dtype=torch.float64) + 1, dim=-1)
    p = (5 * f).softmax(-1)
    a = p @ p.mT

    def one(f, a):
        n = len(f)
        h2 = []
        for i in range(n):
            squares = sorted(float((f[i] - f[j]).square().sum()) for j in range(n) if j != i)
            h2.append(0.5 * sum(squares[: int(0.3 * (n - 1))]) / int(0.3 * (n - 1)))
        h2 = torch.tensor(h2, dtype=torch.float64)
        y, mode = torch.full((n,), 1 / n, dtype=torch.float64), f[0]
        for _ in range(5):
            k = torch.exp(-(f - mode).square().sum(1) / (2 * h2))
            for _ in range(5):
                old, y = y, ((k + 4.0 * a @ y) / 0.2).softmax(0)
                if (y - old).norm() < 1e-6:
                    break
            for _ in range(5):
                k = torch.exp(-(f - mode).square().sum(1) / (2 * h2))
                new = F.normalize(((k * y)[:, None] * f).sum(0), dim=0)
                old, mode = mode, new
                if (mode - old).norm() < 1e-6:
                    break
        return mode

    expected = torch.stack([one(f[b], a[b]) for b in range(3)])
    torch.testing.assert_close(mean_shift(f, a, 4.0, 0.2), expected, atol=1e-9, rtol=0)
    same = f[:, :1].expand(-1, 12, -1)
    torch.testing.assert_close(mean_shift(same, torch.ones_like(a), 4.0, 0.2), f[:, 0])


def test_counterattack(tiny, tmp_path):
    T = "TRAINER.TTC."
    trainer = built(tiny, tmp_path, "TTC")
    found = images(trainer)[:3]
    x = torch.stack([trainer.views.finish(image, trainer.device)[0] for image in found])
    seeds = [image.seed for image in found]

    def delta(**settings):
        own = built(tiny, tmp_path / "x", "TTC", {T + k: v for k, v in settings.items()})
        with torch.no_grad():
            return own.counterattack(x, own.raw_features(x), seeds), own

    still, trainer = delta(TAU=0.0)  # no image counts as attacked: the random start stays
    moved, _ = delta(TAU=1e9)
    both = torch.stack([still, moved])
    assert both.abs().max() <= 4 / 255 + 1e-7 and (x + both).min() >= 0 and (x + both).max() <= 1
    assert 0 < (moved - still).abs().max() <= 2 / 255 + 1e-7
    with torch.no_grad():
        e = trainer.raw_features(x)
        gone = [(trainer.raw_features(x + d) - e).norm(dim=1) for d in (still, moved)]
    assert (gone[1] > gone[0]).all()
    once, _ = delta(TAU=1e9, STEPS=1, BETA=50.0)  # all weight on the last iterate: one step of 1/255
    step = trainer.ascent(x, still, e).sign() / 255
    torch.testing.assert_close(once, ((x + (still + step).clamp(-4 / 255, 4 / 255)).clamp(0, 1) - x), atol=1e-6, rtol=0)


def test_tau_is_measured_with_the_original_tower(tiny, tmp_path):
    """Of a fine-tuned one: here a tower that no noise moves, by whose tau every picture counts as attacked."""
    file = tmp_path / "tower.pt"
    plain = built(tiny, tmp_path, "TTC")
    weights = {name: w.clone() for name, w in plain.clip.visual.state_dict().items()}
    weights["conv1.weight"] *= 1e-3
    torch.save(weights, file)
    robust = {"MODEL.BACKBONE.VISUAL_WEIGHTS": file, "TRAINER.TTC.TAU": 0.005}
    found = images(plain)[:3]
    x = torch.stack([plain.views.finish(image, plain.device)[0] for image in found])
    seeds = [image.seed for image in found]

    def delta_and_tau(**more):
        trainer = built(tiny, tmp_path, "TTC", {f"TRAINER.TTC.{k}": v for k, v in more.items()} | robust)
        with torch.no_grad():
            e = trainer.raw_features(x)
            return trainer.counterattack(x, e, seeds), trainer.relative_change(x, (x + 0.01).clamp(0, 1), e)

    original, tau = delta_and_tau()
    own, own_tau = delta_and_tau(TAU_TOWER="own")
    with torch.no_grad():
        expected = plain.relative_change(x, (x + 0.01).clamp(0, 1), plain.raw_features(x))
    torch.testing.assert_close(tau, expected, rtol=1e-5, atol=0)
    assert (own_tau < 0.005).all() and (tau > 0.005).all()
    torch.testing.assert_close(original, delta_and_tau(TAU_TOWER="own", STEPS=0)[0])  # the random start stays
    assert not torch.equal(original, own)
    with pytest.raises(ValueError, match="TAU_TOWER is 'other', but must be one of original, own"):
        built(tiny, tmp_path, "TTC", {"TRAINER.TTC.TAU_TOWER": "other"})


def test_groups():
    assert list(groups(iter(range(5)), 2)) == [[0, 1], [2, 3], [4]]


# ---------------------------------------------------------------------- the protocol


def test_protocol():
    (clean,) = plan("test_time", "rtpt", "digits", 1, {}, [])
    assert clean[clean.index("--output-dir") + 1] == "output/test_time/digits/clean/RTPT/embedded/seed1"
    assert "--eval-only" in clean and "TEST.ADV_SET" not in clean
    (attacked,) = plan("test_time", "TPT", "dtd", 2, {}, ["4", "100", N + "LR", "0.01"])
    assert attacked[attacked.index("--output-dir") + 1] == "output/test_time/dtd/pgd-eps4-100/TPT/vit_b16/seed2"
    given = dict(zip(attacked[-10::2], attacked[-9::2], strict=True))
    assert given == {
        "TEST.ADV_SET": "make", "ATTACK.NAME": "pgd", "ATTACK.EPS": "4", "ATTACK.STEPS": "100", N + "LR": "0.01",
    }  # fmt: skip
    (unmoved,) = plan("test_time", "TPT", "dtd", 2, {}, ["0", "7"])  # no pixel may move: the images are clean
    assert "--eval-only" in unmoved and "TEST.ADV_SET" not in unmoved
    with pytest.raises(DataError, match="STEPS must follow"):
        plan("test_time", "TPT", "dtd", 2, {}, ["4"])
    with pytest.raises(DataError, match="has to be trained"):
        plan("test_time", "CoOp", "dtd", 2, {}, [])


@pytest.mark.parametrize("method", ["ZeroshotCLIP", "MTA", "ZERO", "TTC", "TPS", "TDA"])
def test_prompts_of_other_tables(tiny, tmp_path, method):
    """The class features are the mean over the table's texts, whatever the method does with them."""
    key = "TRAINER.ZSCLIP.TEMPLATES" if method == "ZeroshotCLIP" else "TRAINER.TTA.PROMPTS"
    found = {}
    for kind, templates in (("ttc", ["This is a photo of a {}."]), ("clip_benchmark", list(FULL80))):
        trainer = tiny.trainer(tmp_path / kind, method, {key: kind, "DATASET.SUBSAMPLE_CLASSES": "all"})
        trainer.set_model_mode("eval")
        texts = [[template.format(name) for name in trainer.classnames] for template in templates]
        expected = normalize(mean_of_texts(trainer.text_encoder, texts))
        with torch.no_grad():
            torch.testing.assert_close(trainer.text_features(), expected, atol=1e-6, rtol=1e-5)
        found[kind] = expected
        if method != "ZeroshotCLIP":
            assert trainer.record["test_time"]["template"] == kind
    assert not torch.allclose(found["ttc"], found["clip_benchmark"], atol=1e-3)


@pytest.mark.parametrize(
    ("method", "pairs", "says"),
    [
        ("RTPT", {}, "RTPT tunes the context of one prompt"),
        ("TPS", {"TRAINER.TPS.PROTOTYPES": "templates"}, "PROTOTYPES templates has no prompt"),
    ],
)
def test_prompts_where_there_is_no_place_for_them(tiny, tmp_path, capsys, method, pairs, says):
    assert tiny.run(tmp_path / "out", method, ("--eval-only",), pairs | {"TRAINER.TTA.PROMPTS": "ttc"}) == 2
    assert says in capsys.readouterr().err
