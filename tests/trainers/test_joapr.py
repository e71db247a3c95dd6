"""JoAPR: the mixture on the losses, the two thresholds, the targets, the steps, the published settings."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from sklearn.mixture import GaussianMixture

import train
from clipkit import TextEncoder
from trainers.label_noise.decisions import Decision
from trainers.label_noise.two_gaussians import TwoGaussians, best_split, clean_threshold, fit_two_gaussians

N = "TRAINER.JOAPR."
NOISY = {"DATASET.NOISE.TYPE": "sym_other", "DATASET.NOISE.RATE": 0.5}


def built(tiny, folder, pairs=None, epoch: int = 0):
    trainer = tiny.trainer(folder, "JoAPR", pairs)
    trainer.epoch, trainer.batch_idx, trainer.num_batches = epoch, 0, 10**6
    return trainer


def two_heaps(n: int = 60, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    low = 0.1 + 0.05 * torch.randn(n, generator=generator, dtype=torch.float64)
    return torch.cat([0.7 + 0.2 * torch.randn(n // 2, generator=generator, dtype=torch.float64), low])


# ---------------------------------------------------------------------- the mixture


@pytest.mark.parametrize("seed", range(3))
def test_two_gaussians_are_scikit_learns(seed):
    """Same start (its own 2-means may end in another split), rounds, tolerance and floor."""
    x = two_heaps(seed=seed)
    parts = [x[x <= best_split(x)], x[x > best_split(x)]]
    start = {
        "weights_init": [len(part) / len(x) for part in parts],
        "means_init": [[part.mean().item()] for part in parts],
        "precisions_init": [[[1 / (part.var(correction=0).item() + 5e-4)]] for part in parts],
    }
    theirs = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, **start).fit(x[:, None].numpy())
    ours, order = fit_two_gaussians(x), theirs.means_[:, 0].argsort()
    assert ours.mean.tolist() == pytest.approx(theirs.means_[order, 0].tolist(), abs=1e-6)
    assert ours.variance.tolist() == pytest.approx(theirs.covariances_[order, 0, 0].tolist(), abs=1e-6)
    assert ours.weight.tolist() == pytest.approx(theirs.weights_[order].tolist(), abs=1e-6)
    posterior = theirs.predict_proba(x[:, None].numpy())[:, order[0]]
    torch.testing.assert_close(ours.posterior(x), torch.from_numpy(posterior), atol=1e-6, rtol=0)


def test_the_split_leaves_the_least_squares():
    x = torch.rand(15, generator=torch.Generator().manual_seed(1)).double()

    def squares(cut: float) -> float:
        return sum(((part - part.mean()) ** 2).sum().item() for part in (x[x <= cut], x[x > cut]))

    assert best_split(x) == min(x.sort().values[:-1].tolist(), key=squares)


@pytest.mark.parametrize("x", [torch.zeros(6), torch.tensor([0.5])])
def test_items_that_are_all_alike(x):
    mixture = fit_two_gaussians(x)
    assert mixture.posterior(x).isfinite().all()
    threshold = clean_threshold(mixture)
    assert threshold is None or math.isfinite(threshold)


def mixture(mu_c: float, var_c: float, mu_n: float, var_n: float) -> TwoGaussians:
    pairs = ([0.7, 0.3], [mu_c, mu_n], [var_c, var_n])
    return TwoGaussians(*(torch.tensor(pair, dtype=torch.float64) for pair in pairs))


def density(x: float, mu: float, sigma: float) -> float:
    return math.exp(-((x - mu) ** 2) / (2 * sigma**2)) / sigma


@pytest.mark.parametrize("case", [(0.1, 0.0025, 0.7, 0.04), (0.2, 0.04, 0.6, 0.01), (0.2, 0.02, 0.6, 0.02)])
@pytest.mark.parametrize("std", [True, False])
def test_at_the_threshold_the_clean_density_is_twice_the_noisy_one(case, std):
    """Also where the clean Gaussian is the wider one, and where both are alike. Released: the variances as sigma."""
    mu_c, var_c, mu_n, var_n = case
    x = clean_threshold(mixture(*case), std)
    sigma = (math.sqrt(var_c), math.sqrt(var_n)) if std else (var_c, var_n)
    clean, noisy = (lambda x: density(x, mu_c, sigma[0])), (lambda x: density(x, mu_n, sigma[1]))
    assert mu_c < x < mu_n and clean(x) == pytest.approx(2 * noisy(x), rel=1e-6)
    assert clean(x - 1e-3) > 2 * noisy(x - 1e-3) and clean(x + 1e-3) < 2 * noisy(x + 1e-3)


def test_no_threshold_where_the_clean_density_is_nowhere_twice_the_noisy_one():
    assert clean_threshold(mixture(0.5, 0.04, 0.5001, 0.04)) is not None  # two lines always meet
    assert clean_threshold(mixture(0.5, 0.041, 0.51, 0.04)) is not None
    assert clean_threshold(mixture(0.5, 0.036, 0.5001, 0.04)) is None


# ---------------------------------------------------------------------- the decision


def deciding(tiny, folder, pairs=None, epoch: int = 1):
    """With twelve items whose logits the test sets."""
    trainer = built(tiny, folder, pairs, epoch)
    label = torch.arange(12) % 3
    trainer.__dict__["training_list"] = SimpleNamespace(label=label, logits=lambda: trainer.found)
    trainer.found = torch.zeros(12, 3)
    trainer.found[torch.arange(12), label] = torch.tensor([4, 4.5, 5, 3.5, 4, 4.2, 0.3, -4, -4.5, -3.5, -4, -4.2])
    return trainer, label


def losses_of(logits: torch.Tensor, label: torch.Tensor) -> list[float]:
    found = []
    for row, y in zip(logits.double().softmax(1).tolist(), label.tolist(), strict=True):
        found.append(-math.log(row[y]) - sum(p * math.log(p) for p in row))
    return [(x - min(found)) / (max(found) - min(found)) for x in found]


def test_warm_up_decides_nothing(tiny, tmp_path):
    trainer, _ = deciding(tiny, tmp_path, {N + "W": 2}, epoch=1)
    assert trainer.decide() is None
    trainer.epoch = 2
    assert trainer.decide() is not None


def test_losses_are_averaged_over_the_last_rounds(tiny, tmp_path):
    trainer, label = deciding(tiny, tmp_path, {N + "WINDOW": 3})
    rounds = []
    for k in range(5):
        trainer.found = torch.randn(12, 3, generator=torch.Generator().manual_seed(k))
        rounds.append(losses_of(trainer.found, label))
        trainer.epoch = 1 + k
        decision = trainer.decide()
        seen = [sum(x) / len(x) for x in zip(*rounds[-3:], strict=True)]
        assert trainer.losses_seen.mean(0).tolist() == pytest.approx(seen, abs=1e-9)
        w = fit_two_gaussians(torch.tensor(seen).double()).posterior(torch.tensor(seen).double())
        torch.testing.assert_close(decision.score, w, atol=1e-6, rtol=0)


def test_clean_is_below_the_one_threshold_or_above_the_other(tiny, tmp_path, monkeypatch):
    trainer, _ = deciding(tiny, tmp_path)
    w = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.45, 0.4, 0.3, 0.2, 0.1, 0.05, 0.03, 0.01]).double()
    seen = torch.linspace(0, 1, 12).double()
    monkeypatch.setattr(trainer, "average_loss", lambda loss: seen)
    monkeypatch.setattr("trainers.joapr.fit_two_gaussians", lambda x: SimpleNamespace(posterior=lambda x: w))

    def clean(threshold: float | None, kappa: float = 0.5) -> int:
        monkeypatch.setattr("trainers.joapr.clean_threshold", lambda mixture, std: threshold)
        trainer.kappa = kappa
        return trainer.decide().clean.sum().item()

    # kappa 0.5: eight of twelve w are at most 0.5, so kappa becomes 2/3, which three w exceed
    assert clean(0.01) == 3 and trainer.kappa == pytest.approx(8 / 12)
    assert clean(seen[5].item()) == 5 and clean(None) == 3
    assert clean(2.0) == 3  # all would be clean: Clean_2 alone
    assert clean(0.01, kappa=1.0) == 1 and trainer.kappa == 1.0  # nothing above kappa, one loss below the threshold
    assert clean(-1.0, kappa=1.0) == 0  # one part is empty, and stays so
    steps = trainer.steps(Decision(torch.zeros(12, dtype=torch.bool), w))
    assert sorted(i for _, indices in steps for i in indices) == list(range(12))


def test_weights_of_the_first_round_and_of_later_ones(tiny, tmp_path):
    trainer, label = deciding(tiny, tmp_path)
    w = trainer.decide().score
    torch.testing.assert_close(trainer.weight, w.float())
    assert (
        trainer.is_clean.tolist() == [True] * 7 + [False] * 5 or trainer.is_clean.tolist() == [True] * 6 + [False] * 6
    )
    trainer.epoch = 2
    w = trainer.decide().score
    p_y = trainer.found.softmax(1)[torch.arange(12), label]
    torch.testing.assert_close(trainer.weight, (w * p_y).float(), atol=1e-6, rtol=1e-5)
    assert not torch.allclose(trainer.weight, w.float(), atol=1e-3)


# ---------------------------------------------------------------------- the steps


@pytest.mark.parametrize("few", [1, 5])
def test_steps_hold_both_parts_and_the_smaller_one_starts_again(tiny, tmp_path, few):
    trainer = built(tiny, tmp_path, epoch=1)
    for flip in (False, True):
        clean = (torch.arange(19) < few) ^ flip
        steps = trainer.steps(Decision(clean, clean.float()))
        small = set(range(few))
        assert len(steps) == math.ceil((19 - few) / 4) and {part for part, _ in steps} == {"both"}
        drawn = [[i for i in indices if i in small] for _, indices in steps]
        others = sorted(i for _, indices in steps for i in indices if i not in small)
        assert others == list(range(few, 19)) and all(drawn)
        turns = [sum(drawn[k : k + math.ceil(few / 4)], []) for k in range(0, len(drawn), math.ceil(few / 4))]
        assert all(sorted(turn) == sorted(small) for turn in turns[:-1])
        assert few == 1 or len({tuple(turn) for turn in turns}) > 1


def test_a_run_trains_on_clean_and_noisy_items(tiny, tmp_path, monkeypatch):
    from trainers.joapr import JoAPR

    met, real = [], JoAPR.loss

    def noted(self, image, label, part, index):
        if part == "both":
            met.append((self.epoch, self.is_clean[index].float().mean().item(), index.tolist()))
            assert [self.dm.dataset.train_x[i].label for i in index] == label.tolist()
        return real(self, image, label, part, index)

    monkeypatch.setattr(JoAPR, "loss", noted)
    assert tiny.run(tmp_path / "run", "JoAPR", pairs=NOISY | {"OPTIM.MAX_EPOCH": 4}) == 0
    assert {epoch for epoch, *_ in met} == {1, 2, 3} and all(0 < share < 1 for _, share, _ in met)
    for epoch in (1, 2, 3):
        assert {i for e, _, indices in met for i in indices if e == epoch} == set(range(12))
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "loss_penalty" in log and "loss_even" in log and "epoch 1: " not in log and "Clean items in epoch 2: " in log


# ---------------------------------------------------------------------- the loss


def batch():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(4, 3, 16, 16, generator=generator), torch.tensor([0, 1, 2, 0])


def test_warm_up_loss(tiny, tmp_path):
    trainer = built(tiny, tmp_path, {N + "ALPHA1": 0.3})
    image, label = batch()
    logits, terms = trainer.loss(image, label)
    rows = logits.double().softmax(1).tolist()
    ce = sum(-math.log(row[y]) for row, y in zip(rows, label.tolist(), strict=True)) / 4
    penalty = 0.3 * sum(p * math.log(p) for row in rows for p in row) / 4
    assert {k: v.item() for k, v in terms.items()} == pytest.approx({"ce": ce, "penalty": penalty}, abs=1e-5)


ITEMS = torch.tensor([5, 0, 7, 2])


def in_step(trainer):
    """Of `ITEMS` 5 and 2 are clean."""
    trainer.weight, trainer.is_clean = torch.full((12,), 9.0), torch.zeros(12, dtype=torch.bool)
    trainer.weight[5], trainer.weight[2] = 0.8, 0.3
    trainer.is_clean[[5, 2]] = True
    return trainer


def refurbished(p: list[float], y: int, w: float, power: float) -> list[float]:
    mixed = [(w * (c == y) + (1 - w) * x) ** power for c, x in enumerate(p)]
    return [x / sum(mixed) for x in mixed]


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_joint_loss(tiny, tmp_path, monkeypatch, share):
    trainer = in_step(built(tiny, tmp_path, {N + "ALPHA2": 0.7, N + "SHARPEN": 3.0}))
    image, label = batch()
    partner = torch.tensor([2, 0, 3, 1])
    monkeypatch.setattr(trainer, "mix", lambda size: (share, partner))
    text = trainer.encode_text()
    logits, terms = trainer.loss(image, label, "both", ITEMS)

    def predict(x):
        return trainer.logits(trainer.encode_image(x), text).double().softmax(1).tolist()

    weight = [0.8, 0.0, 0.0, 0.3]
    target = [refurbished(p, y, w, 3.0) for p, y, w in zip(predict(image), label.tolist(), weight, strict=True)]
    target = [
        [share * a + (1 - share) * b for a, b in zip(target[i], target[j], strict=True)] for i, j in enumerate(partner)
    ]
    p = predict(share * image + (1 - share) * image[partner])
    ce = -sum(t * math.log(q) for ts, qs in zip(target, p, strict=True) for t, q in zip(ts, qs, strict=True)) / 4
    mean = [sum(column) / 4 for column in zip(*p, strict=True)]
    even = 0.7 * sum(1 / 3 * math.log(1 / 3 / m) for m in mean)
    assert {k: v.item() for k, v in terms.items()} == pytest.approx({"ce": ce, "even": even}, abs=1e-5)
    assert logits.softmax(1).flatten().tolist() == pytest.approx([x for row in p for x in row], abs=1e-5)


def test_pseudo_labels_carry_no_gradient_and_cost_no_second_text_pass(tiny, tmp_path, monkeypatch):
    trainer = in_step(built(tiny, tmp_path))
    calls, real, seen = [], TextEncoder.encode, []
    monkeypatch.setattr(TextEncoder, "encode", lambda *a, **k: calls.append(a) or real(*a, **k))
    targets = trainer.targets
    monkeypatch.setattr(trainer, "targets", lambda p, *about: seen.append(p) or targets(p, *about))
    _, terms = trainer.loss(*batch(), "both", ITEMS)
    assert len(calls) == 1 and not seen[0].requires_grad
    sum(terms.values()).backward()
    assert trainer.model.ctx.grad.abs().max() > 0


def test_images_are_hardly_ever_mixed(tiny, tmp_path):
    trainer = built(tiny, tmp_path)
    found = []
    for trainer.batch_idx in range(400):  # noqa: B007
        share, partner = trainer.mix(8)
        assert 0.5 <= share <= 1 and sorted(partner.tolist()) == list(range(8))
        found.append(share)
    assert 0.94 < sum(share == 1 for share in found) / 400 <= 1
    trainer.batch_idx = 0
    assert trainer.mix(8)[0] == found[0] and torch.equal(trainer.mix(8)[1], trainer.mix(8)[1])
    wide = built(tiny, tmp_path, {N + "MIX_ALPHA": 1.0})
    shares = []
    for wide.batch_idx in range(200):  # noqa: B007
        shares.append(wide.mix(2)[0])
    assert sum(shares) / 200 == pytest.approx(0.75, abs=0.05)  # max(r, 1 - r) of a uniform r


# ---------------------------------------------------------------------- settings and resuming


def settings(dataset: str, *pairs: object) -> tuple:
    arguments = ["--trainer", "JoAPR", "DATASET.NAME", dataset, "DATASET.NUM_SHOTS", "16", *map(str, pairs)]
    own = train.setup_cfg(train.build_parser().parse_args(arguments)).TRAINER.JOAPR
    return own.W, own.ALPHA1, own.ALPHA2


@pytest.mark.parametrize(
    ("dataset", "kind", "rate", "expected"),
    [
        ("ImageNet", "sym_other", 0.75, (1, 0.5, 1.0)),
        ("Caltech101", "sym_other", 0.5, (1, 0.5, 0.5)),
        ("OxfordPets", "pair_next", 0.75, (1, 0.2, 1.0)),
        ("DescribableTextures", "sym_other", 0.75, (1, 0.2, 1.0)),
        ("DescribableTextures", "pair_next", 0.75, (1, 0.1, 1.0)),
        ("FGVCAircraft", "sym_other", 0.625, (150, 0.1, 1.0)),
        ("FGVCAircraft", "pair_next", 0.75, (150, 0.5, 1.0)),
        ("OxfordFlowers", "sym_other", 0.625, (20, 0.5, 1.0)),
        ("OxfordFlowers", "sym_other", 0.75, (1, 0.5, 1.0)),
        ("OxfordFlowers", "fp_swap_pair", 0.5, (1, 0.5, 1.0)),
        ("UCF101", "pair_next", 0.25, (20, 0.5, 1.0)),
        ("UCF101", "pair_next", 0.375, (1, 0.5, 1.0)),
        ("EuroSAT", "sym_other", 0.375, (10, 0.2, 1.0)),
        ("EuroSAT", "sym_other", 0.5, (1, 0.2, 1.0)),
        ("EuroSAT", "pair_next", 0.5, (10, 0.2, 1.0)),
        ("EuroSAT", "pair_next", 0.75, (1, 0.1, 1.0)),
        ("Food101", "pair_next", 0.75, (1, 0.5, 1.0)),
    ],
)
def test_published_settings(dataset, kind, rate, expected):
    noise = ("DATASET.NOISE.TYPE", kind, "DATASET.NOISE.RATE", rate)
    assert settings(dataset, *noise) == expected
    assert settings(dataset, *noise, N + "RATE_INDEPENDENT", True) == (1, 0.5, 1.0)
    assert settings(dataset, *noise, N + "W", 7) == (7, *expected[1:])


def test_published_settings_in_the_fields_own_flags():
    assert settings("OxfordFlowers", "DATASET.NUM_FP", 12) == (1, 0.5, 1.0)
    assert settings("OxfordFlowers", "DATASET.NUM_FP", 10) == (20, 0.5, 1.0)
    assert settings("OxfordFlowers", "DATASET.NUM_FP", 8, "DATASET.NOISE_TYPE", "pair") == (1, 0.5, 1.0)
    assert settings("OxfordFlowers") == (20, 0.5, 1.0)


def test_published_settings_of_a_manifest(tiny, tmp_path):
    tiny.trainer(tmp_path, "JoAPR", NOISY | {"DATASET.NOISE.RATE": 0.75, "DATASET.SUBSAMPLE_CLASSES": "all"})
    file = tiny.root / "tiny/noise/4shot_split1/sym_other_r0750_n1.json"
    assert settings("UCF101", "DATASET.NOISE.MANIFEST", file) == (1, 0.5, 1.0)


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ({N + "W": -1}, "JOAPR.W is -1, but must be a whole number at least 0"),
        ({N + "WINDOW": 0}, "WINDOW is 0, but must be a whole number at least 1"),
        ({N + "MIX_ALPHA": 0.0}, "MIX_ALPHA is 0.0, but must be a finite number above 0"),
        ({N + "SHARPEN": -1.0}, "SHARPEN is -1.0"),
    ],
)
def test_bad_settings_are_one_sentence(tiny, tmp_path, capsys, pairs, says):
    assert tiny.run(tmp_path / "run", "JoAPR", pairs=pairs) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and says in error[0] and not (tmp_path / "run").exists()


def test_a_run_that_is_all_warm_up_says_so(tiny, tmp_path, caplog):
    with caplog.at_level("INFO"):
        built(tiny, tmp_path, {N + "W": 3})
    assert "All 3 epochs are warm-up" in caplog.text


def test_it_does_not_go_on_without_the_losses_seen(tiny, tmp_path):
    from clipkit import InputError

    trainer, _ = deciding(tiny, tmp_path)
    trainer.decide()
    state = trainer.extra_state()
    fresh, _ = deciding(tiny, tmp_path)
    fresh.load_extra_state(state)
    assert fresh.kappa == trainer.kappa != 0.5 and torch.equal(fresh.losses_seen, trainer.losses_seen)
    del state["losses_seen"]
    with pytest.raises(InputError, match="does not hold the items' losses"):
        fresh.load_extra_state(state)


# ---------------------------------------------------------------------- the released code


def test_compat_released(tiny, tmp_path):
    """Variances in the threshold, and from the second round on an item's weight has another item's probability."""
    released = {N + "COMPAT": "released", N + "W": 0}
    ours, theirs = built(tiny, tmp_path, NOISY | {N + "W": 0}), built(tiny, tmp_path, NOISY | released)
    assert (ours.method_cfg().THRESH_STD, theirs.method_cfg().THRESH_STD) == (True, False)
    assert built(tiny, tmp_path, released | {N + "THRESH_STD": True}).method_cfg().THRESH_STD  # a pair wins
    first = [trainer.decide() and trainer.weight for trainer in (ours, theirs)]
    torch.testing.assert_close(*first)
    for trainer in (ours, theirs):
        trainer.epoch = 1
        trainer.decide()
    items = ours.training_list
    p_y = items.logits().double().softmax(1).gather(1, items.label[:, None])[:, 0]
    torch.testing.assert_close(ours.weight, (first[0].double() * p_y).float())
    visited = theirs.as_visited(p_y)
    torch.testing.assert_close(theirs.weight, (first[1].double() * visited).float())
    assert not torch.equal(visited, p_y) and torch.equal(visited.sort().values, p_y.sort().values)
    assert not torch.allclose(theirs.weight, ours.weight) and torch.equal(ours.as_visited(p_y), p_y)
