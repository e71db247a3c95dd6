"""Intervals against the printed formula's known values, McNemar's test against the binomial one."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from dassl.metrics.paired import mcnemar, wilson
from dassl.utils import InputError
from robustness.__main__ import run
from robustness.counts import compare

OLDER = "index,path,label,ordinary,clean,clean_confidence,survived\n"  # columns of older evaluations


@pytest.mark.parametrize(("right", "count"), [(0, 10), (10, 10), (3, 17), (500, 1000)])
def test_wilson(right, count):
    expected = binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert wilson(right, count) == pytest.approx((100 * expected.low, 100 * expected.high), abs=1e-9)


def test_half_of_a_thousand_is_known_to_three_points():
    low, high = wilson(500, 1000)
    assert (high - low) / 2 == pytest.approx(3.1, abs=0.05)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (5, 0), (3, 9), (40, 41)])
def test_mcnemar(b, c):
    first = [True] * b + [False] * c + [True, False]
    second = [False] * b + [True] * c + [True, False]
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (b, c)
    expected = binomtest(b, b + c).pvalue if b + c else 1.0
    assert found.p == pytest.approx(expected)


def test_compare_pairs_by_path(tmp_path):
    one, two, other = (tmp_path / name for name in ("a.csv", "b.csv", "c.csv"))
    one.write_text(OLDER + "0,x,0,0,0,0.9,1\n1,y,1,1,1,0.8,0\n2,z,1,1,1,0.7,1\n")
    two.write_text(OLDER + "0,z,1,1,1,0.9,0\n1,y,1,1,1,0.8,1\n2,x,0,0,0,0.7,0\n")
    other.write_text(OLDER + "0,w,0,0,0,0.5,0\n")
    assert compare(one, two)[:2] == (2, 1)
    with pytest.raises(InputError, match="different images"):
        compare(one, other)
    other.write_text("path,label,prediction\nx,1,1\n")
    with pytest.raises(InputError, match="no column survived"):
        compare(one, other)


DAMAGED = {
    "empty": b"",
    "no rows": OLDER.encode(),
    "another column": b"path,label,prediction\nx,1,1\n",
    "no value": OLDER.encode() + b"0,x,1\n",
    "no number": OLDER.encode() + b"0,x,1,1,1,0.5,yes\n",
    "not 0 or 1": OLDER.encode() + b"0,x,1,1,1,0.5,2\n",
    "an image twice": OLDER.encode() + b"0,x,1,1,1,0.5,1\n1,x,1,1,1,0.5,0\n",
    "not UTF-8": OLDER.encode() + b"0,\xff,1,1,1,0.5,1\n",
    "a null": OLDER.encode() + b"0,x\x00,1,1,1,0.5,1\n\x00",
    "a large field": OLDER.encode() + b"0," + b"x" * 200_000 + b",1,1,1,0.5,1\n",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_named(name, tmp_path):
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text(OLDER + "0,x,1,1,1,0.5,1\n")
    bad.write_bytes(DAMAGED[name])
    for pair in ((good, bad), (bad, good), (bad, bad)):
        with pytest.raises(InputError, match=r"bad\.csv (is no whole file|cannot be scored|has no)"):
            compare(*pair)


@pytest.mark.parametrize("missing", ["nowhere.csv", "."])
def test_a_missing_file_is_named(missing, tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.csv cannot be read \(No such.*give another|has no outputs\.npz"):
        compare(tmp_path / missing, tmp_path / missing)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["Foo", "digits", "1"], "There is no method 'Foo'"),
        (["CoOp", "digits", "1", "x"], "EPS is 'x'"),
        (["CoOp", "digits", "1,2"], "SEED is '1,2'"),
        (["CoOp", "digits,,letters", "1"], "nothing between two commas"),
        (["CoOp", "digits"], "SEED are needed"),
        (["--checks", "x", "CoOp", "digits", "1"], "--checks must be"),
        (["compare", "a"], "two folders"),
    ],
)
def test_wrong_words_are_one_sentence(words, says, capsys):
    assert run(words) == 2
    error = capsys.readouterr().err
    assert says in error and error.startswith("error: ") and error.count("\n") == 1
