"""Outputs of a test: what is kept, what is written, and what a file that is none is told."""

from __future__ import annotations

import csv
import zipfile

import numpy as np
import pytest
import torch

from dassl.metrics.calibration import brier, ece, nll
from dassl.outputs.kept import KeptOutputs, sha256, write_outputs
from dassl.outputs.reading import read_outputs
from dassl.outputs.scores import TITLES, all_scores, scores
from dassl.utils import InputError

NAMES = ["cat", "dog", "bird", "cow", "fish", "ant"]


def drawn(images=60):
    torch.manual_seed(3)
    return 25 + 4 * torch.randn(images, 6), torch.arange(images) % 6


def kept(form="top5", others=()):
    logits, label = drawn()
    found = KeptOutputs(form)
    for i in range(0, 60, 16):
        found.add(logits[i : i + 16], label[i : i + 16])
        for name in others:
            found.add_other(name, -logits[i : i + 16], label[i : i + 16])
    return found.arrays()


def written(folder, **changes):
    arrays = kept("logits") | changes
    file = folder / "outputs.npz"
    write_outputs(file, {k: v for k, v in arrays.items() if v is not None}, NAMES, [f"{i}.png" for i in range(60)])
    return file


@pytest.mark.parametrize("form", ["top5", "logits"])
def test_what_is_kept_gives_the_figures_of_the_logits(tmp_path, form):
    digest = write_outputs(tmp_path / "a.npz", kept(form, ["rev"]), NAMES, [f"{i}.png" for i in range(60)], {"seed": 1})
    assert digest == sha256(tmp_path / "a.npz")
    assert digest == write_outputs(
        tmp_path / "b.npz", kept(form, ["rev"]), NAMES, [f"{i}.png" for i in range(60)], {"seed": 1}
    )
    found, (logits, label) = read_outputs(tmp_path / "a.npz"), drawn()
    z, y = logits.double().numpy(), label.numpy()
    p = torch.softmax(logits.double(), 1).numpy()
    assert found.path[7] == "7.png" and found.classnames == NAMES and found.about == {"format": 1, "seed": 1}
    np.testing.assert_array_equal(found.answer.prediction, z.argmax(1))
    np.testing.assert_allclose(found.answer.nll, nll(z, y), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.answer.brier, brier(p, y), atol=1e-5)
    np.testing.assert_allclose(found.answer.max_logit, z.max(1), rtol=1e-6)
    own = all_scores(found)
    assert own[""]["ece"] == pytest.approx(100 * ece(p.max(1), p.argmax(1) == y), abs=1e-4)
    assert own["rev"]["accuracy"] == pytest.approx(100 * np.mean(z.argmin(1) == y))
    assert own[""].keys() == set(TITLES) - ({"classwise_ece"} if form == "top5" else set())
    if form == "logits":  # fp16 of the distance to the largest: probabilities are good to a thousandth
        z16 = found.answer.logits.astype(float)
        np.testing.assert_allclose(np.exp(z16) / np.exp(z16).sum(1, keepdims=True), p, atol=1e-3)


def test_top5_are_the_most_likely_classes():
    arrays, (logits, _) = kept(), drawn()
    np.testing.assert_array_equal(arrays["top5"], logits.topk(5).indices)
    assert arrays["top5"].dtype == np.int32 and arrays["top5_logits"].dtype == np.float32


def test_of_equal_logits_the_evaluators_choice_is_kept():
    found = KeptOutputs()
    found.add(torch.zeros(2, 6), torch.tensor([0, 1]))
    assert found.arrays()["prediction"].tolist() == torch.zeros(2, 6).max(1).indices.tolist()


