"""ANPrompt's ablation (Table 4 of the paper): text noise, weak alignment loss and anti-noise prompts, on or off.

python -m bench.anprompt_ablation --datasets digits textures --seeds 1 2 3

Prints base, new and HM of each row, averaged over the datasets, with the sample standard deviation over seeds of that
average. The rows are blocks of configs/suites/anprompt_ablation.yaml.
"""

from __future__ import annotations

from dassl.utils.ends import one_sentence

from . import ablation, door

ROWS = ("000", "010", "001", "110", "011", "101", "111")
HEADERS = ["text noise", "WA loss", "anti-noise prompts"]


SETTINGS = [(tuple("x" if bit == "1" else "" for bit in row), row, "ANPrompt") for row in ROWS]
STUDY = ablation.study(__doc__, "anprompt_ablation", SETTINGS, HEADERS, "ANPrompt")


@one_sentence("interrupted: the same command goes on where it stopped")
def main(argv: list[str] | None = None) -> int:
    return door.main(STUDY, argv)
