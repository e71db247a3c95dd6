"""Runs methods under label noise of several types and rates, with tables and plots of accuracy over the rate.

python -m bench.noise --methods CoOp PTNL PTNL-GCE DPSEP ZeroshotCLIP --datasets digits textures \\
    --types sym_other:0,0.125,0.25,0.5,0.65,0.8 idn:0.2,0.4,0.6,0.8 --seeds 1 2 3 --jobs 2 \\
    --output output/noise --markdown table.md --plots plots

Options that are not given are as in configs/suites/noise.yaml. Runs have the same folders as those of
scripts/METHOD/noise_train.sh; finished ones are not repeated. A method may be any with configs, a named variant
(PTNL-GCE, CoOp-SCE), or a method with settings (PTNL:TRAINER.PTNL.LOSS=gce). Rate 0 is one clean run, shared by all
types; a method without training runs once.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from pandas import DataFrame

from dassl.utils import InputError
from dassl.utils.ends import one_sentence

from ..suites.suite import Suite
from . import door, noise_plots
from .noise_tables import NOTE, Cells, sections, tables


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--methods", nargs="+")
    noise_options(parser)


def noise_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--datasets", nargs="+", help="names, all or embedded")
    parser.add_argument("--types", nargs="+", metavar="TYPE:RATES", help="such as idn:0.2,0.4")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="folder for noise.png and noise.pdf")


def fill(tree: dict, args: argparse.Namespace) -> None:
    take_noise(tree, args)
    if args.methods:
        tree["blocks"] = method_blocks(tree["blocks"][0], args.methods)


def take_noise(tree: dict, args: argparse.Namespace) -> None:
    """Put datasets, types and rates of the options into every block of the suite."""
    for block in tree["blocks"]:
        block |= {"datasets": list(dict.fromkeys(args.datasets))} if args.datasets else {}
        block |= {"types": read_types(args.types)} if args.types else {}


def method_blocks(block: dict, names: Sequence[str]) -> list[dict]:
    """The block for the methods of these names, and one for each `METHOD:KEY=VALUE,KEY=VALUE`. Raises InputError."""
    plain = [name for name in dict.fromkeys(names) if ":" not in name]
    found = [{**block, "methods": plain}] if plain else []
    for text in dict.fromkeys(name for name in names if ":" in name):
        method, _, rest = text.partition(":")
        pairs = dict(part.partition("=")[::2] for part in rest.split(","))
        if not all(pairs) or not all(pairs.values()):
            raise InputError(f"{text!r} should be METHOD:KEY=VALUE,KEY=VALUE, such as PTNL:TRAINER.PTNL.LOSS=gce.")
        words = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in pairs.items())
        own = {"name": f"{method} ({words})", "variant": re.sub(r"[^\w.=,-]", "_", f"{method},{rest}")}
        found.append({**block, "methods": [method], "overrides": pairs, **own})
    return found


def read_types(texts: Sequence[str]) -> dict[str, list[float]]:
    """{type: ascending rates} from `TYPE:RATE,RATE`. Raises InputError for rates that are no numbers."""
    found: dict[str, set[float]] = {}
    for text in texts:
        kind, _, rates = text.partition(":")
        try:
            found[kind] = found.get(kind, set()) | {float(rate) for rate in rates.split(",")}
        except ValueError:
            raise InputError(f"{text!r} should be TYPE:RATE,RATE, such as {kind}:0.25,0.5.") from None
    return {kind: sorted(rates) for kind, rates in found.items()}


def name_of(block: str, variant: str, method: str) -> tuple[str, ...]:
    """The name of a row: the block's if it is named after settings, else the variant's or the method's."""
    return (block,) if "(" in block else (variant or method,)


def page_of(frame: DataFrame, cells: Cells, headers: Sequence[str]) -> door.Page:
    found, said = tables(frame, cells)
    return door.Page(sections(found, headers, NOTE), said, draw=lambda folder: noise_plots.plot(found, folder))


def page(frame: DataFrame, suite: Suite, args: argparse.Namespace) -> door.Page:
    return page_of(frame, name_of, ["method"])


STUDY = door.Study("noise", __doc__, "noise", options, fill, page)


@one_sentence("interrupted: the same command goes on where it stopped")
def main(argv: list[str] | None = None) -> int:
    return door.main(STUDY, argv)
