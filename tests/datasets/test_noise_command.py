"""python -m datasets noise."""

from __future__ import annotations

import json

from helpers import Tiny as TinySet  # noqa: F401  registers the dataset
from PIL import Image

from datasets.__main__ import main


def test_manifests_and_pictures(tiny, tmp_path, capsys):
    args = ["noise", "Tiny", "--root", str(tiny.root), "--shots", "4", "--output", str(tmp_path)]
    assert main([*args, "--type", "pair_next", "--rate", "0.25", "0.5"]) == 0
    table = capsys.readouterr().out
    assert "pair_next" in table and "0.250" in table and "0.500" in table
    folder = tmp_path / "Tiny" / "noise" / "4shot_split1"
    low, high = (json.loads((folder / f"pair_next_r{r}_n1.json").read_text()) for r in ("0250", "0500"))
    assert (low["stats"]["flipped"], high["stats"]["flipped"]) == (5, 10)
    assert {(t + 1) % 5 for t, _, _ in high["stats"]["flips"]} == {o for _, o, _ in high["stats"]["flips"]}
    assert Image.open(folder / "pair_next_r0500_n1.png").size[0] > 300


def test_bad_input(tiny, tmp_path, capsys):
    args = ["noise", "Tiny", "--root", str(tiny.root), "--shots", "4", "--output", str(tmp_path), "--no-plot"]
    assert main([*args, "--rate", "1.5"]) == 2
    assert "RATE is 1.5" in capsys.readouterr().err
    assert list(tmp_path.rglob("*.json")) == []
