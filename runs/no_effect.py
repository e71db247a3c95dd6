"""Warns of options and config keys of the command line that a run does not read, and refuses some of them."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping

from yacs.config import CfgNode

from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY
from dassl.modeling import HEAD_REGISTRY
from dassl.utils import InputError
from interop.plugins.hosting import files_of, is_hosted, plugins_of

from .settings import foreign_keys, mode_of, value_at

# {option or key: {mode: why it has no effect in it}}; the modes are those of `settings.mode_of`.
NOTHING_TRAINED = "nothing is trained"
UNREAD: Mapping[str, Mapping[str, str]] = {
    "--load-epoch": {
        "train": "it belongs to --eval-only; a training starts from the beginning or resumes from its last checkpoint",
        "build": "nothing is loaded",
    },
    "--model-dir": {"build": "nothing is loaded"},
    "--no-train": {"test": "--eval-only tests, and trains nothing in any case"},
    "--resume": {"test": "nothing is trained; the model to test is --model-dir", "build": NOTHING_TRAINED},
    "RESUME": {"test": "nothing is trained; the model to test is --model-dir", "build": NOTHING_TRAINED},
    "--transforms": {"test": "they are those of training; in a test they only decide whether images are normalised"},
    "TEST.FINAL_MODEL": {
        "test": "it selects the model tested after training; here that is --load-epoch, or without it the best epoch",
        "build": "nothing is tested",
    },
    "TEST.NO_TEST": {"test": "--eval-only tests in any case", "build": "nothing is tested"},
}
# Keys of upstream's classifiers, semi-supervised methods and datasets, which nothing in this project reads.
UPSTREAMS = (
    "MODEL.HEAD.", "MODEL.BACKBONE.PRETRAINED", "DATALOADER.TRAIN_U.", "TRAIN.COUNT_ITER", "INPUT.CIFAR_C_",
    "INPUT.ALL_AS_UNLABELED", "DATASET.NUM_LABELED", "DATASET.VAL_PERCENT", "DATASET.STL10_FOLD", "DATASET.CIFAR_C_",
    "DATASET.ALL_AS_UNLABELED",
)  # fmt: skip
# Methods in which CTX_INIT, if given, determines the number of context tokens.
COUNT_WORDS = ("CoOp", "CoCoOp", "KgCoOp", "TCP", "DPSEP", "NLPrompt", "PTNL", "JoAPR", "VisPrompt")


def check_meant(config: Mapping[str, object], args: Namespace, hosted: bool) -> None:
    """Raises InputError for a --model-dir that a training would ignore, for a head that does not exist, and for
    TEST.OPEN_WORLD in a run that is no test of all classes of a base-to-new task.

    hosted: whether the method is a plugin's.
    """
    if args.model_dir and mode_of(args) == "train":
        raise InputError(
            f"--model-dir is {args.model_dir}, but without --eval-only a new model is trained and that folder is not "
            "used: add --eval-only to test it, give --resume to continue an interrupted run, or "
            "MODEL.INIT_WEIGHTS FILE to start from weights."
        )
    rule = config["TEST.OPEN_WORLD"]
    if rule and not (args.eval_only and config["DATASET.SUBSAMPLE_CLASSES"] == "all" and config["TASK"] == "B2N"):
        raise InputError(
            f"TEST.OPEN_WORLD is {rule}, so this is a test over base and new classes: give --eval-only, the "
            "--model-dir of a run on the base classes, TASK B2N and DATASET.SUBSAMPLE_CLASSES all."
        )
    if config.get("TEST.TEXT_NOISE.KIND") and not args.eval_only:
        raise InputError("TEST.TEXT_NOISE is noise of a test: give --eval-only and the --model-dir of a trained model.")
    head = config["MODEL.HEAD.NAME"]
    if head and not hosted and head not in HEAD_REGISTRY.registered_names():
        known = ", ".join(HEAD_REGISTRY.registered_names())
        raise InputError(f"MODEL.HEAD.NAME (--head) is {head!r}, but must be one of {known}, or empty for none.")


def without_effect(cfg: CfgNode, args: Namespace) -> Iterator[str]:
    """A sentence for each option or KEY VALUE pair of the command line that this run does not read."""
    given = _options(args) | dict.fromkeys(args.opts[::2])
    mode, method = mode_of(args), cfg.TRAINER.NAME
    for name in given:
        if why := UNREAD.get(name, {}).get(mode):
            yield f"{name} has no effect: {why}"
    if mode == "test" and args.model_dir and "MODEL.INIT_WEIGHTS" in given:
        yield "MODEL.INIT_WEIGHTS has no effect: the weights of --model-dir replace them"
    if mode == "test" and args.load_epoch is not None and not args.model_dir:
        yield "--load-epoch has no effect: there is no --model-dir to load from"
    foreign = foreign_keys(cfg, files_of(cfg, args)) | _other_datasets(cfg)
    for key in args.opts[::2]:
        if key in foreign:
            yield f"{key} has no effect: {method} on {cfg.DATASET.NAME} does not read it"
        elif key.startswith(UPSTREAMS) and not plugins_of(cfg):
            yield f"{key} has no effect: no method or dataset that comes with this tree reads it"
    yield from _counted_words(cfg, args)


def _options(args: Namespace) -> dict[str, None]:
    names = ("load_epoch", "model_dir", "no_train", "resume", "transforms", "head")
    shown = {name: f"--{name.replace('_', '-')}" for name in names}
    return {shown[name]: None for name in names if getattr(args, name, None) not in (None, "", False)}


def _other_datasets(cfg: CfgNode) -> set[str]:
    """The keys that other datasets declare and this one does not."""
    kinds = {name: DATASET_REGISTRY.get(name) for name in DATASET_REGISTRY.registered_names()}
    own = getattr(kinds.get(cfg.DATASET.NAME), "config_defaults", {})
    return {key for kind in kinds.values() for key in getattr(kind, "config_defaults", {})} - set(own)


def _counted_words(cfg: CfgNode, args: Namespace) -> Iterator[str]:
    method = cfg.TRAINER.NAME
    if method not in COUNT_WORDS or is_hosted(cfg):
        return
    key = f"{TRAINER_REGISTRY.get(method).node}.N_CTX"
    node = value_at(cfg, key.removesuffix(".N_CTX"))
    words = str(node.CTX_INIT).replace("_", " ").split()
    if key in args.opts[::2] and words and len(words) != node.N_CTX:
        yield f"{key} has no effect: CTX_INIT has {len(words)} words, and each is a token of the context"
