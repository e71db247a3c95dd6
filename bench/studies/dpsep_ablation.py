"""DP-SEP's ablation (Table 4 of the paper): its terms on and off, with both readings of what the paper leaves open.

python -m bench.dpsep_ablation --datasets digits textures --seeds 1 2 3

Rows: cross-entropy alone; DP, the three alignment terms; SEP with and without perturbation; all of it. The entropy term
as printed (+ lambda H) and as the paper's words have it (- lambda H); the alignment terms as a mean or a sum over the
batch, a sum being heavier by the batch size. What is not named is as configs/suites/dpsep_ablation.yaml has it.
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


STUDY = door.Study(__doc__, "dpsep_ablation", noise.noise_options, noise.take_noise, page)


@one_sentence("interrupted: the same command goes on where it stopped")
def main(argv: list[str] | None = None) -> int:
    return door.main(STUDY, argv)
