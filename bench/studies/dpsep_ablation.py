"""DP-SEP's ablation (Table 4 of the paper): its terms on and off, with both readings of what the paper leaves open.

python -m bench.dpsep_ablation --datasets digits textures --seeds 1 2 3

Rows: cross-entropy alone; DP, the three alignment terms; SEP with and without perturbation; all of it. The entropy term
as printed (+ lambda H) and as the paper's words have it (- lambda H); the alignment terms as a mean or a sum over the
batch, a sum being heavier by the batch size. A finished run is not run again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dassl.utils import InputError

from . import go_ahead, noise, variants
from .variants import Variant

N = "TRAINER.DPSEP."
ALIGNMENT = ("USE_APOS", "USE_ANEG", "USE_MC")
HEADERS = ["terms", "SEP sign", "alignment"]


def _row(terms: str, sign: str = "", reduction: str = "", **settings: object) -> Variant:
    dual = {key: bool(reduction) for key in ALIGNMENT} | ({"REDUCTION": reduction} if reduction else {})
    sep = {"USE_SEP": bool(sign)} | ({"SEP_SIGN": sign} if sign else {})
    pairs = tuple(x for key, value in (dual | sep | settings).items() for x in (N + key, str(value)))
    folder = "_".join(filter(None, (terms.replace(" ", "_").replace(",", ""), sign, reduction)))
    return Variant((terms, sign, reduction), folder, "DPSEP", pairs)


def rows() -> list[Variant]:
    """Table 4's rows; zero-shot CLIP first, for comparison."""
    signs, reductions = ("printed", "intent"), ("mean", "sum")
    return [
        Variant(("zero-shot CLIP", "", ""), "zero-shot", "ZeroshotCLIP"),
        _row("CE"),
        *(_row("DP", reduction=r) for r in reductions),
        *(_row("SEP, sigma 0", sign=s, SEP_SIGMA=0.0) for s in signs),
        *(_row("SEP", sign=s) for s in signs),
        *(_row("DP-SEP", s, r) for s in signs for r in reductions),
    ]


def main(argv: list[str] | None = None) -> int:
    parser = variants.parser(__doc__, "output/ablation/dpsep", ("digits", "textures"))
    parser.add_argument("--types", nargs="+", default=["sym_other:0.5,0.8"], metavar="TYPE:RATES")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="also draw noise.png and noise.pdf here")
    args = go_ahead.parse(parser, argv)
    try:
        sweep = noise.build_sweep(args, rows())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return noise.run(sweep, HEADERS, args)
