"""The command line of train.py: CoOp's options, options on plugins, and a few more."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import clipkit
from dassl.utils import InputError
from dassl.utils.screen import Screen

from .about import read_option
from .flags import SHOW, SKIP, SKIP_KEY
from .pairs import apart

USAGE = """One run: training and testing one method on one dataset with one seed. The flags are CoOp's.

python train.py --root data --seed 1 --trainer CoOp --dataset-config-file configs/datasets/digits.yaml \\
    --config-file configs/trainers/CoOp/embedded.yaml --output-dir output/try DATASET.NUM_SHOTS 16
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of train.py's command line."""
    parser = argparse.ArgumentParser(description=USAGE, formatter_class=Screen)
    parser.add_argument("--root", default="", metavar="DIR", help="folder of the datasets")
    parser.add_argument("--output-dir", default="", metavar="DIR", help="folder that this run writes to")
    parser.add_argument("--resume", default="", metavar="DIR", help="folder of an interrupted run to continue")
    parser.add_argument("--seed", type=int, default=-1, metavar="N", help="0 or more: a fixed seed")
    parser.add_argument("--source-domains", nargs="+", metavar="NAME", help="of datasets that have domains")
    parser.add_argument("--target-domains", nargs="+", metavar="NAME", help="of datasets that have domains")
    parser.add_argument("--transforms", nargs="+", metavar="NAME", help="training transforms")
    parser.add_argument("--config-file", default="", metavar="FILE", help="YAML of the method")
    parser.add_argument("--dataset-config-file", default="", metavar="FILE", help="YAML of the dataset")
    parser.add_argument("--trainer", default="", metavar="NAME", help="name of the method")
    parser.add_argument("--backbone", default="", metavar="NAME", help="name of the CLIP backbone")
    parser.add_argument("--head", default="", metavar="NAME", help="name of the head, for plugins with one")
    parser.add_argument("--eval-only", action="store_true", help="test only")
    parser.add_argument("--model-dir", default="", metavar="DIR", help="with --eval-only: folder of the trained run")
    parser.add_argument("--load-epoch", type=int, metavar="N", help="with --eval-only: epoch of the checkpoint to test")
    parser.add_argument("--no-train", action="store_true", help="build everything, train nothing")
    parser.add_argument(
        "--deterministic", action="store_true", help="on a GPU: only kernels that give the same numbers each time"
    )
    parser.add_argument(
        SKIP, action="store_true", help=f"own images: leave out those that cannot be read ({SKIP_KEY} True)"
    )
    parser.add_argument("--plugin", action="append", default=[], metavar="FILE", help="a trainer or dataset file")
    parser.add_argument(
        "--plugin-cfg", action="append", default=[], metavar="FILE",
        help="a train.py whose extend_cfg adds the plugin's config keys, or a YAML with them",
    )  # fmt: skip
    parser.add_argument(
        "--about", type=read_option, default={}, metavar="JSON",
        help="what results.json says of the protocol; the scripts and suites write it",
    )  # fmt: skip
    parser.add_argument(
        SHOW, action="store_true", help="the config of this run, each value with its source; nothing is run"
    )
    parser.add_argument("--list", action="store_true", help="all trainers and datasets, and where they come from")
    parser.add_argument("--version", action="version", version=f"RobustPrompt {clipkit.__version__}")
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, help="config pairs: KEY VALUE or KEY=VALUE ...; options may follow"
    )
    return parser


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse a command line. Options may also stand between and after the config pairs; the word in the place of a key
    decides, so that a value may begin with "-". All words after "--" are config pairs.

    Raises InputError for an option in the place of a value.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    args.opts = apart(args.opts)
    pairs: list[str] = []
    while (at := _option(args.opts)) is not None:
        words = args.opts
        pairs += words[:at]
        if words[at] == "--":
            args.opts = words[at + 1 :]
            break
        args = parser.parse_args(words[at:], args)
    args.opts = pairs + args.opts
    for key, value in zip(args.opts[::2], args.opts[1::2], strict=False):
        if value in parser._option_string_actions:
            raise InputError(f"Config pairs come as KEY VALUE, but {value} follows {key}; give its value.")
    return args


def _option(words: Sequence[str]) -> int | None:
    """The index of the first option in the place of a key; None without one."""
    return next((i for i in range(0, len(words), 2) if words[i].startswith("--") or words[i] == "-h"), None)
