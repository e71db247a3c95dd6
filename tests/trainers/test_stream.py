"""Methods that learn from the stream: TDA against a plain implementation; order, resets, passes, refusals."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
import torch
from helpers import outputs_rows
from torch.nn import functional as F

from clipkit import InputError
from dassl.data.datasets import DATASET_REGISTRY
from dassl.utils import InputError as DataError
from runs.protocols import plan
from trainers.tda import PUBLISHED, TDA
from trainers.tta.domains import join
from trainers.tta.feature_cache import Entry, FeatureCache
from trainers.tta.stream import stream_order

T, S, EVAL = "TRAINER.TDA.", "TRAINER.STREAM.", ("--eval-only",)


def built(tiny, folder, pairs=None, name="TDA"):
    trainer = tiny.trainer(folder, name, {"DATASET.SUBSAMPLE_CLASSES": "all"} | (pairs or {}))
    trainer.set_model_mode("eval")
    return trainer


# ---------------------------------------------------------------------- TDA


class PlainTDA:
    """One image after another, with lists."""

    def __init__(self, t, alpha=2.0, beta=5.0):
        self.t, self.alpha, self.beta, self.positive, self.negative = t, alpha, beta, {}, {}

    @staticmethod
    def put(cache, label, item, capacity):
        kept = cache.setdefault(label, [])
        if len(kept) < capacity:
            kept.append(item)
        elif item[1] < kept[-1][1]:
            kept[-1] = item
        kept.sort(key=lambda x: x[1])

    def __call__(self, views):
        logits = 100 * views @ self.t.T
        if len(views) > 1:
            entropies = [-(p * p.log()).sum().item() for p in logits.softmax(1)]
            chosen = sorted(range(len(views)), key=lambda i: entropies[i])[: int(0.1 * len(views))]
        else:
            chosen = [0]
        f, l, p = views[chosen].mean(0), logits[chosen].mean(0), logits[chosen].softmax(1).mean(0)  # noqa: E741
        h = -(p * p.log()).sum().item()
        label = int(l.argmax())
        self.put(self.positive, label, (f, h), 3)
        if 0.2 < h / math.log2(len(self.t)) < 0.5:
            self.put(self.negative, label, (f, h, p), 2)
        out = l.clone()
        for c, kept in self.positive.items():
            for item in kept:
                out[c] += self.alpha * math.exp(-self.beta * (1 - float(f @ item[0])))
        for kept in self.negative.values():
            for item in kept:
                weight = 0.117 * math.exp(-1.0 * (1 - float(f @ item[0])))
                out -= weight * ((item[2] > 0.03) & (item[2] < 1)).to(out)
        return out


@pytest.mark.parametrize("views", [1, 60])
def test_tda_as_the_plain_implementation(tiny, tmp_path, views):
    trainer = built(tiny, tmp_path)
    generator = torch.Generator().manual_seed(0)
    t = F.normalize(torch.randn(5, 32, generator=generator, dtype=torch.float64), dim=1)
    labels = torch.randint(0, 5, (40,), generator=generator)
    noise = torch.randn(40, views, 32, generator=generator, dtype=torch.float64)
    f = F.normalize(0.1 * t[labels][:, None] + 0.08 * noise, dim=-1)  # unsure enough for both caches
    trainer.text_features = lambda: t
    plain, state = PlainTDA(t), trainer.new_state()
    for image in f:
        trainer.learn(state, image)
        torch.testing.assert_close(trainer.read(state, image), plain(image), atol=1e-9, rtol=0)
    assert len(state.positive) == sum(map(len, plain.positive.values())) > 5
    assert len(state.negative) == sum(map(len, plain.negative.values())) > 2
    assert trainer.state_size(state) == len(state.positive) + len(state.negative)


def test_the_cache_keeps_the_surest():
    cache, e = FeatureCache(2), torch.eye(3)
    for entropy in (3.0, 1.0, 2.0, 4.0):
        cache.add(0, Entry(e[0], entropy, e[0]))
    assert [x.entropy for x in cache.classes[0]] == [1.0, 2.0] and len(cache) == 2
    other = cache.copy()
    other.add(1, Entry(e[1], 0.5, e[1]))
    assert (len(other), len(cache)) == (3, 2)
    torch.testing.assert_close(other.read(e[1], 2.0, 5.0), torch.tensor([4 * math.exp(-5), 2.0, 0.0]))
    assert FeatureCache(2).read(e[0], 1.0, 1.0) == 0.0


@pytest.mark.parametrize(
    ("dataset", "views"), [("Tiny", 1), ("ImageNet", 1), ("ImageNetA", 64), ("ImageNetSketch", 64)]
)
def test_settings_of_the_data_set(tiny, tmp_path, dataset, views):
    import train

    def cfg(*pairs):
        args = tiny.arguments(tmp_path, "TDA", (), {"DATASET.NAME": dataset})
        return train.setup_cfg(train.build_parser().parse_args([*args, *pairs]))

    pair = PUBLISHED.get(dataset, (2.0, 5.0))
    assert pair == (cfg().TRAINER.TDA.ALPHA, cfg().TRAINER.TDA.BETA)
    fixed = cfg(T + "TUNED", "False").TRAINER.TDA
    assert (fixed.ALPHA, fixed.BETA) == (2.0, 5.0)
    own = cfg(T + "ALPHA", "7").TRAINER.TDA
    assert (7.0, pair[1]) == (own.ALPHA, own.BETA)
    trainer = built(tiny, tmp_path)
    trainer.cfg = cfg()
    assert trainer.n_views() == views


def test_boostadapter_reads_its_own_views_and_forgets_them(tiny, tmp_path):
    trainer = built(tiny, tmp_path, {"TRAINER.TTA.N_VIEWS": 20}, "BoostAdapter")
    assert trainer.n_views() == trainer.views.n == 20
    generator = torch.Generator().manual_seed(1)
    t = F.normalize(torch.randn(5, 32, generator=generator, dtype=torch.float64), dim=1)
    f = F.normalize(0.1 * t[0] + 0.08 * torch.randn(20, 32, generator=generator, dtype=torch.float64), dim=-1)
    trainer.text_features = lambda: t
    state = trainer.new_state()
    trainer.learn(state, f)
    before = len(state.positive)
    found = trainer.read(state, f)
    assert len(state.positive) == before == 1
    mean, logits, _, _ = trainer.summary(f)
    views = 100 * f @ t.T
    entropies = [-(p * p.log()).sum().item() for p in views.softmax(1)]
    expected, per_class = (
        logits.clone(),
        {int(logits.argmax()): [(state.positive.classes[int(logits.argmax())][0].entropy, mean)]},
    )
    for i in sorted(range(20), key=lambda i: entropies[i])[:2]:
        per_class.setdefault(int(views[i].argmax()), []).append((entropies[i], f[i]))
    for label, kept in per_class.items():
        for _, key in sorted(kept, key=lambda x: x[0])[:3]:
            expected[label] += 2 * math.exp(-5 * (1 - float(mean @ key)))
    if len(state.negative):
        expected -= state.negative.read(mean, 0.117, 1.0)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)
    assert not torch.allclose(found, TDA.read(trainer, state, f), atol=1e-4)
    assert tiny.run(tmp_path / "run", "BoostAdapter", EVAL, ALL | {"TRAINER.TTA.N_VIEWS": 8}) == 0
    assert told(tmp_path / "run")["stateful"] is True


# ---------------------------------------------------------------------- the stream


def test_orders():
    items = [SimpleNamespace(label=i // 4, domain=i % 2) for i in range(20)]
    found = {kind: stream_order(kind, items, 7) for kind in ("file", "shuffled", "by_class", "by_domain")}
    assert all(sorted(order) == list(range(20)) for order in found.values())
    assert found["file"] == list(range(20)) and len({tuple(order) for order in found.values()}) == 4
    assert stream_order("shuffled", items, 7) == found["shuffled"] != stream_order("shuffled", items, 8)
    classes = [items[i].label for i in found["by_class"]]
    assert len(set(classes[::4])) == 5 and all(len(set(classes[i : i + 4])) == 1 for i in range(0, 20, 4))
    assert classes != sorted(classes) and found["by_class"][:4] != sorted(found["by_class"][:4])
    drawn = {tuple(items[i].domain for i in stream_order("by_domain", items, seed)) for seed in range(8)}
    assert drawn == {(0,) * 10 + (1,) * 10, (1,) * 10 + (0,) * 10}  # one after another, in a drawn order
    assert sorted(found["by_domain"][:10]) != found["by_domain"][:10]


def told(folder):
    return json.loads((folder / "results.json").read_text())["test_time"]


ALL = {"DATASET.SUBSAMPLE_CLASSES": "all"}


def test_a_run_its_record_and_its_order(tiny, tmp_path):
    def run(name, pairs=None, flags=()):
        assert tiny.run(tmp_path / name, "TDA", (*flags, *EVAL), ALL | (pairs or {})) == 0
        return outputs_rows(tmp_path / name), told(tmp_path / name)

    rows, first = run("a")
    assert [row["path"] for row in rows[:4]] == [f"0_test_{i}.png" for i in range(4)]  # in the order of the list
    assert first["stateful"] is True and first["order"] == "shuffled" and 1 <= first["state_size"] <= 25
    right = [row["label"] == row["prediction"] for row in rows]
    assert first["accuracy_after"] == pytest.approx(5 * sum(right))
    order = stream_order("shuffled", built(tiny, tmp_path / "t").dm.dataset.test, 0)
    assert len(order) == 20 and 0 <= first["accuracy_last_half"] <= 100
    for name, pairs in (("workers", {"DATALOADER.NUM_WORKERS": 2}), ("batches", {"DATALOADER.TEST.BATCH_SIZE": 3})):
        again, same = run(name, pairs)
        assert again == rows and same == first
    other, third = run("seed", flags=("--seed", "2"))
    assert third["order_hash"] != first["order_hash"] and other != rows
    assert run("own seed", {S + "SEED": 2})[1]["order_hash"] == third["order_hash"]
    assert run("twice", {S + "PASSES": 2})[0] != rows
    fresh, fifth = run("reset", {S + "RESET_EVERY": 1})
    assert fifth["state_size"] <= 2 and fresh != rows
    together, _ = run("batch", {S + "BATCH": 4})
    assert together != rows
    # with a reset before each image the order does not matter, and each is the first one of a stream
    assert run("reset by class", {S + "RESET_EVERY": 1, S + "ORDER": "by_class"})[0] == fresh


@pytest.fixture
def shifted(tiny):
    """A second data set with Tiny's images and classes."""
    name = "TinyShifted"
    if name not in DATASET_REGISTRY.registered_names():
        DATASET_REGISTRY.register()(type(name, (DATASET_REGISTRY.get("Tiny"),), {}))
    return name


