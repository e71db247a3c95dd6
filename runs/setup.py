"""The config of a run, from the arguments of train.py."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from yacs.config import CfgNode

from dassl.config.domains import Domain, check_config
from datasets.adversarial import leave_out_unused
from datasets.noisy import take_aliases
from interop.plugins.checkout_settings import take_over
from interop.plugins.config_keys import add_plugin_keys
from interop.plugins.failures import unknown_key_hint
from interop.plugins.hosting import check_stand_in, files_of
from interop.plugins.loading import take_names
from trainers.sar import take_spelling
from trainers.shared.architecture import contradictions, saved_architecture
from trainers.shared.backbone import leave_out_unused_tower
from trainers.shared.discovery import dataset_overrides

from .config import merge_file, merge_pairs
from .config_domains import domains_of
from .defaults import default_cfg
from .flags import check_flags, check_training
from .no_effect import check_meant
from .noise_check import check_noise


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
