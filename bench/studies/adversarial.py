"""Evaluates methods under transfer, white-box and adaptive attacks over eps and steps, beside clean accuracy.

python -m bench.adversarial --methods ZeroshotCLIP CoOp ANPrompt TPT RTPT --datasets digits --eps 1 4 8 \\
    --attacks pgd aa --modes T W A --subset 200 --seeds 1 2 3 --output output/adversarial \\
    --markdown table.md --plots plots

Trains the methods (few-shot protocol), makes the adversarial sets, and evaluates as scripts/adv/eval.sh does. Options
that are not given are as in configs/suites/attacks.yaml. A method has one evaluation for each attack: white-box for a
trained method, adaptive for a test-time method; both also measure accuracy under the transfer attack.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pandas import DataFrame

from dassl.utils import InputError
from dassl.utils.ends import one_sentence
from runs.robust_protocol import MODES

from ..suites.suite import Suite
from . import adversarial_plots, door
from .adversarial_tables import NOTE, read, sections

OWN_STEPS = {"aa": 100}  # steps of attacks that --steps does not change


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--methods", nargs="+")
    parser.add_argument("--datasets", nargs="+", help="names, all or embedded")
    parser.add_argument("--attacks", nargs="+", help="pgd, aa, ... (default: pgd)")
    parser.add_argument("--modes", nargs="+", help="T transfer, W white-box, A adaptive (default: all)")
    parser.add_argument("--eps", nargs="+", type=float, help="in 1/255 (default: 1 4 8)")
    parser.add_argument("--steps", nargs="+", type=int, help="fewer than the most run at one eps only (default: 100)")
    parser.add_argument("--subset", type=int, default=0, help="number of images, drawn class by class (default: all)")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="accuracy_eps and accuracy_steps, PNG and PDF")


def fill(tree: dict, args: argparse.Namespace) -> None:
    """Put the options into the suite: for each attack all eps at the most steps, and all steps at the eps nearest to 4.

    Raises InputError for a config pair that an option sets.
    """
    if wrong := [key for key in args.opts[::2] if key in ("ATTACK.EPS", "ATTACK.STEPS", "ATTACK.NAME", "ATTACK.MODE")]:
        raise InputError(
            f"{wrong[0]} in the command line is this sweep's own; give --eps, --steps, --attacks, --modes."
        )
    (block,) = tree["blocks"]
    given = {key: getattr(args, key) for key in ("methods", "datasets", "modes", "subset")}
    block |= {key: list(dict.fromkeys(v)) if isinstance(v, list) else v for key, v in given.items() if v}
    eps, steps = sorted(set(args.eps or block["eps"])), sorted(set(args.steps or [block["steps"]]))
    middle = min(eps, key=lambda each: (abs(each - 4), each))
    tree["blocks"] = []
    for attack in dict.fromkeys(args.attacks or block["attacks"]):
        most = OWN_STEPS.get(attack, steps[-1])
        tree["blocks"].append({**block, "name": attack, "attacks": [attack], "eps": eps, "steps": most})
        if attack not in OWN_STEPS and steps[:-1]:
            fewer = {"name": f"{attack}, fewer steps", "attacks": [attack], "eps": middle, "steps": steps[:-1]}
            tree["blocks"].append(block | fewer)


def page(frame: DataFrame, suite: Suite, args: argparse.Namespace) -> door.Page:
    found = read(frame, suite.output, args.modes or tuple(MODES))
    failed = "\n\nFailed checks\n\n" + "\n".join(f"- {line}" for line in found.failed) if found.failed else ""
    return door.Page(sections(found), end=NOTE + failed, draw=lambda folder: adversarial_plots.plot(found, folder))


STUDY = door.Study("adversarial", __doc__, "attacks", options, fill, page)


@one_sentence("interrupted: the same command goes on where it stopped")
def main(argv: list[str] | None = None) -> int:
    return door.main(STUDY, argv)
