"""Evaluates a trained method under attack.

python -m robustness METHOD DATASET SEED [EPS STEPS] [MODE] [KEY VALUE ...]    as scripts/adv/eval.sh
python -m robustness --trainer CoOp --model-dir output/run --load-epoch 50 ... ATTACK.MODE W
                                              with train.py's options
python -m robustness compare FOLDER FOLDER    two evaluations on the same images, image by image
python -m robustness clipure DATASET          whether the checks notice a masked gradient

MODE: T transfer, W white-box (the method and its prompts are known), A adaptive (the whole test-time defence is known).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from dassl.utils import InputError
from dassl.utils.console import tolerant_console
from dassl.utils.ends import one_sentence
from dassl.utils.screen import Screen
from runs.config_names import method_name
from runs.flags import SKIP
from runs.one_run import check_before
from runs.pairs import apart
from runs.protocols import Settings
from runs.robust_protocol import robust
from runs.settled import check_pairs
from runs.targets import expand
from runs.words import check_config, check_method, seed_of

from .counts import compare
from .one_evaluation import evaluate
from .run import Options, setup


def split(argv: list[str]) -> tuple[Options, list[str]]:
    """Parse `--checks` and `--check-images`; the other arguments are returned as they are."""
    parser = argparse.ArgumentParser(
        prog="python -m robustness", description=__doc__, allow_abbrev=False,
        formatter_class=Screen,
    )  # fmt: skip
    parser.add_argument("--checks", default=os.environ.get("CHECKS", "basic"), help="basic | all (default: basic)")
    parser.add_argument("--check-images", type=int, default=64, help="images that checks attack (default: 64)")
    if not argv:
        parser.print_help(sys.stderr)
        raise SystemExit(2)
    args, rest = parser.parse_known_args(argv)
    return Options(args.checks, args.check_images), rest


def plan(rest: list[str]) -> list[list[str]]:
    """The arguments of train.py for each evaluation. Raises InputError for arguments that describe none."""
    if rest and rest[0].startswith("--"):
        return [rest]
    if len(rest) < 3:
        raise InputError("METHOD, DATASET and SEED are needed, for example: scripts/adv/eval.sh CoOp digits 1 4 100 W.")
    trainer, where, seed, *words = method_name(rest[0]), *rest[1:]
    options = [word for word in words if word == SKIP]  # of train.py
    pairs = apart(word for word in words if word != SKIP)
    settings = Settings.from_environment(os.environ, pairs)
    check_method(trainer, settings.plugins)
    check_pairs("robust", pairs, settings.output)
    names = expand("few_shot", where, "", settings.plugins)
    runs = [[*options, *robust(trainer, name, seed_of(seed), settings)] for name in names]
    for each in runs:
        check_config(settings.cfg, each)
    return runs


def compared(folders: list[str]) -> str:
    """McNemar's test on the images that survive every attack of two evaluations."""
    if len(folders) != 2:
        raise InputError("compare needs two folders of evaluations.")
    found = compare(*(Path(folder) for folder in folders))
    return f"survived only the first: {found.only_first}, only the second: {found.only_second}; p = {found.p:.3g}"


@one_sentence("interrupted")
def run(argv: list[str] | None = None) -> int:
    """Run all evaluations that the arguments ask for; one that fails does not stop the others."""
    options, rest = split(sys.argv[1:] if argv is None else argv)
    if rest[:1] == ["compare"]:
        print(compared(rest[1:]))  # noqa: T201
        return 0
    if rest[:1] == ["clipure"]:
        from .clipure import main as clipure

        return clipure(rest[1:])
    codes = []
    planned = plan(rest)
    if len(planned) > 1:
        check_before(planned, setup)
    for arguments in planned:
        codes.append(evaluate(arguments, options))
        if codes[-1] == 130:
            break
    return max(codes, default=0)


if __name__ == "__main__":
    tolerant_console()
    sys.exit(run())
