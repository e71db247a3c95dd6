"""Methods under attack: clean accuracy beside transfer, white-box and adaptive attacks, over eps and steps.

python -m bench.adversarial --methods ZeroshotCLIP CoOp ANPrompt TPT RTPT --datasets digits --eps 1 4 8 \\
    --attacks pgd aa --modes T W A --subset 200 --seeds 1 2 3 --output output/adversarial \\
    --markdown table.md --plots plots

Trains what has to be trained (few-shot protocol), makes the adversarial sets, evaluates as scripts/adv/eval.sh does.
Finished parts are not run again. A method has one evaluation for each attack: white-box where it is trained, adaptive
where it adapts to images; both bring the transfer figures along. Config pairs for all runs come last.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dassl.utils import InputError
from runs.targets import expand

from ..drawing.report import render
from ..reading.files import write_text
from ..running import launch
from ..suites.methods import check_methods
from . import adversarial_plots, go_ahead, variants
from .adversarial_plan import Sweep
from .adversarial_tables import read, sections

METHODS = ("ZeroshotCLIP", "CoOp", "ANPrompt", "TPT", "RTPT")


def build_parser() -> argparse.ArgumentParser:
    parser = variants.parser(__doc__, "output/adversarial", ("digits",))
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--attacks", nargs="+", default=["pgd"], help="pgd, aa, ... (default: pgd)")
    parser.add_argument("--modes", nargs="+", default=["T", "W", "A"], help="T transfer, W white-box, A adaptive")
    parser.add_argument("--eps", nargs="+", type=float, default=[1.0, 4.0, 8.0], help="in 1/255")
    parser.add_argument("--steps", nargs="+", type=int, default=[100], help="the most for eps, all of them at one eps")
    parser.add_argument("--subset", type=int, default=0, help="so many images, drawn class by class (default: all)")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="accuracy_eps and accuracy_steps, PNG and PDF")
    return parser


def sweep_of(args: argparse.Namespace) -> Sweep:
    """Raises InputError for what does not make one."""

    def once(values: list) -> list:
        return list(dict.fromkeys(values))

    datasets = expand("few_shot", ",".join(args.datasets))
    return Sweep(
        check_methods(args.methods), datasets, once(args.attacks), sorted(once(args.eps)), sorted(once(args.steps)),
        once(args.modes), once(args.seeds), args.subset,
    )  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    args = go_ahead.parse(build_parser(), argv)
    failures: list[str] = []
    try:
        sweep = sweep_of(args)
        settings = go_ahead.settings_of(args)
        if not args.tables_only:
            todo = sweep.jobs(settings)
            if not go_ahead.may_begin(args, todo):
                return 2
            failures = launch.run_all(todo, args.jobs)
        found = read(sweep, settings)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    tables = sections(found)
    text = {form: render(tables, form) for form in ("simple", "github")}
    print("\n" + (text["simple"] if tables else f"No finished evaluations under {args.output}."))  # noqa: T201
    if found.failed:
        print("\nFailed checks\n" + "\n".join(found.failed))  # noqa: T201
    if tables and args.markdown:
        listed = "".join(f"\n- {line}" for line in found.failed)
        write_text(args.markdown, text["github"] + "\n" + (f"\n## Failed checks\n{listed}\n" if listed else ""))
    if tables and args.plots:
        adversarial_plots.plot(found, args.plots)
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)  # noqa: T201
    return 1 if failures or not tables else 0
