"""Methods under label noise: every method, dataset, type and rate, the tables, and plots of accuracy against rate.

python -m bench.noise --methods CoOp PTNL PTNL-GCE DPSEP ZeroshotCLIP --datasets digits textures \\
    --types sym_other:0,0.125,0.25,0.5,0.65,0.8 idn:0.2,0.4,0.6,0.8 --seeds 1 2 3 --jobs 2 \\
    --output output/noise --markdown table.md --plots plots

Each run goes through train.py and lands where scripts/METHOD/noise_train.sh would put it; a finished one is not run
again, an interrupted one goes on. A method may be any with configs, a named variant (PTNL-GCE, CoOp-SCE), or settings
of one (PTNL:TRAINER.PTNL.LOSS=gce). Rate 0 is one clean run for all types; a method without training runs once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dassl.utils import InputError
from runs.targets import expand

from ..drawing.report import render
from ..reading.files import write_text
from ..running import launch
from . import go_ahead, noise_plots, variants
from .noise_plan import Sweep, jobs, read_types, read_variants
from .noise_tables import NOTE, tables

METHODS = ("ZeroshotCLIP", "CoOp", "PTNL", "PTNL-GCE", "DPSEP", "VisPrompt", "NLPrompt", "JoAPR")
TYPES = ("sym_other:0,0.125,0.25,0.5,0.65,0.8", "idn:0.2,0.4,0.6,0.8", "pair_next:0.125,0.25,0.375,0.5")


def run(sweep: Sweep, headers: Sequence[str], args: argparse.Namespace) -> int:
    """Runs what is not finished, prints the tables and draws the plots; the exit code.

    headers: of the columns that a variant's cells stand in.
    """
    failures: list[str] = []
    try:
        settings = go_ahead.settings_of(args)
        todo = jobs(sweep, settings)
        if not args.tables_only:
            if not go_ahead.may_begin(args, todo):
                return 2
            failures = launch.run_all(todo, args.jobs)
        failed = {str(each) for (each,) in todo if any(f.startswith(f"{each}: ") for f in failures)}
        found, refused = tables(sweep, settings, failed)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    parts = [table.section(headers) for table in found]
    if parts:
        parts[-1] = replace(parts[-1], note=NOTE)  # it is about all of them
    print("\n" + (render(parts, "simple") if parts else f"No finished runs under {args.output}."))  # noqa: T201
    if parts and args.markdown:
        write_text(args.markdown, render(parts, "github") + "\n")
    if found and args.plots:
        noise_plots.plot(found, args.plots)
    for sentence in [*refused, *(f"failed: {failure}" for failure in failures)]:
        print(sentence, file=sys.stderr)  # noqa: T201
    return 1 if failures or refused or not parts else 0


def build_sweep(args: argparse.Namespace, found: Sequence[variants.Variant]) -> Sweep:
    """The variants on the datasets, types and seeds of the command line."""
    datasets = expand("few_shot", ",".join(args.datasets))
    return Sweep(found, datasets, read_types(args.types), list(dict.fromkeys(args.seeds)))


def main(argv: list[str] | None = None) -> int:
    parser = variants.parser(__doc__, "output/noise", ("digits", "textures"))
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--types", nargs="+", default=list(TYPES), metavar="TYPE:RATES", help="such as idn:0.2,0.4")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="also draw noise.png and noise.pdf here")
    args = go_ahead.parse(parser, argv)
    try:
        sweep = build_sweep(args, read_variants(args.methods))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return run(sweep, ["method"], args)
