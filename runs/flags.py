"""Checks of train.py's options, beyond those of the values of config keys."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

from dassl.config.domains import SEED, check_value
from dassl.utils import InputError

SHOW = "--show-config"
SKIP = "--skip-bad"
SKIP_KEY = "DATASET.FOLDER.SKIP_BAD"  # what it sets
# {name of an option in argparse: the config key that it sets}
NAMED = {
    "root": "DATASET.ROOT",
    "output_dir": "OUTPUT_DIR",
    "resume": "RESUME",
    "source_domains": "DATASET.SOURCE_DOMAINS",
    "target_domains": "DATASET.TARGET_DOMAINS",
    "transforms": "INPUT.TRANSFORMS",
    "trainer": "TRAINER.NAME",
    "backbone": "MODEL.BACKBONE.NAME",
    "head": "MODEL.HEAD.NAME",
}
SEVERAL = ("source_domains", "target_domains", "transforms")  # options with several values, up to the next option


def flag(name: str) -> str:
    """The option as it is typed."""
    return f"--{name.replace('_', '-')}"


def named_options(args: Namespace) -> Iterator[tuple[str, str, object]]:
    """(option as it is typed, config key, value) of each option that is given and has a key."""
    for name, key in NAMED.items():
        if value := getattr(args, name, None):
            yield flag(name), key, value
    if args.seed >= 0:
        yield "--seed", "SEED", args.seed
    if getattr(args, "skip_bad", False):
        yield SKIP, SKIP_KEY, True


def named_trainer(args: Namespace, otherwise: str) -> str:
    """The method's name from the config pair TRAINER.NAME of the command line; `otherwise` without such a pair."""
    return dict(zip(args.opts[::2], args.opts[1::2], strict=False)).get("TRAINER.NAME", otherwise)


def check_flags(config: Mapping[str, object], args: Namespace) -> None:
    """Raises InputError for an invalid seed, and for config pairs that were read as values of an option before them."""
    check_value("--seed", args.seed, SEED)
    for name in SEVERAL:
        for word in getattr(args, name, None) or ():
            if word in config:
                raise InputError(
                    f"{word} stands among the words of {flag(name)}, which takes all words up to the next option; put "
                    f"{flag(name)} before another option, and the config pairs last."
                )


def check_training(config: Mapping[str, Any], args: Namespace) -> None:
    """Raises InputError for a training run without an epoch."""
    epochs = config["OPTIM.MAX_EPOCH"]
    if epochs < 1 and not (args.eval_only or args.no_train):
        raise InputError(
            f"OPTIM.MAX_EPOCH is {epochs}, but training needs at least 1; --no-train builds a run without training, "
            "--eval-only tests one."
        )


def check_trained(found: Mapping[str, object], config: Mapping[str, object], args: Namespace) -> None:
    """Raises InputError if a KEY VALUE pair sets another architecture than the checkpoint's.

    found: {key: value} of the checkpoint in --model-dir. config: the run's config with the pairs merged.
    """
    for key in args.opts[::2]:
        if key in found and config[key] != found[key]:
            raise InputError(
                f"{key} is {config[key]!r} on the command line, but the model in {args.model_dir} was trained with "
                f"{found[key]!r}; leave it out."
            )
