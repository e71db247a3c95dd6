"""Classifies images with a trained model. The dataset that it was trained on is not needed.

python predict.py --model-dir output/base2new/train_base/digits/shots_16/CoOp/embedded/seed1 cat.jpg photos/
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from clipkit.files import check_writable
from dassl.outputs.kept import KeptOutputs, write_outputs
from dassl.utils import InputError, atomic_path
from dassl.utils.console import tolerant_console
from dassl.utils.counted import counted
from dassl.utils.ends import one_sentence
from dassl.utils.screen import Screen
from interop.plugins.loading import load_plugins
from language import read_classlist
from runs.image_files import find_images
from runs.predictions import FORMATS, Prediction, render
from runs.predictor import SCORES, Predictor, load_predictor

OUTPUTS = "npz"  # the format that keeps what `bench score` needs of images of unknown classes
LOGGERS = ("dassl", "train", "trainers", "datasets", "clipkit", "language", "runs", "plugins")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Screen)
    parser.add_argument("images", nargs="+", metavar="IMAGES", help="files, folders (with all below), glob patterns")
    parser.add_argument("--model-dir", required=True, help="the --output-dir of a train.py run")
    parser.add_argument(
        "--load-epoch", type=int, help="epoch of the checkpoint (default: the one that the run was tested with)"
    )
    parser.add_argument(
        "--classes", default="", metavar="FILE", help="class names, one a line (default: the run's own)"
    )
    parser.add_argument(
        "--score", choices=SCORES, default="softmax",
        help="softmax: over the classes; sigmoid: of each class by itself, on backbones with a logit bias (SigLIP)",
    )  # fmt: skip
    parser.add_argument("--top", type=int, default=5, help="number of classes for each image (default: 5)")
    parser.add_argument(
        "--format",
        choices=(*FORMATS, OUTPUTS),
        help="default: by the ending of --output, else table; npz: docs/outputs.md",
    )
    parser.add_argument("--output", default="", metavar="FILE", help="write to this file instead of the terminal")
    parser.add_argument("--skip-bad", action="store_true", help="leave out images that cannot be read, with a warning")
    parser.add_argument("--backbone-path", default="", metavar="FILE", help="CLIP file in place of the run's")
    parser.add_argument("--backbone-spec", default="", metavar="SPEC", help="structure: openai, or open_clip's JSON")
    parser.add_argument("--plugin", action="append", default=[], metavar="FILE", help="a trainer file from outside")
    return parser


def main(args: argparse.Namespace) -> None:
    """Classify the images and write a table, CSV or JSON to stdout or a file."""
    ending = Path(args.output).suffix[1:].lower()
    form = args.format or (ending if ending in (*FORMATS, OUTPUTS) else "table")
    if form == OUTPUTS and not args.output:
        raise InputError("--format npz needs --output FILE, for it is no text.")
    if form == OUTPUTS and args.score != "softmax":
        raise InputError(f"--score {args.score} has no effect on --format npz, which keeps logits; leave it out.")
    if args.top < 1:
        raise InputError(f"--top is {args.top}, but must be at least 1.")
    output = Path(args.output) if args.output else None
    if output is not None and (os.path.isdir(output) or not os.path.isdir(output.parent)):
        what = "is a folder" if os.path.isdir(output) else f"the folder {output.parent} does not exist"
        raise InputError(f"--output {output}: {what}; give the name of a file in an existing folder.")
    if output is not None:
        check_writable(output, "--output")
    load_plugins(args.plugin)
    files = find_images(args.images)
    classes = read_classlist(args.classes) if args.classes else None
    backbone = args.backbone_path, args.backbone_spec
    predictor = load_predictor(args.model_dir, classes, args.load_epoch, *backbone, args.score)
    if form == OUTPUTS and output is not None:
        _write_outputs(predictor, files, output, args.skip_bad)
        return
    found = [
        Prediction(files[index], best)
        for indices, probabilities in predictor.batches(files, args.skip_bad)
        for index, best in zip(indices, predictor.best(probabilities, args.top), strict=True)
    ]
    if not found:
        raise InputError(f"Of {counted(len(files), 'image')} none can be read.")
    facts = {
        "model_dir": args.model_dir,
        "trainer": predictor.cfg.TRAINER.NAME,
        "epoch": predictor.epoch,
        "backbone": predictor.cfg.MODEL.BACKBONE.PATH or predictor.cfg.MODEL.BACKBONE.NAME,
        "classes": len(predictor.classnames),
    } | ({"score": args.score} if args.score != "softmax" else {})
    text = render(found, facts, form, "utf-8" if output is not None else sys.stdout.encoding or "utf-8")
    if output is None:
        print(text, end="")  # noqa: T201
        return
    try:
        with atomic_path(output) as temporary:
            Path(temporary).write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise InputError(f"--output {output} cannot be written ({error.strerror}); give another place.") from error


def _write_outputs(predictor: Predictor, files: list[str], output: Path, skip_bad: bool) -> None:
    """Write what the model says of images whose class is not known, in the form of a test's outputs."""
    kept, paths = KeptOutputs(), []
    for indices, logits in predictor.logits(files, skip_bad):
        kept.add(logits, torch.full((len(indices),), -1))
        paths += [Path(files[index]).as_posix() for index in indices]
    if not paths:
        raise InputError(f"None of the {len(files)} images can be read.")
    cfg = predictor.cfg
    about = {"trainer": cfg.TRAINER.NAME, "seed": cfg.SEED, "form": kept.form, "split": "none"}
    try:
        write_outputs(output, kept.arrays(), predictor.classnames, paths, about)
    except OSError as error:
        raise InputError(f"--output {output} cannot be written ({error.strerror}); give another place.") from error


@contextlib.contextmanager
def warnings_on_stderr() -> Iterator[None]:
    """Within the block, log lines of level WARNING or above go to stderr, and others are dropped; stdout has the result
    alone."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(log, log.handlers, log.level, log.propagate) for log in loggers]
    for log in loggers:
        log.handlers, log.level, log.propagate = [handler], logging.WARNING, False
    try:
        yield
    finally:
        for log, handlers, level, propagate in before:
            log.handlers, log.level, log.propagate = handlers, level, propagate


@one_sentence("interrupted")
def run(argv: list[str] | None = None) -> None:
    """Parse the command line and run. The decorator makes it return the exit code."""
    args = build_parser().parse_args(argv)
    with warnings_on_stderr():
        main(args)


if __name__ == "__main__":
    tolerant_console()
    sys.exit(run())
