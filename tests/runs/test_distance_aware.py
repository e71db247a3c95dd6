"""DAC-style calibration: against its equations computed directly, for runs and for files; and what is refused."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
from helpers import Tiny as TinySet  # noqa: F401  registers the dataset

from bench.__main__ import main
from dassl.outputs.distance_aware import distance_aware, factors, proximity
from dassl.outputs.kept import sha256
from dassl.outputs.reading import read_outputs
from dassl.utils import InputError

HALF, LOGITS = "DATASET.SUBSAMPLE_CLASSES", {"TEST.OUTPUTS": "logits"}


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory):
    """Models trained and tested on base classes; their tests on new classes and on all."""
    top = tmp_path_factory.mktemp("dac")
    for method in ("CoOp", "CoCoOp", "MMRL"):
        assert tiny.run(top / method / "base" / "seed1", method, (), LOGITS) == 0
        trained = ("--eval-only", "--model-dir", top / method / "base" / "seed1", "--load-epoch", 3)
        assert tiny.run(top / method / "new" / "seed1", method, trained, {HALF: "new"} | LOGITS) == 0
        if method == "CoOp":
            together = {HALF: "all", "TEST.OPEN_WORLD": "new"} | LOGITS
            assert tiny.run(top / method / "all", method, trained, together) == 0
            assert tiny.run(top / method / "top5", method, trained, {HALF: "new"}) == 0
    return top


def scored(capsys, *words):
    code = main(["score", *map(str, words), "--format", "json"])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else [], said.err


def by_hand(w, base, nearest):
    """S(w) in plain Python."""
    near = sorted(math.dist(w, b) for b in base)[:nearest]
    return sum(math.exp(-d) for d in near) / nearest


def arrays(file):
    with np.load(file) as stored:
        return {name: stored[name] for name in stored.files}


@pytest.mark.parametrize("nearest", [1, 2, 3])
def test_the_equations_computed_directly(runs, capsys, nearest):
    for method in ("CoOp", "MMRL"):
        new, base = (arrays(runs / method / half / "seed1" / "outputs.npz") for half in ("new", "base"))
        gamma = [
            by_hand(tuned.tolist(), base["class_features"].tolist(), nearest)
            / by_hand(plain.tolist(), base["zero_shot_features"].tolist(), nearest)
            for tuned, plain in zip(new["class_features"], new["zero_shot_features"], strict=True)
        ]
        each = np.array(gamma)[new["prediction"]]
        z = new["relative_logits"].astype(float) * each[:, None]
        nll = np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), new["label"]]
        code, (plain, then), _ = scored(capsys, runs / method / "new", "--dac", nearest)
        assert code == 0 and then["answer"].endswith("x gamma") and "gamma" not in plain
        assert then["gamma"] == pytest.approx(each.mean(), rel=1e-6) and then["nll"] == pytest.approx(
            nll.mean(), abs=1e-5
        )
        assert then["accuracy"] == plain["accuracy"] and then["nll"] != plain["nll"]


def test_the_features_are_those_that_the_test_used(runs):
    """Normalised, one for each class, and as far apart as the run recorded."""
    new = arrays(runs / "CoOp" / "new" / "seed1" / "outputs.npz")
    w = new["class_features"]
    assert w.dtype == np.float32 and w.shape[0] == len(new["classnames"]) == new["relative_logits"].shape[1]
    np.testing.assert_allclose(np.linalg.norm(w, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(new["zero_shot_features"], axis=1), 1, atol=1e-5)
    record = json.loads((runs / "CoOp" / "new" / "seed1" / "results.json").read_text())
    assert record["class_feature_distance"] == pytest.approx(1 - w[0] @ w[1], abs=1e-5)  # two new classes
    assert record["outputs"]["sha256"] == sha256(runs / "CoOp" / "new" / "seed1" / "outputs.npz")


def test_base_classes_stay_as_they_are(runs, capsys):
    test, base = (read_outputs(runs / "CoOp" / name / "outputs.npz") for name in ("all", "base/seed1"))
    gamma = factors(test, base, 2)
    assert (gamma[test.known] == 1).all() and (gamma[~test.known] != 1).all()
    of_image, then = distance_aware(test, base, 2)
    same = test.known[test.answer.prediction]
    assert same.any() and (of_image[same] == 1).all()
    np.testing.assert_allclose(then.answer.nll[same], test.answer.nll[same], atol=2e-3)  # from fp16 logits
    code, (_, row), _ = scored(capsys, runs / "CoOp" / "all", "--dac", 2, "--base", runs / "CoOp" / "base")
    assert code == 0 and row["gamma"] == pytest.approx(of_image.mean())


def test_the_sign():
    """A class that tuning moved away from the base classes becomes less certain, one drawn to them more."""
    base = np.array([[1.0, 0.0], [0.0, 1.0]])
    at = np.array([[1.0, 0.0]])
    assert proximity(at, base, 1) == pytest.approx(1)
    assert proximity(at, base, 2) == pytest.approx((1 + math.exp(-math.sqrt(2))) / 2)
    near, far = np.array([[0.8, 0.6]]), np.array([[-0.8, -0.6]])
    assert proximity(far, base, 2) < proximity(near, base, 2) < 1


def test_what_is_refused(runs, capsys, tmp_path):
    new, base = (runs / "CoOp" / half / "seed1" for half in ("new", "base"))
    own = arrays(new / "outputs.npz")
    made = {
        "rows": {"class_features": own["class_features"][:1]},
        "far": {"class_features": own["class_features"] * 1e6},
        "nan": {"class_features": own["class_features"] * np.nan},
        "narrow": {name: own[name][:, :3] for name in ("class_features", "zero_shot_features")},
    }
    for name, changes in made.items():
        np.savez(tmp_path / f"{name}.npz", **(own | changes))
    shutil.copytree(new, tmp_path / "moved")
    text = (tmp_path / "moved" / "results.json").read_text()
    (tmp_path / "moved" / "results.json").write_text(text.replace(str(base), str(tmp_path / "gone")))
    for words, says in [
        ([runs / "CoCoOp" / "new", "--dac", 2], "has no class features"),
        ([runs / "CoOp" / "top5", "--dac", 2], "has no class features"),
        ([new, "--dac", 9], "There are 3 base classes"),
        ([new, "--dac", 0], "give a number from 1 to 3"),
        ([base, "--dac", 2], "does not name the run that trained its model"),
        ([base, "--dac", 2, "--base", base], "All classes of"),
        ([new, "--dac", 2, "--base", runs / "MMRL" / "base"], "is of trainer CoOp, but"),
        ([tmp_path / "far.npz", "--dac", 2, "--base", base], "give normalised features"),
        ([new, "--base", base], "--base is read with --dac K alone"),
        ([tmp_path / "moved", "--dac", 2], "is not at"),
        ([tmp_path / "rows.npz"], "class_features is not a table of finite numbers"),
        ([tmp_path / "nan.npz"], "class_features is not a table of finite numbers"),
        ([tmp_path / "narrow.npz", "--dac", 2, "--base", base], "has class features of 3 numbers"),
    ]:
        code, _, said = scored(capsys, *words)
        assert code == 2 and says in said and said.count("\n") == 1, (words, said)
    with pytest.raises(InputError, match="has no class features"):
        factors(read_outputs(runs / "CoOp" / "top5" / "outputs.npz"), read_outputs(base / "outputs.npz"), 1)
