"""One run: training and testing one method on one dataset with one seed. The flags are CoOp's.

python train.py --root data --seed 1 --trainer CoOp --dataset-config-file configs/datasets/digits.yaml \\
    --config-file configs/trainers/CoOp/embedded.yaml --output-dir output/try DATASET.NUM_SHOTS 16
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Mapping

import torch
from yacs.config import CfgNode

import clipkit
import datasets  # noqa: F401  registers the datasets
import trainers  # noqa: F401  registers the methods
from dassl.config import get_cfg_default
from dassl.config.domains import Domain, check_config
from dassl.engine import build_trainer
from dassl.engine.preemption import stopping_in_good_order
from dassl.utils import attach_logger, set_random_seed, setup_logger
from dassl.utils.console import tolerant_console
from datasets.adversarial import add_adversarial_defaults, leave_out_unused
from datasets.noisy import add_noise_defaults, take_aliases
from interop.plugins.checkout_settings import take_over
from interop.plugins.config_keys import add_plugin_keys
from interop.plugins.failures import told_kindly, unknown_key_hint
from interop.plugins.hosting import check_stand_in, files_of, hosted, watch
from interop.plugins.listing import listing
from interop.plugins.loading import load_plugins, require, take_names
from runs.config import merge_file, merge_pairs
from runs.config_domains import domains_of
from runs.ends import TOLD, error_sentence
from runs.flags import check_flags, check_training
from runs.folder import RunFolder
from runs.no_effect import check_meant, without_effect
from runs.noise_check import check_noise
from runs.record import environment, write_record
from runs.same_data import finished_already
from runs.shown_config import shown_arguments, shown_config
from runs.tested_model import check_loaded, check_model_given
from trainers.sar import take_spelling
from trainers.shared.architecture import contradictions, saved_architecture
from trainers.shared.backbone import leave_out_unused_tower
from trainers.shared.discovery import add_dataset_defaults, add_trainer_defaults, dataset_overrides

logger = logging.getLogger("train")
LOGGERS = ("train", "trainers", "datasets", "clipkit", "language", "plugins", "runs", "attacks")


def build_parser() -> argparse.ArgumentParser:
    """CoOp's options, and those on plugins."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="", help="folder of the datasets")
    parser.add_argument("--output-dir", default="", help="where this run writes")
    parser.add_argument("--resume", default="", help="folder of an interrupted run to go on from")
    parser.add_argument("--seed", type=int, default=-1, help="0 or more: a fixed seed")
    parser.add_argument("--source-domains", nargs="+")
    parser.add_argument("--target-domains", nargs="+")
    parser.add_argument("--transforms", nargs="+", help="training transforms")
    parser.add_argument("--config-file", default="", help="YAML of the method")
    parser.add_argument("--dataset-config-file", default="", help="YAML of the dataset")
    parser.add_argument("--trainer", default="", help="name of the method")
    parser.add_argument("--backbone", default="", help="name of the CLIP backbone")
    parser.add_argument("--head", default="")
    parser.add_argument("--eval-only", action="store_true", help="test only")
    parser.add_argument("--model-dir", default="", help="with --eval-only: folder of the trained run")
    parser.add_argument("--load-epoch", type=int, help="with --eval-only: which checkpoint")
    parser.add_argument("--no-train", action="store_true", help="build everything, train nothing")
    parser.add_argument("--plugin", action="append", default=[], metavar="FILE", help="a trainer or dataset file")
    parser.add_argument(
        "--plugin-cfg", action="append", default=[], metavar="FILE",
        help="a train.py whose extend_cfg adds the plugin's config keys, or a YAML with them",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="all trainers and datasets, and where they come from")
    parser.add_argument("--version", action="version", version=f"RobustPrompt {clipkit.__version__}")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="config pairs: KEY VALUE KEY VALUE ...")
    return parser


def extend_cfg(cfg: CfgNode) -> None:
    """Adds the keys that are ours and those of every registered dataset and trainer."""
    cfg.DATASET.SUBSAMPLE_CLASSES = "all"  # all | base | new
    cfg.DATASET.STAND_IN = ""  # the dataset whose templates and settings a method takes, in place of this one's
    cfg.TASK = "B2N"  # B2N base-to-new | CD cross-dataset and domain generalisation | FS few-shot
    cfg.TRAINER.FP16_LOSS = False  # with PREC fp16: logits and loss in fp16, for comparison with the published code
    cfg.MODEL.BACKBONE.PATH = ""  # a local CLIP file, in place of a download
    cfg.MODEL.BACKBONE.SPEC = ""  # of PATH: "openai" (its user vouches for the structure), or an open_clip config
    cfg.MODEL.BACKBONE.VISUAL_WEIGHTS = ""  # a file with another image tower (adversarially fine-tuned ones)
    cfg.MODEL.BACKBONE.VISUAL_WEIGHTS_KEY = ""  # where in the file it is; empty: the usual places
    cfg.TEST.FEATURE_BANK = True  # keep test image features of frozen towers on disk
    add_noise_defaults(cfg)
    add_adversarial_defaults(cfg)
    add_dataset_defaults(cfg)
    add_trainer_defaults(cfg)