def test_a_file_written_by_hand(tmp_path):
    """Logits and labels are enough; the figures are those of the kept ones, but for the rounding of fp32 columns."""
    logits, label = drawn()
    np.savez(tmp_path / "theirs.npz", logits=logits.numpy(), label=label.numpy(), classnames=NAMES)
    theirs = all_scores(read_outputs(tmp_path / "theirs.npz"))[""]
    ours = all_scores(read_outputs(written(tmp_path)))[""]
    for name in TITLES:
        assert theirs[name] == pytest.approx(ours[name], abs=0.01), name
    assert theirs["accuracy"] == ours["accuracy"] and theirs["macro_f1"] == ours["macro_f1"]


def test_a_table_written_by_hand(tmp_path):
    file = tmp_path / "theirs.csv"
    file.write_text("path,label,prediction,confidence\na,0,0,0.9\nb,0,1,0.6\nc,1,1,0.8\n")
    found = scores(*(lambda o: (o.label, o.answer))(read_outputs(file)))
    assert found["accuracy"] == pytest.approx(200 / 3) and found["worst_class_accuracy"] == 50
    assert found["ece"] == pytest.approx(100 * (0.1 + 0.6 + 0.2) / 3) and "nll" not in found


def test_older_tables(tmp_path):
    (tmp_path / "tta.csv").write_text(
        "index,path,label,before,after,confidence_before,confidence_after\n0,a,1,0,1,0.4,0.7\n1,b,0,0,0,0.5,0.9\n"
    )
    found = read_outputs(tmp_path / "tta.csv")
    assert found.answer.prediction.tolist() == [1, 0] and found.answer.confidence.tolist() == [0.7, 0.9]
    assert found.others["before"].prediction.tolist() == [0, 0] and found.path == ["a", "b"]
    head = "index,path,label,ordinary,clean,clean_confidence"
    head += ",white-box,white-box_confidence,white-box_survived,white-box_broken_by,survived"
    (tmp_path / "robust.csv").write_text(f"{head}\n0,a,1,1,1,0.4,0,0.7,0,apgd,0\n1,b,0,0,0,0.5,0,0.9,1,,1\n")
    found = read_outputs(tmp_path / "robust.csv")
    assert found.others["white-box"].prediction.tolist() == [0, 0] and found.more["survived"].tolist() == [0, 1]
    assert found.more["white-box.broken_by"].tolist() == ["apgd", ""]


def test_images_of_no_class_are_not_counted(tmp_path):
    logits, label = drawn()
    np.savez(tmp_path / "x.npz", logits=logits.numpy(), label=np.where(label < 3, label, -1), classnames=NAMES)
    found = read_outputs(tmp_path / "x.npz")
    here = label.numpy() < 3
    assert scores(found.label, found.answer)["accuracy"] == pytest.approx(
        100 * np.mean(logits.numpy().argmax(1)[here] == label.numpy()[here])
    )
    np.savez(tmp_path / "y.npz", logits=logits.numpy(), label=np.full(60, -1), classnames=NAMES)
    assert all_scores(read_outputs(tmp_path / "y.npz")) == {}