def test_a_stream_over_several_data_sets(tiny, tmp_path, shifted):
    """Mixed, and one after another; labels are the first set's, and each set has an accuracy of its own."""

    def run(name, pairs):
        assert tiny.run(tmp_path / name, "TDA", EVAL, ALL | pairs) == 0
        return outputs_rows(tmp_path / name), told(tmp_path / name)

    alone, first = run("alone", {})
    rows, mixed = run("mixed", {S + "WITH": shifted})
    assert len(rows) == 2 * len(alone) == 40 and "domains" not in first
    assert [row["label"] for row in rows[20:]] == [row["label"] for row in alone]
    assert set(mixed["domains"]) == set(mixed["accuracy_by_domain"]) == {"Tiny", shifted}
    halves = [100 * sum(r["label"] == r["prediction"] for r in part) / 20 for part in (rows[:20], rows[20:])]
    assert [mixed["accuracy_by_domain"][name] for name in ("Tiny", shifted)] == pytest.approx(halves)
    assert mixed["accuracy_after"] == pytest.approx(sum(halves) / 2) and mixed["images"] == 40
    after, last = run("after", {S + "WITH": shifted, S + "ORDER": "by_domain"})
    assert last["order_hash"] != mixed["order_hash"] and after != rows and len(last["domains"]) == 2
    arrives_first = after[:20] if last["domains"][0] == "Tiny" else after[20:]
    assert [r["before.confidence"] for r in arrives_first] == [r["before.confidence"] for r in alone]
    assert run("workers", {S + "WITH": shifted, "DATALOADER.NUM_WORKERS": 2})[0] == rows


