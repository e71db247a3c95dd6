"""Results and their printed form."""

import pytest
import torch
from sklearn import metrics

from dassl.config import get_cfg_default
from dassl.evaluation import EVALUATOR_REGISTRY, build_evaluator
from dassl.metrics import compute_accuracy, compute_distance_matrix, cosine_distance
from dassl.utils import InputError

NAMES = {0: "cat", 1: "dog", 2: "bird", 3: "never seen"}
TRUE = [0, 0, 0, 1, 1, 2]
PRED = [0, 0, 3, 1, 0, 2]


def evaluator_of(*opts, **kwargs):
    cfg = get_cfg_default()
    cfg.merge_from_list(list(opts))
    return build_evaluator(cfg, **kwargs)


def run(evaluator):
    logits = torch.nn.functional.one_hot(torch.tensor(PRED), 4).float()
    for i in (0, 4):
        evaluator.process(logits[i : i + 4], torch.tensor(TRUE[i : i + 4]))
    return evaluator.evaluate()


def test_results_and_lines(capsys):
    evaluator = evaluator_of(lab2cname=NAMES)
    assert capsys.readouterr().out == "Loading evaluator: Classification\n"
    results = run(evaluator)
    assert list(results) == ["accuracy", "error_rate", "macro_f1"]
    f1 = 100 * metrics.f1_score(TRUE, PRED, average="macro", labels=[0, 1, 2])
    assert list(results.values()) == pytest.approx([200 / 3, 100 / 3, f1])
    assert capsys.readouterr().out == (
        f"=> result\n* total: 6\n* correct: 4\n* accuracy: 66.7%\n* error: 33.3%\n* macro_f1: {f1:.1f}%\n"
    )
    assert evaluator.results["total"] == 6
    assert evaluator.results["accuracy"] == results["accuracy"]
    assert evaluator.results["per_class"] == {
        0: {"name": "cat", "total": 3, "correct": 2, "accuracy": pytest.approx(200 / 3)},
        1: {"name": "dog", "total": 2, "correct": 1, "accuracy": 50.0},
        2: {"name": "bird", "total": 1, "correct": 1, "accuracy": 100.0},
    }
    evaluator.reset()
    assert evaluator.results == {}
    with pytest.raises(InputError, match="no images"):
        evaluator.evaluate()


def test_per_class_lines(capsys):
    evaluator = evaluator_of("TEST.PER_CLASS_RESULT", True, lab2cname=NAMES)
    results = run(evaluator)
    assert results["perclass_accuracy"] == pytest.approx((200 / 3 + 50 + 100) / 3)
    assert capsys.readouterr().out.splitlines()[-5:] == [
        "=> per-class result",
        "* class: 0 (cat)\ttotal: 3\tcorrect: 2\tacc: 66.7%",
        "* class: 1 (dog)\ttotal: 2\tcorrect: 1\tacc: 50.0%",
        "* class: 2 (bird)\ttotal: 1\tcorrect: 1\tacc: 100.0%",
        "* average: 72.2%",
    ]
    with pytest.raises(AssertionError, match="lab2cname"):
        evaluator_of("TEST.PER_CLASS_RESULT", True)


def test_confusion_matrix(tmp_path):
    run(evaluator_of("TEST.COMPUTE_CMAT", True, "OUTPUT_DIR", str(tmp_path / "new"), lab2cname=NAMES))
    matrix = torch.load(tmp_path / "new" / "cmat.pt")
    expected = metrics.confusion_matrix(TRUE, PRED, normalize="true")
    assert matrix.numpy() == pytest.approx(expected)


def test_thousands_separator(capsys):
    evaluator = evaluator_of(lab2cname={0: "cat"})
    evaluator.process(torch.ones(8100, 1), torch.zeros(8100, dtype=torch.long))
    evaluator.evaluate()
    assert "* total: 8,100\n* correct: 8,100\n* accuracy: 100.0%\n" in capsys.readouterr().out


def test_registry():
    assert "Classification" in EVALUATOR_REGISTRY.registered_names()
    with pytest.raises(ValueError, match="Classification"):
        evaluator_of("TEST.EVALUATOR", "Classifikation")


def test_compute_accuracy():
    logits = torch.tensor([[3.0, 2, 1], [1, 3, 2], [1, 2, 3]])
    label = torch.tensor([0, 2, 0])
    top1, top2, top5 = compute_accuracy(logits, label, topk=(1, 2, 5))
    assert top1.shape == (1,)
    assert [t.item() for t in (top1, top2, top5)] == pytest.approx([100 / 3, 200 / 3, 100])
    assert compute_accuracy([logits, None], label)[0].item() == pytest.approx(100 / 3)


def test_distances():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(4, 8, generator=generator), torch.randn(5, 8, generator=generator)
    torch.testing.assert_close(compute_distance_matrix(a, b), torch.cdist(a, b) ** 2)
    expected = 1 - torch.nn.functional.cosine_similarity(a[:, None], b[None], dim=-1)
    torch.testing.assert_close(compute_distance_matrix(a, b, "cosine"), expected)
    torch.testing.assert_close(cosine_distance(a, b), expected)
    for args in ((a[0], b), (a, b[:, :3]), (a, b, "taxi")):
        with pytest.raises(ValueError, match=r"."):
            compute_distance_matrix(*args)