def reset_cfg(cfg: CfgNode, args: argparse.Namespace, domains: Mapping[str, Domain]) -> None:
    """Named options win over the YAML files."""
    named = {
        "DATASET.ROOT": args.root,
        "OUTPUT_DIR": args.output_dir,
        "RESUME": args.resume,
        "DATASET.SOURCE_DOMAINS": args.source_domains,
        "DATASET.TARGET_DOMAINS": args.target_domains,
        "INPUT.TRANSFORMS": args.transforms,
        "TRAINER.NAME": args.trainer,
        "MODEL.BACKBONE.NAME": args.backbone,
        "MODEL.HEAD.NAME": args.head,
    }
    merge_pairs(cfg, [x for key, value in named.items() if value for x in (key, value)], "the command line", domains)
    if args.seed >= 0:
        cfg.SEED = args.seed


def default_cfg() -> CfgNode:
    """All keys with their defaults, but those of --plugin-cfg."""
    cfg = get_cfg_default()
    extend_cfg(cfg)
    return cfg


def named_trainer(cfg: CfgNode, args: argparse.Namespace) -> str:
    """The method that the command line names, by its option or as a config pair."""
    return dict(zip(args.opts[::2], args.opts[1::2], strict=False)).get("TRAINER.NAME", cfg.TRAINER.NAME)


def setup_cfg(args: argparse.Namespace) -> CfgNode:
    """Defaults, dataset YAML, method YAML, named options, the method's settings for the dataset, KEY VALUE pairs.

    In a test of a trained model the settings that shape it come last, from its checkpoint.
    """
    cfg = default_cfg()
    cfg.TRAINER.NAME = args.trainer
    take_names(cfg, args.plugin)
    own = files_of(cfg, args)
    add_plugin_keys(cfg, args.plugin_cfg, own)
    default = cfg.clone()
    check_flags(cfg, args)
    domains = domains_of(named_trainer(cfg, args))
    given = set(args.opts[::2])
    with unknown_key_hint(args.plugin, args.plugin_cfg):
        for file in (args.dataset_config_file, args.config_file):
            if file:
                given.update(merge_file(cfg, file, domains))
        reset_cfg(cfg, args, domains)
        merge_pairs(cfg, args.opts, "the command line", domains)  # before, too: the next line looks at it
    names = take_names(cfg, args.plugin)
    take_spelling(cfg)
    merge_pairs(cfg, dataset_overrides(cfg), f"{cfg.TRAINER.NAME}'s dataset settings")
    merge_pairs(cfg, args.opts, "the command line", domains)
    merge_pairs(cfg, [x for key, name in names.items() if key in args.opts for x in (key, name)], "the command line")
    take_spelling(cfg)
    args.taken_over = take_over(cfg, default, own, args)
    take_aliases(cfg)
    check_noise(cfg.DATASET.NOISE, given)
    if args.eval_only and args.model_dir:
        found = saved_architecture(cfg, args.model_dir, args.load_epoch)
        contradictions(found, cfg, args.opts, args.model_dir)
        merge_pairs(cfg, [x for pair in found.items() for x in pair], args.model_dir)
    check_config(cfg, domains_of(cfg.TRAINER.NAME))
    check_training(cfg, args)
    check_meant(cfg, args)
    leave_out_unused(cfg)
    leave_out_unused_tower(cfg)
    check_stand_in(cfg)
    if not cfg.DATASET.STAND_IN:
        del cfg.DATASET["STAND_IN"]
    cfg.freeze()
    return cfg


def main(args: argparse.Namespace) -> None:
    """One run, from arguments to results.json. A finished run with the same config is left as it is."""
    started = time.time()
    broken = load_plugins(args.plugin, args.trainer)
    if args.list:
        print(listing(broken))  # noqa: T201
        return
    with told_kindly():
        cfg = setup_cfg(args)
    require(broken, cfg.TRAINER.NAME, cfg.DATASET.NAME)
    with RunFolder(cfg, args) as folder:
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
        torch.backends.cudnn.benchmark = torch.cuda.is_available() and cfg.USE_CUDA
        logger.info("** Arguments **\n%s", shown_arguments(args))
        for taken in args.taken_over:
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
        write_record(folder.results, cfg, args, trainer, time.time() - started, tested)


def run(argv: list[str] | None = None) -> int:
    """The command line: bad input ends with one sentence and exit code 2."""
    console = sys.stdout
    try:
        with stopping_in_good_order():
            main(build_parser().parse_args(argv))
    except TOLD as error:
        sys.stdout = console
        if not (sentence := error_sentence(error)):
            raise
        print(f"error: {sentence}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from the last checkpoint", file=sys.stderr)  # noqa: T201
        return 130
    finally:
        sys.stdout = console
    return 0


if __name__ == "__main__":
    tolerant_console()
    sys.exit(run())
