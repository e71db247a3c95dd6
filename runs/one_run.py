"""Runs train.py once, from its arguments to results.json."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterable

import torch

from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY, build_trainer
from dassl.engine.preemption import stopping_in_good_order
from dassl.utils import attach_logger, set_random_seed, setup_logger
from dassl.utils.ends import one_sentence
from dassl.utils.memory import keep_freed_memory
from dassl.utils.registry import check_availability
from interop.plugins.failures import told_kindly
from interop.plugins.hosting import files_of, hosted, is_hosted, watch
from interop.plugins.listing import listing
from interop.plugins.loading import load_plugins, require
from trainers.shared.checkpoints import check_there

from .defaults import default_cfg
from .folder import RunFolder
from .kernels import chosen_kernels
from .no_effect import without_effect
from .options import build_parser, parse
from .outputs import keep_outputs
from .record import environment, write_record
from .same_data import finished_already
from .setup import resolved
from .shown_config import config_with_origins, shown_arguments, shown_config
from .tested_model import check_loaded, check_model_given
from .words import check_can_write

logger = logging.getLogger("train")
LOGGERS = ("train", "trainers", "datasets", "clipkit", "language", "plugins", "runs", "attacks")


def main(args: argparse.Namespace) -> None:
    """Run once and write results.json. A finished run with the same config is not run again."""
    started = time.time()
    broken = load_plugins(args.plugin, args.trainer)
    if args.list:
        print(listing(broken))  # noqa: T201
        return
    with told_kindly():
        cfg, config = resolved(args)
    args.taken_over = config.taken  # for the record
    require(broken, cfg.TRAINER.NAME, cfg.DATASET.NAME)
    check_availability(cfg.TRAINER.NAME, TRAINER_REGISTRY.registered_names(), "trainer")
    if not is_hosted(cfg):  # other people's trainers may build a dataset of their own
        check_availability(cfg.DATASET.NAME, DATASET_REGISTRY.registered_names(), "dataset")
    if args.show_config:
        shown = config_with_origins(cfg, config, default_cfg(), files_of(cfg, args))
        method = TRAINER_REGISTRY.get(cfg.TRAINER.NAME)
        if args.eval_only and args.model_dir and getattr(method, "architecture", ()):  # the checkpoint sets these keys
            check_there(args.model_dir, method.registered_name, args.load_epoch)
        print(shown)  # noqa: T201
        return
    benchmark = torch.cuda.is_available() and cfg.USE_CUDA
    with RunFolder(cfg, args) as folder, chosen_kernels(args.deterministic, benchmark):
        if folder.finished:
            print(finished_already(folder, cfg, args))  # noqa: T201
            return
        if cfg.SEED >= 0:
            set_random_seed(cfg.SEED)
        folder.put_old_log_aside()
        setup_logger(cfg.OUTPUT_DIR)
        attach_logger(*LOGGERS)
        if cfg.SEED >= 0:
            logger.info("Setting fixed seed: %d", cfg.SEED)
        logger.info("** Arguments **\n%s", shown_arguments(args))
        for taken in config.taken:
            logger.info("%s", "\n".join(taken.lines()))
        logger.info("** Config **\n%s", shown_config(cfg, default_cfg(), files_of(cfg, args)))
        logger.info("** System **\n%s", environment())
        for note in (*folder.notes, *without_effect(cfg, args)):
            logger.warning("Warning: %s", note)
        folder.write_config()
        with hosted(cfg, model_dir=args.model_dir):
            trainer = build_trainer(cfg)
            tested = watch(trainer)
            folder.check_free(trainer.get_model_names())
            if args.eval_only:
                check_model_given(trainer, args)
                trainer.load_model(args.model_dir, epoch=args.load_epoch)
                check_loaded(trainer, args.model_dir, args.load_epoch)
                trainer.test()
            elif args.no_train:
                logger.info("Built, as --no-train asks for: nothing is trained or tested, and there is no results.json")
                return
            else:
                trainer.train()
        if hasattr(trainer, "tower_accounts"):
            accounts = {what.replace("_", " "): f"{count:,}" for what, count in trainer.tower_accounts().items()}
            logger.info("Image tower: %s", ", ".join(f"{count} {what}" for what, count in accounts.items()))
        kept = keep_outputs(folder.path, cfg, trainer)
        write_record(folder.results, cfg, args, trainer, time.time() - started, tested, kept)


def check_before(
    runs: Iterable[list[str]], resolve: Callable[[argparse.Namespace], object] = resolved, name: str = "OUTPUT"
) -> None:
    """Raises InputError if one of several runs could not begin, because of its config or its folder: what is wrong with
    all of them is told once, before the first is run.

    runs: train.py's arguments of each. resolve: makes its config. name: what gives the folder, for the sentence.
    """
    for words in runs:
        args = parse(words)
        load_plugins(args.plugin, args.trainer)
        folder, args.model_dir = args.output_dir, ""  # a checkpoint may be large, or made by a run before this one
        with told_kindly():
            resolve(args)
        if not args.show_config:
            check_can_write(folder, name)


@one_sentence("interrupted: the same command goes on from the last checkpoint")
def run(argv: list[str] | None = None) -> None:
    """Parse the command line and run; without a word, print the usage. The decorator makes it return the exit code."""
    if not (sys.argv[1:] if argv is None else argv):
        build_parser().print_help(sys.stderr)
        raise SystemExit(2)
    keep_freed_memory()
    with stopping_in_good_order():
        main(parse(argv))
