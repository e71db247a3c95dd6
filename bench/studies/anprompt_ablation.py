"""ANPrompt's ablation (Table 4 of the paper): text noise, weak alignment loss and anti-noise prompts, on or off.

python -m bench.anprompt_ablation --datasets digits textures --seeds 1 2 3

Prints base, new and HM of each row as measured, averaged over the datasets, with the
sample standard deviation over seeds of that average.
"""

from __future__ import annotations

from . import go_ahead
from .variants import Variant, parser, run

N = "TRAINER.ANPROMPT."
# Row 000 is the code base that ANPrompt extends, see docs/anprompt.md.
BASELINE = (f"{N}ROBUST_LOGITS", "rep", f"{N}CE_MODE", "separate", f"{N}NRVPP_PROJ", "learned_random")
SWITCHES = ("TEXT_NOISE", "WA_LOSS", "ANTI_PROMPT")
ROWS = ("000", "010", "001", "110", "011", "101", "111")


def row_pairs(row: str) -> tuple[str, ...]:
    """Config pairs of a row such as "101"."""
    pairs = [x for name, bit in zip(SWITCHES, row, strict=True) for x in (N + name, str(bit == "1"))]
    return (*pairs, *(BASELINE if row == "000" else ()))


def main(argv: list[str] | None = None) -> int:
    datasets = ("digits", "textures", "letters", "objects")
    args = go_ahead.parse(parser(__doc__, "output/ablation/anprompt", datasets), argv)
    marks = {row: tuple("x" if bit == "1" else "" for bit in row) for row in ROWS}
    variants = [Variant(marks[row], row, "ANPrompt", row_pairs(row)) for row in ROWS]
    return run(variants, ["text noise", "WA loss", "anti-noise prompts"], "ANPrompt", args)
