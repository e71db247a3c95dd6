"""The positive control of the checks for masked gradients: what the purification is, and that the checks notice it."""

from __future__ import annotations

import re

import pytest
import torch
from torch.nn import functional as F

from clipkit import normalize
from robustness.__main__ import run
from robustness.clipure import purified

D = 768


def vectors(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Unit features [count, d] at a cosine of about 0.24 to an anchor [d], as CLIP's are, and texts [7, d], in fp64."""
    g = torch.Generator().manual_seed(seed)
    z, anchor, text = (normalize(torch.randn(n, D, generator=g, dtype=torch.float64)) for n in (count, 1, 7))
    return normalize(z + 0.24 * anchor), anchor[0], text


def plainly(z: torch.Tensor, anchor: torch.Tensor, steps: int) -> torch.Tensor:
    """The published steps with autograd, for the whole batch."""
    u = normalize(z)
    for _ in range(steps):
        own = u.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(-F.cosine_similarity(own, anchor[None], dim=1).sum(), own)
        u = normalize(u - 30 * gradient / gradient.norm())
    return u


@pytest.mark.parametrize("steps", [1, 2, 9, 10])
def test_the_steps_are_the_published_ones(steps):
    z, anchor, _ = vectors(3)
    torch.testing.assert_close(purified(z, anchor, steps, whole_batch=True), plainly(z, anchor, steps))
    one_by_one = torch.cat([plainly(row[None], anchor, steps) for row in z])
    torch.testing.assert_close(purified(z, anchor, steps), one_by_one)


def test_ten_steps_are_the_identity_for_one_image_and_not_for_two():
    z, anchor, text = vectors(2)
    for row in z:
        torch.testing.assert_close(purified(row[None], anchor)[0], row, atol=1e-12, rtol=0)
    assert (purified(z[:1], anchor, 9) @ anchor).item() > 0.95
    moved = (purified(z, anchor, whole_batch=True) @ text.T - z @ text.T).abs().max()
    assert moved > 1e-3


def test_the_gradient_is_divided_by_more_than_a_trillion():
    z, anchor, text = vectors(1)
    label, norms = torch.tensor([2]), []
    for change in (lambda u: u, lambda u: purified(u, anchor)):
        own = z.clone().requires_grad_()
        F.cross_entropy(100 * normalize(change(own)) @ text.T, label).backward()
        norms.append(own.grad.norm().item())
    assert norms[0] > 0.1 and norms[1] < 1e-12 * norms[0]


def test_the_checks_notice_it_and_bpda_removes_the_gain(capsys):
    words = ["digits", "--subset", "20", "--eps", "8", "--steps", "10", "--queries", "150", "--cpu"]
    assert run(["clipure", *words]) == 0
    said = capsys.readouterr().out
    figures = dict(
        re.findall(r"^(no attack|PGD \w+ the purification|Square)\D*?(?:\d+ queries)?\s+([\d.]+)$", said, re.M)
    )
    through, past, square = (
        float(figures[k]) for k in ("PGD through the purification", "PGD past the purification", "Square")
    )
    assert past < square < through
    assert "which is no defence" in said and "FAILED" in said and "as expected" in said


@pytest.mark.parametrize(
    ("words", "sentence"), [(["digitss"], "digits"), (["digits", "--eps", "0"], "--eps is 0"), ([], "DATASET")]
)
def test_bad_input(words, sentence, capsys):
    try:
        code = run(["clipure", *words])
    except SystemExit as end:  # argparse's own
        code = end.code
    assert code == 2 and sentence in capsys.readouterr().err