def test_data_sets_that_do_not_fit_one_stream(tiny, tmp_path, capsys, shifted, monkeypatch):
    for pairs, sentence in (
        ({S + "WITH": "nowhere"}, "There is no dataset 'nowhere'"),
        ({S + "WITH": f"{shifted},{shifted}"}, f"has {shifted} twice"),
        ({S + "WITH": shifted, "TEST.ADV_SET": "make"}, "joins clean data sets"),
    ):
        assert tiny.run(tmp_path / "out", "TDA", EVAL, ALL | pairs) == 2
        assert sentence in capsys.readouterr().err
    trainer = built(tiny, tmp_path / "t")
    data = SimpleNamespace(classnames=["striped_circle", "dotted star"])
    with pytest.raises(InputError, match="Tiny has no class 'checkered house'"):
        join(trainer.test_loader, data, trainer.cfg, [shifted])


def test_without_a_stream_an_image_is_the_first(tiny, tmp_path):
    trainer = built(tiny, tmp_path)
    image = next(iter(trainer.test_loader))["img"]
    with torch.no_grad():
        a, b = trainer.model_inference(image), trainer.model_inference(image.flip(0)).flip(0)
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-5)
    assert trainer.state is None
    with pytest.raises(InputError, match="replay the stream"):
        trainer.pixel_logits(image)


