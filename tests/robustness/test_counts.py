"""Intervals against the printed formula's known values, McNemar's test against the binomial one."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from dassl.utils import InputError
from robustness.__main__ import run
from robustness.counts import compare, mcnemar, wilson


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
    one.write_text("path,survived\nx,1\ny,0\nz,1\n")
    two.write_text("path,survived\nz,0\ny,1\nx,0\n")
    other.write_text("path,survived\nw,0\n")
    assert compare(one, two)[:2] == (2, 1)
    with pytest.raises(InputError, match="different images"):
        compare(one, other)
    other.write_text("path,label\nx,1\n")
    with pytest.raises(InputError, match="survived"):
        compare(one, other)


DAMAGED = {
    "empty": b"",
    "no rows": b"path,survived\n",
    "another column": b"path,label\nx,1\n",
    "no value": b"path,survived\nx\n",
    "no number": b"path,survived\nx,yes\n",
    "an image twice": b"path,survived\nx,1\nx,0\n",
    "not UTF-8": b"path,survived\n\xff,1\n",
    "a null": b"path,survived\nx\x00,1\n\x00",
    "a large field": b"path,survived\n" + b"x" * 200_000 + b",1\n",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_named(name, tmp_path):
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("path,survived\nx,1\n")
    bad.write_bytes(DAMAGED[name])
    for pair in ((good, bad), (bad, good), (bad, bad)):
        with pytest.raises(InputError, match=r"bad\.csv is not the outputs\.csv"):
            compare(*pair)


@pytest.mark.parametrize("missing", ["nowhere.csv", "."])
def test_a_missing_file_is_named(missing, tmp_path):
    with pytest.raises(InputError, match=r"is not the outputs\.csv"):
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
