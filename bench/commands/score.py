"""Figures of tests from their outputs alone, without a model: python -m bench score RUN ... (docs/outputs.md)"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dassl.utils import InputError

FORMATS = ("terminal", "markdown", "latex", "csv", "json")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds `score` to the commands of `python -m bench`."""
    made = subparsers.add_parser(
        "score", help="figures of tests from their outputs",
        description="Computes accuracy, F1, calibration, NLL, AURC and more from the outputs that a test kept, or from "
        "a file of another project's predictions. No model is loaded.",
    )  # fmt: skip
    made.add_argument("places", type=Path, nargs="+", metavar="RUN", help="run, folder of runs, or file of outputs")
    made.add_argument("--answers", action="store_true", help="further answers of a method, each in a row of its own")
    made.add_argument("--against", type=Path, metavar="RUN", help="compare each with this one, image by image")
    made.add_argument(
        "--temperature", metavar="RUN",
        help="outputs on validation images (TEST.SPLIT val), whose best temperature is applied; or a number",
    )  # fmt: skip
    made.add_argument(
        "--dac", type=int, metavar="K",
        help="calibration by the distance of each class to its K nearest base classes, DAC-style (docs/outputs.md)",
    )  # fmt: skip
    made.add_argument(
        "--base", type=Path, metavar="RUN",
        help="with --dac: outputs on the base classes (default: the trained run that results.json names)",
    )  # fmt: skip
    made.add_argument(
        "--ood", type=Path, metavar="FILE",
        help="how well the scores tell the test images from those of FILE, which are of no known class "
        "(predict.py --format npz)",
    )  # fmt: skip
    made.add_argument("--reliability", type=Path, metavar="FILE", help="draw reliability diagrams (.png, .pdf, .svg)")
    made.add_argument("--figures", nargs="+", default=[], metavar="F", help="only these, such as ece nll")
    made.add_argument("--means", action="store_true", help="mean ± sample standard deviation over seed1, seed2, ...")
    made.add_argument("--format", default="terminal", choices=FORMATS)
    made.add_argument("--output", type=Path, metavar="FILE", help="write to this file, not to the screen")
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
    from ..reading.outputs import base_of, check_alike, read_place, read_places

    if args.base and args.dac is None:
        raise InputError("--base is read with --dac K alone; give both.")

    found = read_places(args.places)
    against = read_place(args.against) if args.against else None
    if args.means:
        check_alike(found)
    for each in found:
        if not (each.outputs.label >= 0).any():
            raise InputError(
                f"{each.name} has no image of a known class (label -1 alone): give it as --ood, or labels."
            )
    changed: list[list[Changed]] = [[] for _ in found]
    if args.temperature:
        fixed = fixed_temperature(args.temperature)
        val = None if fixed else read_place(Path(args.temperature)).outputs
        for each, own in zip(found, changed, strict=True):
            t = fixed or temperature(val, each.outputs)
            own.append(Changed("/ T", at_temperature(each.outputs, t), {"temperature": t}))
    if args.dac is not None:
        given = read_place(args.base).outputs if args.base else None
        for each, own in zip(found, changed, strict=True):
            gamma, then = distance_aware(each.outputs, given or base_of(each), args.dac)
            own.append(Changed("x gamma", then, {"gamma": float(gamma.mean())}))
    rows = [row for each, own in zip(found, changed, strict=True) for row in rows_of(each, args.answers, own, against)]
    if args.ood:
        unknown = read_place(args.ood).outputs
        for each in found:
            next(row for row in rows if row["run"] == each.name).update(out_of_distribution(each.outputs, unknown))
    if args.reliability:
        reliability_diagrams({each.name: each.outputs for each in found}, args.reliability)
    rows = narrowed(rows, args.figures)
    differing = [row["run"] for row in rows if row.pop("differs", False)]
    text = render(means(rows) if args.means else rows, args.format)
    if args.output:
        _write(args.output, text)
    else:
        print(text, end="")  # noqa: T201
    for name in differing:
        print(f"{name}: other figures than its results.json has, from another version of the code", file=sys.stderr)  # noqa: T201
    return 1 if differing else 0


def _write(file: Path, text: str) -> None:
    from ..reading.files import write_text

    try:
        write_text(file, text)
    except OSError as error:
        raise InputError(f"{file} cannot be written ({error.strerror or error}); name another file.") from error
