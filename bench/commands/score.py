"""Figures of tests from their outputs alone, without a model: python -m bench score RUN ... (docs/outputs.md)"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dassl.utils import InputError

from ..running.given import GivenPath

if TYPE_CHECKING:
    from ..reading.outputs import Scored

FORMATS = ("terminal", "markdown", "latex", "csv", "json")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds `score` to the commands of `python -m bench`."""
    made = subparsers.add_parser(
        "score", help="figures of tests from their outputs",
        description="Computes accuracy, F1, calibration, NLL, AURC and more from the outputs that a test kept, or from "
        "a file of another project's predictions. No model is loaded.",
    )  # fmt: skip
    made.add_argument(
        "places", action=GivenPath, nargs="+", metavar="RUN", help="run, folder of runs, or file of outputs"
    )
    made.add_argument("--answers", action="store_true", help="further answers of a method, each in a row of its own")
    made.add_argument("--against", action=GivenPath, metavar="RUN", help="compare each with this one, image by image")
    made.add_argument(
        "--temperature", metavar="RUN",
        help="outputs on validation images (TEST.SPLIT val), whose best temperature is applied; or a number",
    )  # fmt: skip
    made.add_argument(
        "--dac", type=int, metavar="K",
        help="calibration by the distance of each class to its K nearest base classes, DAC-style (docs/outputs.md)",
    )  # fmt: skip
    made.add_argument(
        "--base", action=GivenPath, metavar="RUN",
        help="with --dac: outputs on the base classes (default: the trained run that results.json names)",
    )  # fmt: skip
    made.add_argument(
        "--ood", action=GivenPath, metavar="FILE",
        help="how well the scores tell the test images from those of FILE, which are of no known class "
        "(predict.py --format npz)",
    )  # fmt: skip
    made.add_argument(
        "--reliability", action=GivenPath, metavar="FILE", help="draw reliability diagrams (.png, .pdf, .svg)"
    )
    made.add_argument("--figures", nargs="+", default=[], metavar="F", help="only these, such as ece nll")
    made.add_argument("--means", action="store_true", help="mean ± sample standard deviation over seed1, seed2, ...")
    made.add_argument("--format", default="terminal", choices=FORMATS)
    made.add_argument("--output", action=GivenPath, metavar="FILE", help="write to this file, not to the screen")
    made.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print or write the figures. Returns the exit code: 0, or 1 if figures differ from those that a run recorded.

    Raises InputError for bad input.
    """
    from dassl.outputs.distance_aware import distance_aware
    from dassl.outputs.open_world import out_of_distribution
    from dassl.outputs.pairs import at_temperature, fixed_temperature, temperature

    from ..drawing.reliability import reliability_diagrams
    from ..drawing.scores import Changed, means, narrowed, render, rows_of
    from ..reading.files import write_all
    from ..reading.outputs import base_of, check_alike, check_one_model, read_place, read_places
    from ..running.trouble import check_output, check_outputs

    if args.base and args.dac is None:
        raise InputError("--base is read with --dac K alone; give both.")
    fixed = None if args.temperature is None else fixed_temperature(args.temperature)
    check_outputs({"--output": args.output, "--reliability": args.reliability})
    check_output(args.reliability, "--reliability", picture=True)

    found = read_places(args.places)
    against = read_place(args.against) if args.against else None
    _check_not_read(args, found)
    if args.means:
        check_alike(found)
    for each in found:
        if not (each.outputs.label >= 0).any():
            raise InputError(
                f"{each.name} has no image of a known class (label -1 alone): give it as --ood, or labels."
            )
    changed: list[list[Changed]] = [[] for _ in found]
    if args.temperature is not None:
        val = None if fixed else read_place(Path(args.temperature))
        for each, own in zip(found, changed, strict=True):
            if val is not None:
                check_one_model(each, val)
            t = fixed or temperature(val.outputs, each.outputs)
            own.append(Changed("/ T", at_temperature(each.outputs, t), {"temperature": t}))
    if args.dac is not None:
        given = read_place(args.base) if args.base else None
        for each, own in zip(found, changed, strict=True):
            base = given or base_of(each)
            check_one_model(each, base)
            gamma, then = distance_aware(each.outputs, base.outputs, args.dac)
            own.append(Changed("x gamma", then, {"gamma": float(gamma.mean())}))
    each_rows = [rows_of(each, args.answers, own, against) for each, own in zip(found, changed, strict=True)]
    if args.ood:
        unknown = read_place(args.ood).outputs
        for each, rows in zip(found, each_rows, strict=True):
            rows[0].update(out_of_distribution(each.outputs, unknown))
    rows = narrowed([row for own in each_rows for row in own], args.figures)
    differing = [row["run"] for row in rows if row.pop("differs", False)]
    text = render(means(rows) if args.means else rows, args.format)
    files: dict[Path, Callable[[str], object]] = {}
    if args.reliability:
        picture, kind = reliability_diagrams([(each.name, each.outputs) for each in found]), args.reliability.suffix
        files[args.reliability] = lambda file: picture.savefig(file, dpi=200, format=kind[1:].lower())
    if args.output:
        files[args.output] = lambda file: Path(file).write_text(text, encoding="utf-8")
    write_all(files)
    if not args.output:
        print(text, end="")  # noqa: T201
    for each in found:
        if each.record is None and (twice := each.outputs.same_name()):
            print(f"{each.name}: {twice}", file=sys.stderr)  # noqa: T201
    for name in differing:
        print(f"{name}: other figures than its results.json has, from another version of the code", file=sys.stderr)  # noqa: T201
    return 1 if differing else 0


def _check_not_read(args: argparse.Namespace, found: Sequence[Scored]) -> None:
    """Raises InputError where a file would be written over one that is read."""
    named = (getattr(args, option) for option in ("against", "temperature", "base", "ood"))
    read = [*(each.file for each in found), *(file for file in named if file and os.path.isfile(file))]
    there = {os.path.realpath(file) for file in read}
    for option in ("reliability", "output"):
        if (file := getattr(args, option)) and os.path.realpath(file) in there:
            raise InputError(f"--{option} would write over {file}, which is read; name another file.")