CHANGES = {
    "label out of range": ({"label": np.full(60, 6)}, r"label of image 0 is 6, which is none of the 6 classes 0 to 5"),
    "label below -1": ({"label": np.full(60, -2)}, "label of image 0 is -2"),
    "prediction out of range": ({"prediction": np.full(60, 9)}, "prediction of image 0 is 9"),
    "another prediction": ({"prediction": np.zeros(60, int)}, "not the class of the largest"),
    "labels missing": ({"label": None}, "it has no label, only about, brier"),
    "labels of text": ({"label": np.array(["a"] * 60)}, "label is not a list of whole numbers"),
    "lengths differ": ({"confidence": np.ones(59)}, "confidence has 59 rows, but label has 60"),
    "a NaN": ({"nll": np.full(60, np.nan)}, "nll is not a list of finite numbers"),
    "no probability": ({"confidence": np.full(60, 90.0)}, "confidence of image 0 is 90, not from 0 to 1"),
    "a negative NLL": ({"nll": np.full(60, -1.0)}, "nll of image 0 is -1, not from 0 on"),
    "a Brier score of 3": ({"brier": np.full(60, 3.0)}, "brier of image 0 is 3, not from 0 to 2"),
    "another confidence than the logits'": (
        {"confidence": np.full(60, 0.3)},
        r"confidence of image \d+ is 0.3, but 0\.\d+ by its logits",
    ),
    "known of text": ({"known": np.array(list("abcdef"))}, "known is not one yes or no"),
    "logits of text": ({"relative_logits": np.full((60, 6), "1")}, "logits has other values than numbers"),
    "another class list": ({"classnames": np.array(NAMES[:5])}, "6 columns, but there are 5 class names"),
    "an image twice": ({"path": np.array(["a"] * 60)}, "an image twice"),
    "no answer": ({"prediction": None, "relative_logits": None}, "neither prediction nor logits, only about, brier"),
    "logits of one class": ({"relative_logits": np.zeros(60)}, "not a table"),
    "logits of NaN": ({"relative_logits": np.full((60, 6), np.nan)}, "logits of image 0 are NaN or infinite"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_wrong_is_said(tmp_path, name):
    changes, says = CHANGES[name]
    with np.load(written(tmp_path)) as stored:
        arrays = dict(stored) | changes
    np.savez(tmp_path / "bad.npz", **{key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(InputError, match=says) as caught:
        read_outputs(tmp_path / "bad.npz")
    assert str(tmp_path / "bad.npz") in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("change", ["NaN", "infinity", "fp16 overflow", "minus infinity for all", "for the label"])
def test_logits_that_are_not_finite_are_refused(tmp_path, change):
    logits, label = (x.numpy().copy() for x in drawn())
    if change == "fp16 overflow":
        with np.errstate(over="ignore"):
            logits = (logits * 1e4).astype(np.float16)
    elif change == "for the label":
        logits[3, label[3]] = -np.inf
    else:
        row, value = {"NaN": (0, np.nan), "infinity": (0, np.inf)}.get(change, (slice(None), -np.inf))
        logits[3, row] = value
    np.savez(tmp_path / "x.npz", logits=logits, label=label)
    says = "-infinity for its label" if change == "for the label" else "are NaN or infinite"
    with pytest.raises(InputError, match=rf"logits of image \d+ {'are ' * (change == 'for the label')}{says}"):
        read_outputs(tmp_path / "x.npz")


def test_a_class_that_is_ruled_out(tmp_path):
    """-infinity for a class that is not the label: its probability is 0, and every figure is that of the others."""
    logits, label = (x.numpy().astype(float) for x in drawn())
    label = (np.arange(60) % 5).astype(int)
    logits[:, 5] = -np.inf
    np.savez(tmp_path / "six.npz", logits=logits, label=label)
    np.savez(tmp_path / "five.npz", logits=logits[:, :5], label=label)
    six, five = (all_scores(read_outputs(tmp_path / f"{name}.npz"))[""] for name in ("six", "five"))
    assert {k: v for k, v in six.items() if k != "classwise_ece"} == pytest.approx(
        {k: v for k, v in five.items() if k != "classwise_ece"}
    )


def test_probabilities_in_the_place_of_logits_are_refused(tmp_path):
    logits, label = (x.numpy() for x in drawn())
    p = torch.softmax(torch.from_numpy(logits), 1).numpy()
    np.savez(tmp_path / "p.npz", logits=p, label=label)
    with pytest.raises(InputError, match="logits are probabilities"):
        read_outputs(tmp_path / "p.npz")
    np.savez(tmp_path / "q.npz", logits=np.log(p), label=label)  # what the sentence says to do
    np.savez(tmp_path / "z.npz", logits=logits, label=label)
    of_log, of_logits = (all_scores(read_outputs(tmp_path / f"{name}.npz"))[""] for name in "qz")
    assert of_log == pytest.approx(of_logits, rel=1e-4)


@pytest.mark.parametrize("kind", ["one image", "one class", "all right", "all wrong", "ties", "an absent class"])
def test_small_and_extreme_files(tmp_path, kind):
    """Every figure against its definition, where nothing can be averaged away."""
    logits, label = (x.numpy().astype(float) for x in drawn())
    label = label.astype(int)
    if kind == "one image":
        logits, label = logits[:1], label[:1]
    elif kind == "one class":
        logits, label = logits[:, :1], label * 0
    elif kind == "an absent class":
        label = label % 5
    elif kind == "ties":
        logits = np.zeros_like(logits)
    else:
        logits = 8 * np.eye(6)[label if kind == "all right" else (label + 1) % 6]
    np.savez(tmp_path / "x.npz", logits=logits, label=label)
    found = all_scores(read_outputs(tmp_path / "x.npz"))[""]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    guess = logits.argmax(1)
    right, n = guess == label, len(label)
    bins = [(k / 15 < p) & (p <= (k + 1) / 15) for k in range(15)]
    top = [each[np.arange(n), guess] for each in bins]
    ece = sum(abs((right - p[np.arange(n), guess])[each].sum()) for each in top) / n
    hit = np.eye(logits.shape[1])[label]
    classwise = np.mean([sum(abs((hit - p)[b[:, c], c].sum()) for b in bins) / n for c in range(p.shape[1])])
    f1 = [
        2 * (right & (label == c)).sum() / ((label == c).sum() + (guess == c).sum())
        for c in sorted(set(label.tolist()))
    ]
    expected = {
        "accuracy": 100 * right.mean(), "macro_f1": 100 * np.mean(f1), "ece": 100 * ece,
        "classwise_ece": 100 * classwise,
        "worst_class_accuracy": 100 * min(right[label == c].mean() for c in set(label.tolist())),
        "brier": ((p - hit) ** 2).sum(1).mean(), "nll": -np.log(p[np.arange(n), label]).mean(),
    }  # fmt: skip
    assert {k: found[k] for k in expected} == pytest.approx(expected, abs=1e-5)
    if kind in ("one image", "all right", "all wrong", "ties", "one class"):  # equal risk at every coverage
        assert found["aurc"] == pytest.approx(100 * (1 - right.mean()))


def test_a_table_in_parquet(tmp_path):
    """As CSV: the same columns, the same refusals; columns of other names are kept as text."""
    import pandas as pd

    table = pd.DataFrame({
        "path": list("abc"), "label": [0, 0, 1], "prediction": [0, 1, 1], "confidence": [0.9, 0.6, 0.8],
        "model": ["ours", "ours", "ours"],
    })  # fmt: skip
    table.to_parquet(tmp_path / "t.parquet")
    table.to_csv(tmp_path / "t.csv", index=False)
    one, two = (read_outputs(tmp_path / f"t.{kind}") for kind in ("parquet", "csv"))
    assert all_scores(one) == all_scores(two) and one.path == two.path == list("abc")
    assert one.more["model"].tolist() == ["ours"] * 3
    for changed, says in (
        (table.drop(columns="label"), "needs the columns label and prediction"),
        (table.assign(label=[0.5, 0, 1]), "label in line 2 is 0.5, not a whole number"),
        (table.assign(logits=[[1.0, 2.0]] * 3), "a table has no logits; write an .npz file"),
        (table[:0], "no images"),
    ):
        changed.to_parquet(tmp_path / "bad.parquet")
        with pytest.raises(InputError, match=says):
            read_outputs(tmp_path / "bad.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:-9])
    with pytest.raises(InputError, match="no whole Parquet file"):
        read_outputs(tmp_path / "cut.parquet")
    (tmp_path / "t.json").write_text("{}")
    with pytest.raises(InputError, match=r"end in \.npz, \.csv or \.parquet"):
        read_outputs(tmp_path / "t.json")


def damaged(folder):
    whole = written(folder).read_bytes()
    yield from (whole[: len(whole) // 2], whole[:-1], b"", b"not a zip", whole[:100] + bytes(80) + whole[180:])
    np.save(folder / "one.npy", np.ones(3))
    yield (folder / "one.npy").read_bytes()
    np.savez(folder / "o.npz", label=np.array([{}, None], dtype=object), allow_pickle=True)
    yield (folder / "o.npz").read_bytes()  # a pickle, which is not read


def test_a_damaged_file_is_named_in_one_sentence(tmp_path):
    for content in damaged(tmp_path):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"bad\.npz is no whole file of outputs \(") as caught:
            read_outputs(tmp_path / "bad.npz")
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="No such file"):
        read_outputs(tmp_path / "none.npz")


def test_a_wrong_table_is_named(tmp_path):
    for text, says in (
        ("", "and it has none"),
        ("path,label,prediction\n", "no images"),
        ("path,label\na,1\n", "needs the columns label and prediction"),
        ("path,label,prediction\na,1,x\n", "prediction in line 2 is 'x', not a whole number"),
        ("path,label,prediction,confidence\na,1,1,\n", "confidence in line 2 is '', not a number"),
        ("path,label,prediction,confidence\na,1,1\n", "line 2 has 3 values for 4 columns"),
        ("path,label,prediction\na,b,1,1\n", "line 2 has 4 values for 3 columns"),
        ("label,label,prediction\n1,0,1\n", "two columns 'label'"),
        ("label,prediction,logits\n1,0,1\n", "a table has no logits"),
        ("path,label,prediction\na,1,1\na,1,1\n", "an image twice"),
    ):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(InputError, match=says):
            read_outputs(tmp_path / "bad.csv")
    with open(tmp_path / "bad.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([["path", "label", "prediction"], ["x" * 200_000, 1, 1]])
    with pytest.raises(InputError, match="field larger"):
        read_outputs(tmp_path / "bad.csv")


# ---------------------------------------------------------------------- what is given twice, or is no array


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("head", [("prediction", "clean"), ("after", "prediction"), ("clean", "after")])
def test_two_columns_of_one_meaning_are_refused(tmp_path, kind, head):
    import pandas as pd

    file = tmp_path / f"t.{kind}"
    table = pd.DataFrame({"label": [0, 1], head[0]: [0, 1], head[1]: [1, 1]})
    table.to_csv(file, index=False) if kind == "csv" else table.to_parquet(file)
    says = f"it has prediction twice, as the columns {head[0]} and {head[1]}; leave one out"
    with pytest.raises(InputError, match=says):
        read_outputs(file)


def test_two_arrays_of_one_meaning_are_refused(tmp_path):
    logits, label = (x.numpy() for x in drawn())
    relative = logits - logits.max(1, keepdims=True)
    for more, says in (
        ({"relative_logits": relative}, "both logits and relative_logits"),
        ({"prediction": logits.argmax(1), ".prediction": logits.argmax(1)}, "prediction twice"),
    ):
        np.savez(tmp_path / "x.npz", label=label, logits=logits, **more)
        with pytest.raises(InputError, match=says):
            read_outputs(tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", label=label, logits=logits)
    with zipfile.ZipFile(tmp_path / "y.npz", "a") as archive:
        archive.writestr("label", archive.read("label.npy"))
    with pytest.raises(InputError, match="two arrays 'label'"):
        read_outputs(tmp_path / "y.npz")


def test_a_foreign_member_is_refused(tmp_path):
    file = written(tmp_path)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("README.txt", "my outputs")
    with pytest.raises(InputError, match=r"it holds README\.txt, which is no array; leave it out"):
        read_outputs(file)


TEXTS = [np.array("a"), np.array([["a"] * 60]), np.arange(60), np.array([b"a"] * 60), np.array(3), np.ones(60)]
ODD = [
    *((name, value, f"{name} is not a list of texts") for name in ("path", "classnames") for value in TEXTS),
    *(("about", np.array(value), "about is not the text of a JSON object") for value in (
        "[1]", "no JSON", "[" * 100_000, 3, ["{}", "{}"], b"{}",
    )),
    ("label", np.full(60, 2**64 - 1, np.uint64), "label is not a list of whole numbers"),
    ("label", np.zeros((60, 1), int), "label is not a list of whole numbers"),
    ("prediction", np.array("a"), "prediction has 1 rows"),
    ("confidence", np.array(["0.5"] * 60), "confidence has other values than numbers"),
    ("confidence", np.full((60, 1), 0.5), "confidence is not a list"),
    ("class_features", np.array([["a"]] * 6), "class_features has other values than numbers"),
    ("class_features", np.ones(6), "class_features is not a table"),
    ("known", np.array(True), "known is not one yes or no"),
    ("max_logit", np.zeros(60), r"logsumexp of image \d+ is .*, but .* by its logits"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(ODD)))
def test_arrays_of_odd_shapes_and_kinds_are_refused(tmp_path, case):
    name, value, says = ODD[case]
    with np.load(written(tmp_path)) as stored:
        arrays = dict(stored) | {name: value}
    np.savez(tmp_path / "odd.npz", **arrays)
    with pytest.raises(InputError, match=rf"odd\.npz cannot be scored: {says}") as caught:
        read_outputs(tmp_path / "odd.npz")
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


def test_an_encrypted_archive_and_one_of_impossible_size_are_named(tmp_path):
    content = bytearray(written(tmp_path).read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag "encrypted" of every member
        place = content.find(mark)
        while place >= 0:
            content[place + at] |= 1
            place = content.find(mark, place + 4)
    (tmp_path / "locked.npz").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000000,), }"
        archive.writestr("label.npy", b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)
    for name in ("locked", "huge"):
        with pytest.raises(InputError, match=rf"{name}\.npz is no whole file of outputs \("):
            read_outputs(tmp_path / f"{name}.npz")


@pytest.mark.parametrize("value", ["0_1", "１", "1.0", "", "1e0", "0x1", "٣", "9" * 5000])
def test_labels_are_plain_whole_numbers(tmp_path, value):
    (tmp_path / "t.csv").write_text(f"label,prediction\n{value},1\n", encoding="utf-8")
    with pytest.raises(InputError, match="label") as caught:
        read_outputs(tmp_path / "t.csv")
    assert len(str(caught.value)) < 300
    (tmp_path / "t.csv").write_text("label,prediction\n 1, 1\n")  # blanks after a comma are no fault
    assert read_outputs(tmp_path / "t.csv").label.tolist() == [1]


@pytest.mark.parametrize("value", ["0_9", "０.９", "٠.٩"])
def test_confidences_are_plain_numbers(tmp_path, value):
    (tmp_path / "t.csv").write_text(f"label,prediction,confidence\n1,1,{value}\n", encoding="utf-8")
    with pytest.raises(InputError, match="confidence in line 2 is .*, not a number"):
        read_outputs(tmp_path / "t.csv")


def test_relative_logits_alone_give_no_energy(tmp_path):
    """The largest logit of each image is not known then, so that images cannot be compared by it."""
    logits, label = (x.numpy().astype(float) for x in drawn())
    label, relative = label.astype(int), logits - logits.max(1, keepdims=True)
    known = {"label": label, "known": np.arange(6) < 3}
    np.savez(tmp_path / "whole.npz", logits=logits, **known)
    np.savez(tmp_path / "relative.npz", relative_logits=relative, **known)
    np.savez(tmp_path / "both.npz", relative_logits=relative, max_logit=logits.max(1), **known)
    whole, alone, both = (all_scores(read_outputs(tmp_path / f"{n}.npz"))[""] for n in ("whole", "relative", "both"))
    assert both == pytest.approx(whole, abs=1e-4)
    assert whole.keys() - alone.keys() == {f"ood_{a}_{b}" for a in ("auroc", "fpr95") for b in ("energy", "max_logit")}
    assert alone == pytest.approx({name: whole[name] for name in alone}, abs=1e-4)
