"""Odd values of every option of `python -m datasets`: one sentence and exit code 2, and nothing is written."""

from __future__ import annotations

import pytest

from attacks import surrogate
from datasets.__main__ import main

HUGE = str(2**70)
ATTACK = ("attack", "digits", "--cpu", "--subset", "3", "--steps", "1")
NOISE = ("noise", "digits", "--no-plot")
CASES = [
    *((("items", "digits", "--seed", value), "--seed is") for value in (HUGE, "-1", str(2**63))),
    *((("items", "digits", "--shots", value), "--shots is") for value in ("0", "-2")),
    *(((*NOISE, "--seed", value), "--seed is") for value in (HUGE, "-5")),
    *(((*NOISE, "--shots", value), "--shots is") for value in ("0", "-5")),
    *(((*NOISE, "--rate", value), "RATE is") for value in ("nan", "inf", "-1", "1")),
    *(((*ATTACK, "--shots", value), "--shots is") for value in ("0", "-5")),
    *(((*ATTACK, "--eps", value), "ATTACK.EPS is") for value in ("nan", "inf", "-1", "1e400")),
    *(((*ATTACK, "--alpha", value), "ATTACK.ALPHA is") for value in ("nan", "inf", "-1")),
    *(((*ATTACK, flag, "-1"), "whole number at least") for flag in ("--steps", "--restarts", "--batch", "--subset")),
    (("noise", "shapes_sketch", "--no-plot"), "is for testing only"),
    ((*ATTACK, "--subset", HUGE), "ATTACK.SUBSET is"),
    ((*ATTACK, "--visual-weights-key", "k"), "give --visual-weights FILE"),
    *((("doctor", "digits", "--workers", value), "--workers is") for value in ("0", "-1")),
    *(
        ((*ATTACK, "--prompt", prompt), "ATTACK.PROMPT is")
        for prompt in (
            "{} {}",
            "{}}",
            "{",
            "}",
            "{{}}",
            "{{}} {}",
            "{0}",
            "{x}",
            "{!r}",
            "{:>9}",
            "{.real}",
            "",
            "a photo",
        )
    ),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Where the digits are made once."""
    return tmp_path_factory.mktemp("data")


@pytest.mark.parametrize(("argv", "words"), CASES, ids=[" ".join(argv)[-40:] for argv, _ in CASES])
def test_an_odd_value_is_one_sentence(argv, words, root, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(surrogate.Surrogate, "__call__", lambda *_: pytest.fail("an attack was begun"))
    extra = {"attack": ("--dir", str(tmp_path / "adv")), "noise": ("--output", str(tmp_path / "noise"))}
    code = main([*argv, "--root", str(root), *extra.get(argv[0], ())])
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(error) == 1 and words in error[0]
    assert not list(tmp_path.rglob("*.*"))
