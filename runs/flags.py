"""What train.py's options must say, beyond what the config's keys may hold."""

from __future__ import annotations

from argparse import Namespace

from yacs.config import CfgNode

from dassl.config.domains import SEED, check_value
from dassl.utils import InputError

from .config import all_keys

SEVERAL = ("source_domains", "target_domains", "transforms")  # options that take all words up to the next option


def check_flags(cfg: CfgNode, args: Namespace) -> None:
    """Raises InputError for a seed that is none, and for config pairs that an option before them has swallowed."""
    check_value("--seed", args.seed, SEED)
    known = None
    for name in SEVERAL:
        for word in getattr(args, name) or ():
            known = all_keys(cfg) if known is None else known
            if word in known:
                flag = f"--{name.replace('_', '-')}"
                raise InputError(
                    f"{word} stands among the words of {flag}, which takes all words up to the next option; put {flag} "
                    "before another option, and the config pairs last."
                )


def check_training(cfg: CfgNode, args: Namespace) -> None:
    """Raises InputError for a training run without an epoch."""
    if cfg.OPTIM.MAX_EPOCH < 1 and not (args.eval_only or args.no_train):
        raise InputError(
            f"OPTIM.MAX_EPOCH is {cfg.OPTIM.MAX_EPOCH}, but training needs at least 1; --no-train builds a run without "
            "training, --eval-only tests one."
        )