def test_attacked_and_clean_pictures_in_one_stream(tiny, tmp_path):
    attack = {"TEST.ADV_SET": "make", "ATTACK.EPS": 16, "ATTACK.STEPS": 3, "ATTACK.DIR": tmp_path / "adv"}
    attack |= {"INPUT.PIXEL_MEAN": [0.48145466, 0.4578275, 0.40821073]} | ALL
    found = {}
    for share in (0.0, 0.5, 1.0):
        folder = tmp_path / str(share)
        assert tiny.run(folder, "TDA", EVAL, attack | {S + "ATTACKED": share}) == 0
        found[share] = outputs_rows(folder), told(folder)
    assert tiny.run(tmp_path / "clean", "TDA", EVAL, ALL | {"INPUT.PIXEL_MEAN": attack["INPUT.PIXEL_MEAN"]}) == 0
    clean = outputs_rows(tmp_path / "clean")
    assert [r["confidence"] for r in found[0.0][0]] == [r["confidence"] for r in clean]
    before = {share: [r["before.confidence"] for r in rows] for share, (rows, _) in found.items()}
    same = [a == b for a, b in zip(before[0.5], before[0.0], strict=True)]
    assert 0 < sum(same) < 20
    assert all(s or a == b for s, a, b in zip(same, before[0.5], before[1.0], strict=True))
    mixed = found[0.5][1]
    share = sum(same) / 20
    mean = share * mixed["accuracy_clean"] + (1 - share) * mixed["accuracy_attacked"]
    assert mean == pytest.approx(mixed["accuracy_after"])


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        ({S + "ORDER": "random"}, "ORDER is 'random', but must be one of shuffled, file, by_class, by_domain"),
        ({S + "PASSES": 0}, "PASSES is 0"),
        ({S + "RESET_EVERY": 5, S + "BATCH": 2}, "RESET_EVERY is 5, no multiple"),
        ({T + "CAPACITY": 0}, "CAPACITY is 0"),
    ],
)
def test_bad_input(tiny, tmp_path, capsys, pairs, sentence):
    assert tiny.run(tmp_path / "out", "TDA", EVAL, pairs) == 2
    assert sentence in capsys.readouterr().err


# ---------------------------------------------------------------------- the protocol


def test_the_protocol_keeps_streams_apart():
    (run,) = plan("online", "tda", "digits", 1, {}, ["4", "10"])
    assert run[run.index("--output-dir") + 1] == "output/online/digits/pgd-eps4-10/TDA/embedded/seed1"
    assert plan("online", "ZeroshotCLIP", "digits", 1, {}, [])
    for protocol, method, says in (
        ("test_time", "TDA", "protocol online"),
        ("few_shot", "TDA", "protocol online"),
        ("online", "TPT", "keeps no state between images"),
        ("online", "CoOp", "has to be trained"),
    ):
        with pytest.raises(DataError, match=says):
            plan(protocol, method, "digits", 1, {}, [])
    with pytest.raises(DataError, match="TRAINER.STREAM.ORDER"):
        plan("online", "TDA", "digits", 1, {}, [S + "ORDER", "file"])
    assert plan("online", "TDA", "digits", 1, {"OUTPUT": "output/variants/file"}, [S + "ORDER", "file"])
