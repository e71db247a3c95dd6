"""python -m language check | encode: checks language caches and lists of novel class names, and encodes them once
(docs/language.md).
"""

from __future__ import annotations

import argparse
import sys

from dassl.utils.console import tolerant_console
from dassl.utils.ends import one_sentence, parse_words

from .cache import InputError
from .check import check_file, own_files
from .names import class_names
from .stems import STEMS, cache_stem, dataset_stem


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m language", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="report errors in caches and lists of novel names, line by line")
    check.add_argument("files", nargs="*", metavar="FILE", help="default: all files of the tree")
    check.add_argument("--dataset", default="", help="compare with this dataset's classes; default: the file's")
    check.add_argument("--least", type=int, default=None, metavar="N", help="least number of sentences per class")
    check.set_defaults(run=run_check)
    encode = commands.add_parser("encode", help="fill the cache of frozen features ahead of runs")
    encode.add_argument("datasets", nargs="+", metavar="DATASET", help="YAML stem or registered name")
    encode.add_argument("--file", default="", metavar="FILE", help="a cache file of your own (one dataset)")
    encode.add_argument("--truncate", action="store_true", help="cut sentences of more than 77 tokens; else an error")
    encode.add_argument("--backbone", default="", help="default: ViT-B/16; Embedded for the embedded datasets")
    encode.add_argument("--backbone-path", default="", metavar="FILE", help="a local CLIP file")
    encode.add_argument(
        "--backbone-spec", default="", metavar="SPEC", help="its structure: openai, or open_clip's JSON"
    )
    encode.add_argument("--precision", nargs="+", metavar="PREC", help="default: fp16 and amp; on a CPU fp32")
    encode.add_argument("--cpu", action="store_true", help="do not use a GPU")
    encode.set_defaults(run=run_encode)
    return parser


def run_check(args: argparse.Namespace) -> int:
    """Checks the files, or all of this repository, and prints the faults. Returns the exit code, 1 if there are any."""
    if args.dataset and dataset_stem(args.dataset) not in (known := sorted(STEMS.values())):
        raise InputError(f"--dataset {args.dataset} is not known; leave it out, or give one of {', '.join(known)}.")
    if args.least is not None and args.least < 1:
        raise InputError(f"--least is {args.least}, but must be at least 1.")
    faults = 0
    for file in args.files or own_files():
        report = check_file(file, args.dataset, args.least)
        faults += len(report.faults)
        _say("\n".join(report.lines()))
    return int(faults > 0)


def run_encode(args: argparse.Namespace) -> int:
    """Fills the feature bank for the datasets and prints what was computed. Returns the exit code."""
    if args.file and len(args.datasets) > 1:
        raise InputError("--file holds the sentences of one dataset, so give one DATASET with it.")
    for name in args.datasets:
        if class_names(name) is None and not args.file:
            raise InputError(f"there is no language file for {name}; give its own with --file.")
    import torch  # takes seconds, and `check` does not need it

    from clipkit import FeatureBank
    from datasets.embedded.vocab import CLASSES

    from .encode import encode, loaded

    on_gpu = torch.cuda.is_available() and not args.cpu
    bank = FeatureBank()
    bank.check_writable()
    for precision in args.precision or (("fp16", "amp") if on_gpu else ("fp32",)):
        encoders = {}
        for name in args.datasets:
            embedded = cache_stem(name) in CLASSES
            backbone = args.backbone or ("" if args.backbone_path else "Embedded" if embedded else "ViT-B/16")
            if backbone not in encoders:
                encoders = {backbone: loaded(backbone, args.backbone_path, precision, args.cpu, args.backbone_spec)}
            too_long = "truncate" if args.truncate else "refuse"
            for line in encode(name, encoders[backbone], bank, precision, args.file, too_long):
                _say(f"{line}, {precision}")
    _say(f"stored in {bank.root}")
    return 0


@one_sentence()
def main(argv: list[str] | None = None) -> int:
    """Exit codes: 0 fine, 1 `check` found faults, 2 bad usage or bad input, 130 interrupted."""
    args = parse_words(build_parser(), argv)
    return args.run(args)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
