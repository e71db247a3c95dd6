"""Figures and numbers about runs under label noise."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bench.drawing import figures, text_map
from bench.drawing.labels import place_labels
from bench.drawing.training_curves import Curves, over_seeds, read_curves
from bench.studies import roc
from bench.studies.curve_table import curve_table
from bench.studies.noise_analysis import main
from bench.studies.noise_evidence import Evidence, Judgement, read_evidence, tell_apart
from dassl.utils import InputError

NOISE = {
    "DATASET.NOISE.TYPE": "sym_other",
    "DATASET.NOISE.RATE": 0.5,
    "DATASET.SUBSAMPLE_CLASSES": "all",
    "OPTIM.LR": 0.5,
    "TRAIN.TENSORBOARD": True,
}


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory):
    """Two noisy runs and a clean one."""
    folder = tmp_path_factory.mktemp("analysis")
    for name, method, more in (
        ("coop", "CoOp", {}),
        ("dpsep", "DPSEP", {}),
        ("clean", "CoOp", {"DATASET.NOISE.TYPE": "", "DATASET.NOISE.RATE": 0.0}),
    ):
        assert tiny.run(folder / name, method, pairs=NOISE | more) == 0
    return folder


def decide(folder, **changes) -> dict:
    """A decisions.json that flags the first half and one more, and a list of 20."""
    found = {"epoch": 3, "clean": [0] * 10 + [1] * 10, "score": [i / 20 for i in range(20)]} | changes
    (folder / "decisions.json").write_text(json.dumps(found))
    return found


def test_evidence_is_what_the_trained_prompts_say(tiny, tmp_path, runs):
    found = read_evidence(runs / "coop")
    trainer = tiny.trainer(tmp_path, "CoOp", NOISE)
    trainer.load_model(str(runs / "coop"), epoch=3)
    items = trainer.training_list
    torch.testing.assert_close(found.judgement.loss, F.cross_entropy(items.logits(), items.label, reduction="none"))
    assert found.judgement.wrong.tolist() == (items.label != items.gt).tolist() and found.judgement.wrong.sum() == 10
    torch.testing.assert_close(found.text[""], trainer.encode_text().detach())
    record = json.loads((runs / "coop" / "results.json").read_text())["results"]
    assert found.confusion.sum() == record["total"] and found.confusion.trace() == record["correct"]
    rows = [record["per_class"][str(c)] for c in range(5)]
    assert [row["correct"] for row in rows] == found.confusion.diagonal().tolist()
    assert [row["total"] for row in rows] == found.confusion.sum(1).tolist()
    assert found.setting == "Tiny, symmetric 50%" and found.classnames[0] == "striped circle"
    assert found.judgement.score is None


def test_the_loss_comes_from_tensorboard_where_there_are_no_curves(runs):
    (runs / "coop" / "curves.json").unlink(missing_ok=True)
    found = read_evidence(runs / "coop")
    assert found.curves.epochs == [1, 2, 3] and any("no memorisation" in note for note in found.notes)
    log = (runs / "coop" / "log.txt").read_text()
    last = [line for line in log.splitlines() if "batch [5/5]" in line]
    means = [float(line.partition("loss ")[2].partition("(")[2].partition(")")[0]) for line in last]
    np.testing.assert_allclose(found.curves.loss, means, atol=2e-4)
    with pytest.raises(InputError, match="same steps"):
        read_curves(runs / "coop", 4)


def test_both_polarities_of_dpsep(runs):
    text = read_evidence(runs / "dpsep").text
    assert list(text) == ["positive", "negative"] and text["positive"].shape == text["negative"].shape == (5, 32)
    assert not torch.allclose(text["positive"], text["negative"])


def test_what_a_run_does_not_have_is_said(runs, tmp_path):
    clean = read_evidence(runs / "clean")
    assert clean.setting == "Tiny, clean" and clean.judgement is None and clean.confusion is not None
    assert any("ROC" in note and "known to be wrong" in note for note in clean.notes)
    moved = read_evidence(runs / "coop", root=str(tmp_path))
    assert moved.confusion is None and moved.judgement is None and moved.text
    assert any("no confusion matrix and no ROC" in note for note in moved.notes)


def test_another_training_list_is_refused(runs):
    file = runs / "dpsep" / "results.json"
    text = file.read_text()
    record = json.loads(text)
    record["noise"]["sha256"] = "0" * 64
    file.write_text(json.dumps(record))
    try:
        found = read_evidence(runs / "dpsep")
    finally:
        file.write_text(text)
    assert found.judgement is None and any("another hash" in note for note in found.notes)


def test_decisions(runs):
    try:
        made = decide(runs / "dpsep")
        judgement = read_evidence(runs / "dpsep").judgement
        assert judgement.flagged.tolist() == [True] * 10 + [False] * 10
        torch.testing.assert_close(judgement.score, torch.tensor(made["score"], dtype=torch.float64))
        decide(runs / "dpsep", clean=[1, 0])
        found = read_evidence(runs / "dpsep")
        assert found.judgement is None and any("training list has 20" in note for note in found.notes)
    finally:
        (runs / "dpsep" / "decisions.json").unlink()


def test_auc_precision_and_recall_by_hand():
    wrong = torch.tensor([True, True, False, False, False])
    loss = torch.tensor([3.0, 1.0, 2.0, 0.5, 0.4])  # of 6 pairs (wrong, right) 5 are in order
    score = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.15])  # high = right; again 5 of 6
    flagged = torch.tensor([True, False, True, False, True])
    run = Judgement(wrong, loss, score, flagged)
    assert roc.row("s", "m", [run]) == ["s", "m", "83.33", "83.33", "33.33", "50.00", "1"]
    better = Judgement(wrong, wrong.float(), score, wrong)
    assert roc.row("s", "m", [run, better])[2:] == [
        "91.67 ± 11.79",
        "83.33 ± 0.00",
        "66.67 ± 47.14",
        "75.00 ± 35.36",
        "2",
    ]
    assert roc.row("s", "m", [Judgement(wrong, loss, score, torch.zeros(5).bool())])[4:6] == ["-", "0.00"]
    assert roc.row("s", "m", [Judgement(wrong, loss)])[3:6] == ["-"] * 3


def test_the_mean_roc_curve_has_the_mean_area():
    generator = torch.Generator().manual_seed(0)
    wrong = torch.arange(200) < 80
    several = [Judgement(wrong, torch.randn(200, generator=generator) + shift * wrong) for shift in (0.5, 2.0)]
    x, y, area = roc.mean_curve(several, own=False)
    assert abs(np.trapezoid(y, x) - area) < 5e-3 and (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    x, y, area = roc.mean_curve(several[:1], own=False)
    assert abs(np.trapezoid(y, x) - area) < 1e-12


def test_curves_of_several_seeds_meet_at_common_epochs(tmp_path):
    first, second = Curves([1, 2, 3], [3.0, 2.0, 1.0], {}), Curves([2, 3], [4.0, 2.0], {})
    epochs, mean, spread = over_seeds([first, second])
    assert epochs == [2, 3] and mean.tolist() == [3.0, 1.5]
    np.testing.assert_allclose(spread, [2**0.5, 0.5**0.5])
    made = {"epochs": [1, 2], "train_loss": [2.0, 1.0], "test": [50.0, 60.0], "noisy_flipped": [None, None]}
    (tmp_path / "curves.json").write_text(json.dumps(made))
    assert read_curves(tmp_path, 2).accuracy["test"] == [50.0, 60.0]
    (tmp_path / "curves.json").write_text(json.dumps(made | {"train_loss": [2.0]}))
    with pytest.raises(InputError, match="differ in length"):
        read_curves(tmp_path, 2)


def test_runs_of_one_method_are_told_apart_by_their_settings(tmp_path):
    def run(seed, loss):
        settings = {"SEED": seed, "TRAINER.PTNL.LOSS": loss, "DATASET.NOISE.SEED": seed, "OPTIM.LR": 0.1}
        return Evidence(tmp_path, "PTNL", seed, "Digits", [], settings)

    found = [run(1, "ce"), run(2, "ce"), run(1, "gce")]
    tell_apart(found)
    assert [e.method for e in found] == ["PTNL (LOSS ce)", "PTNL (LOSS ce)", "PTNL (LOSS gce)"]
    same = [run(1, "ce"), run(2, "ce")]
    tell_apart(same)
    assert {e.method for e in same} == {"PTNL"}


@pytest.mark.parametrize("count", [2, 3, 4, 12])
def test_a_map_repeats_and_keeps_neighbours(count):
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(2, 16)), [count - count // 2, count // 2], axis=0)
    points = (centres + 0.01 * rng.normal(size=(count, 16))).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = text_map.project(points, 3)
    assert found.shape == (count, 2) and np.isfinite(found).all() and (found == text_map.project(points, 3)).all()
    if count == 12:  # two groups stay two groups
        inside = max(np.linalg.norm(found[i] - found[j]) for g in (range(6), range(6, 12)) for i in g for j in g)
        assert inside < np.linalg.norm(found[:6].mean(0) - found[6:].mean(0))


def test_the_spread_is_the_mean_cosine_distance():
    features = F.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    pairs = [1 - (features[i] @ features[j]).item() for i in range(4) for j in range(4) if i != j]
    assert text_map.spread(features) == pytest.approx(sum(pairs) / 12, abs=1e-6)


def test_names_do_not_cover_each_other():
    figure, (ax,) = figures.grid(1, width=3, height=3)
    points = np.array([[0.0, 0.0], [0.01, 0.0], [0.0, 0.02], [1.0, 1.0], [0.98, 1.0]])
    ax.scatter(*points.T)
    ax.margins(0.3)
    figure.canvas.draw()
    figure.set_layout_engine("none")
    place_labels(ax, points, ["striped circle", "dotted star", "checkered house", "plain tree", "speckled fish"])
    boxes = [text.get_window_extent() for text in ax.texts]
    frame = ax.get_window_extent()
    assert len(boxes) == 5 and not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(frame.x0 <= b.x0 and b.x1 <= frame.x1 and frame.y0 <= b.y0 and b.y1 <= frame.y1 for b in boxes)


def test_the_command_draws_everything(runs, tmp_path, capsys):
    curves = {k: [10.0, 20.0, 30.0] for k in ("test", "noisy_flipped", "noisy_kept", "true_flipped", "true_kept")}
    try:
        (runs / "dpsep" / "curves.json").write_text(
            json.dumps(curves | {"epochs": [1, 2, 3], "train_loss": [3.0, 2.0, 1.0]})
        )
        decide(runs / "dpsep")
        folders = [str(runs / name) for name in ("coop", "dpsep", "clean")]
        assert main([*folders, "--output", str(tmp_path / "a")]) == 0
    finally:
        (runs / "dpsep" / "decisions.json").unlink()
        (runs / "dpsep" / "curves.json").unlink()
    names = [f"{f}.{kind}" for f in ("confusion", "loss", "memorisation", "roc", "text_map") for kind in ("pdf", "png")]
    assert sorted(f.name for f in (tmp_path / "a").iterdir()) == sorted([*names, "auc.md", "curves.md"])
    assert (tmp_path / "a" / "roc.pdf").read_bytes().startswith(b"%PDF")
    out = capsys.readouterr()
    assert "DPSEP" in (tmp_path / "a" / "auc.md").read_text() and "Tiny, symmetric 50%" in out.out
    assert "no ROC" in out.err
    assert main([str(runs / "clean"), "--figures", "roc", "--output", str(tmp_path / "b")]) == 2
    assert not (tmp_path / "b").exists()
    assert main([str(tmp_path / "nowhere")]) == 2


def test_the_table_of_curves_by_hand():
    right, wrong = {"noisy_kept": [50.0, 60.0, 70.0]}, {"noisy_flipped": [1.0, 2.0, 3.0]}
    first = Curves([1, 2, 3], [3.0, 2.0, 1.0], {"test": [40.0, 30.0, 20.0], **right, **wrong})
    second = Curves([1, 2, 3], [5.0, 4.0, 3.0], {"test": [42.0, 34.0, 26.0], **right, **wrong})
    lines = curve_table({("S", "A"): [first, second], ("S", "B"): [first]}, "github").splitlines()
    cells = [[each.strip() for each in line.strip("|").split("|")] for line in lines]
    assert cells[2] == ["S", "A", "41.00 ± 1.41", "32.00 ± 2.83", "23.00 ± 4.24", "70.00 ± 0.00", "3.00 ± 0.00",
                        "4.00 ± 1.41", "2.00 ± 1.41", "2"]  # fmt: skip
    assert cells[3] == ["S", "B", "40.00", "30.00", "20.00", "70.00", "3.00", "3.00", "1.00", "1"]
    short = Curves([1], [3.0], {"test": [40.0]})
    assert " - " in curve_table({("S", "C"): [short]}, "github").splitlines()[2]
