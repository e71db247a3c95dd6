"""Makes the table Base / New / HM from the results under a folder: on the terminal, as Markdown, LaTeX and a plot.

python -m bench.table output/demo --markdown table.md --latex table.tex --plot table.png

HM is the harmonic mean of the two means over seeds, as usual in papers; ± is the sample standard deviation over seeds
(of HM: of the single seeds' harmonic means; of an average: of the single seeds' averages over datasets), or with
--interval half the width of the mean's 95 % interval. All three use the seeds that have base and new. Runs that differ
in more than the seed have rows of their own, named after the differing settings.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tabulate import tabulate

from dassl.utils import InputError
from dassl.utils.ends import one_sentence
from dassl.utils.screen import Screen

from ..reading.collect import collect
from ..reading.files import no_results, write_text
from ..running.trouble import check_output, writing
from .base_new import HEADERS, accuracies, caption, lines, rows, said_of_base_alone
from .base_new_latex import latex
from .base_new_plot import plot
from .collapse import caption as fallen


@one_sentence()
def main(argv: list[str] | None = None) -> int:
    """Print the table, and remarks to stderr. Returns the exit code: 0, or 1 if broken results were left out.

    Raises InputError for wrong options, and if there is no result.
    """
    parser = argparse.ArgumentParser(prog="python -m bench.table", description=__doc__, formatter_class=Screen)
    parser.add_argument("folder", type=Path, help="the OUTPUT folder of the runs")
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    parser.add_argument("--latex", type=Path, help="also write the table to this file for a paper (booktabs)")
    parser.add_argument("--plot", type=Path, help="also draw a plot to this file (PNG, PDF or SVG)")
    parser.add_argument("--interval", action="store_true", help="± is half the mean's 95 %% interval (Student's t)")
    args = parser.parse_args(argv)
    if not os.path.isdir(args.folder):
        raise InputError(f"there is no folder {args.folder}; give the OUTPUT folder of the runs.")
    check_output(args.markdown, "--markdown")
    check_output(args.latex, "--latex")
    check_output(args.plot, "--plot", picture=True)
    broken: list[str] = []
    remarks: list[str] = []
    frame = collect(args.folder, broken, remarks)
    found = accuracies(frame, remarks)
    made = rows(found, args.interval)
    if not made:
        raise no_results(args.folder, *broken, *remarks, what="base-to-new runs with both halves")
    several = any(len(parts["base"]) > 1 for parts in found.values())
    fell = fallen(frame[frame["protocol"] == "base2new"])
    alone = said_of_base_alone(row[1] for row in made)
    note = "".join(f"\n\n{text}" for text in (caption(args.interval) if several else "", alone, fell) if text)
    print(f"\n{tabulate(made, HEADERS, disable_numparse=True)}{note}")  # noqa: T201
    for sentence in (*broken, *remarks):
        print(sentence, file=sys.stderr)  # noqa: T201
    if args.markdown:
        text = tabulate(made, HEADERS, tablefmt="github", disable_numparse=True)
        with writing(args.markdown, "--markdown"):
            write_text(args.markdown, "\n\n".join(filter(None, [text, caption(args.interval), alone, fell])) + "\n")
    if args.latex:
        with writing(args.latex, "--latex"):
            write_text(args.latex, latex(lines(found), [caption(args.interval), fell], args.interval))
    if args.plot:
        with writing(args.plot, "--plot"):
            plot(found, args.plot)
    return 1 if broken else 0
