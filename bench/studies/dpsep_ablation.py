"""DP-SEP's ablation (Table 4 of the paper): its terms on and off, with both readings of the paper.

python -m bench.dpsep_ablation --datasets digits textures --seeds 1 2 3

Rows: cross-entropy alone; DP, the three alignment terms; SEP with and without perturbation; DP and SEP. The entropy
term has the sign of the paper's equation (+ lambda H) or of its text (- lambda H). The alignment terms are a mean or a
sum over the batch. Options that are not given are as in configs/suites/dpsep_ablation.yaml.
"""

from __future__ import annotations

import argparse

from pandas import DataFrame

from dassl.utils.ends import one_sentence

from ..suites.suite import Suite
from . import door, noise

SIGNS = ("printed", "intent")


def cells_of(block: str, variant: str, method: str) -> tuple[str, ...]:
    """(terms, sign, alignment) from a block's name, "DP, mean"."""
    terms, *words = block.split(", ")
    sign = [word for word in words if word in SIGNS]
    alignment = [word for word in words if word not in SIGNS]
    return terms, "".join(sign), "".join(alignment)


def page(frame: DataFrame, suite: Suite, args: argparse.Namespace) -> door.Page:
    return noise.page_of(frame, cells_of, ["terms", "SEP sign", "alignment"])


STUDY = door.Study("dpsep_ablation", __doc__, "dpsep_ablation", noise.noise_options, noise.take_noise, page)


@one_sentence("interrupted: the same command goes on where it stopped")
def main(argv: list[str] | None = None) -> int:
    return door.main(STUDY, argv)
