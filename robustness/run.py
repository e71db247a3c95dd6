"""One evaluation: builds and loads a trained method, attacks it, runs the sanity checks, writes the results."""

from __future__ import annotations

import logging
import time
from argparse import Namespace
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from yacs.config import CfgNode

from attacks import AttackSettings, PixelModel
from dassl.config.shown import data_name, of_run
from dassl.engine import build_trainer
from dassl.outputs.kept import image_outputs
from dassl.utils import InputError, attach_logger, set_random_seed, setup_logger
from dassl.utils.flops import operations
from datasets.attacked.make import image_seeds
from datasets.attacked.manifest import stratified
from datasets.attacked.pictures import base_pictures, picture_transform
from interop.plugins.hosting import hosted, is_hosted, watch
from interop.plugins.loading import load_plugins, require
from runs.folder import RunFolder
from runs.kernels import chosen_kernels
from runs.one_run import LOGGERS
from runs.record import backbone, hardware
from runs.robust_protocol import MODES, check_mode
from runs.same_data import data_record, finished_already
from runs.setup import setup_cfg
from runs.tested_model import check_loaded, check_model_given
from trainers.shared.coinciding import class_feature_facts

from . import checks, controls
from .adaptive import Eot, check_names
from .attackers import Stored, attacker_of
from .checks import Check
from .deployed import Deployed
from .evaluate import Answers, Images, run_attack
from .report import Evaluation, write

if TYPE_CHECKING:
    from dassl.protocols import Trainer

logger = logging.getLogger(__name__)

NEED_ATTACKS = ("S3", "S4", "S7", "S8", "S10", "S12")


@dataclass(frozen=True)
class Options:
    """Options beside train.py's. checks: basic or all; the further attacks of `all` use `check_images` images."""

    checks: str = "basic"
    check_images: int = 64

    def __post_init__(self) -> None:
        if self.checks not in ("basic", "all") or self.check_images < 1:
            raise InputError("--checks must be basic or all, and --check-images at least 1.")


def setup(args: Namespace) -> tuple[CfgNode, str]:
    """The config and the mode (T, W or A) of the evaluation that train.py's arguments describe.

    `TEST.ADV_SET` is the set of the same attack on frozen CLIP. Every mode needs it: the worst case includes it.
    """
    pairs = dict(zip(args.opts[::2], args.opts[1::2], strict=False))
    mode = pairs.pop("ATTACK.MODE", "T")
    if pairs.get("TEST.ADV_SET", "make") != "make":
        raise InputError(
            "An evaluation under attack makes its own TEST.ADV_SET; leave it out, and set ATTACK.* instead."
        )
    if mode == "A" and pairs.get("ATTACK.NAME") == "eot-pgd":
        pairs["ATTACK.NAME"] = "pgd"  # in mode A every attack averages over random draws
    tail = args.opts[-1:] if len(args.opts) % 2 else []
    opts = [x for pair in pairs.items() for x in pair] + ["TEST.ADV_SET", "make", *tail]
    cfg = setup_cfg(Namespace(**{**vars(args), "opts": opts, "eval_only": True}))
    check_mode(cfg.TRAINER.NAME, mode)
    names = [name.strip() for name in cfg.ATTACK.NAME.split(",")]
    if mode == "A":
        check_names(names)
    if cfg.ATTACK.QUANT == "none" or "cw-l2" in names:
        raise InputError("Attacks on a method are bounded by eps and judged at 8 bits: not cw-l2, and not QUANT none.")
    return cfg, mode


def named(cfg: CfgNode, mode: str) -> CfgNode:
    """A copy of the config with ATTACK.MODE, to be written beside the results."""
    found = cfg.clone()
    found.defrost()
    found.ATTACK.MODE = mode
    found.freeze()
    return found


def main(args: Namespace, options: Options) -> None:
    """Run the evaluation and write its results. A finished evaluation with the same config is not run again."""
    if args.show_config:
        raise InputError("--show-config is an option of train.py: give it these options and TEST.ADV_SET make.")
    broken = load_plugins(args.plugin, args.trainer)
    args.eval_only = True
    cfg, mode = setup(args)
    require(broken, cfg.TRAINER.NAME, cfg.DATASET.NAME)
    folder = RunFolder(named(cfg, mode), args)
    folder.settings |= {"evaluation": MODES[mode], "checks": options.checks, "check_images": options.check_images}
    with folder, chosen_kernels(args.deterministic):
        if folder.finished:
            print(finished_already(folder, cfg, args))  # noqa: T201
            return
        if cfg.SEED >= 0:
            set_random_seed(cfg.SEED)
        folder.put_old_log_aside()
        setup_logger(cfg.OUTPUT_DIR)
        attach_logger(*LOGGERS, "robustness")
        folder.write_config()
        with hosted(cfg, model_dir=args.model_dir):
            trainer = build_trainer(cfg)
            watch(trainer)
            check_model_given(trainer, args)
            trainer.load_model(args.model_dir, epoch=args.load_epoch)
            check_loaded(trainer, args.model_dir, args.load_epoch)
            found = evaluate(trainer, mode, options)
        write(found, folder, args)


def evaluate(trainer: Trainer, mode: str, options: Options) -> Evaluation:
    """Attack and check a built and loaded trainer, whose config has `TEST.ADV_SET make`. mode: T, W or A."""
    cfg, data = of_run(trainer.cfg), trainer.dm.dataset
    split = "val" if cfg.TEST.SPLIT == "val" and data.val else "test"
    items = data.val if split == "val" else data.test
    settings = replace(AttackSettings.from_cfg(cfg, len(data.classnames)), only_correct=False)
    if mode != "T" and "feature" in settings.names:
        raise InputError(
            f"ATTACK.NAME feature attacks an image tower without any prompt; take ATTACK.MODE T, not {mode}."
        )
    deployed = Deployed(trainer, items, split)
    attacker = attacker_of(trainer, Eot.from_cfg(cfg), deployed.view_seeds)
    seeds = image_seeds(settings.seed, data_name(cfg), split, deployed.keys)  # as when the set was made
    images = Images(base_pictures(items, picture_transform(cfg)), deployed.label, seeds)
    rows = list(range(len(items)))
    if mode == "W" and is_hosted(cfg):
        check_open(trainer, images)

    if not is_hosted(cfg):
        trainer.files.tell_unstated()  # type: ignore[attr-defined]  # a method's
    ordinary = deployed.clean()
    started = time.time()
    logits = deployed(images.pictures(rows), rows)
    speed = len(rows) / (time.time() - started)
    clean, untuned = Answers.of(logits), deployed.untuned
    found = Evaluation(cfg, mode, settings, deployed.keys, images.label, Answers.of(ordinary), clean, items.adversarial)
    found.facts = {"backbone": backbone(trainer), "data": data_record(trainer), **hardware(trainer)}
    found.facts |= class_feature_facts(trainer) if hasattr(trainer, "class_features") else {}
    found.facts |= {k: x for k, x in getattr(trainer, "record", {}).items() if k == "backbone_not_stated"}
    found.classnames = list(data.classnames)
    if cfg.TEST.OUTPUTS != "none":
        found.columns = image_outputs(logits, images.label, cfg.TEST.OUTPUTS)
    found.undefended = None if untuned is None else Answers.of(untuned)
    found.images_per_second, found.gflop = speed, gflop(deployed, images)
    found.transfer = run_attack(Stored(items.adversarial), deployed, settings, images, clean, rows)
    started = time.time()
    if mode != "T":
        found.own = run_attack(attacker, deployed, settings, images, clean, rows)
        found.attack_seconds = time.time() - started
        found.eot = attacker.facts()
        logger.info("* %s: %.1f%% survive", attacker.mode, 100 * found.own.survived.double().mean())
    few = stratified(images.label.tolist(), min(options.check_images, len(rows)), settings.seed)
    c = controls.Controls(attacker, deployed, settings, images, clean, few, found.own or found.transfer)
    found.checks = run_checks(found, c, ordinary, logits, options)
    random, dynamic, odd = method_flags(c, logits)
    found.flags = checks.flags(random, dynamic, odd, found.checks)
    return found


def check_open(trainer: Trainer, images: Images) -> None:
    """Raises InputError unless the gradient of a plugin's logits reaches the picture."""
    name, classes = trainer.cfg.TRAINER.NAME, len(trainer.dm.dataset.classnames)
    with PixelModel(trainer) as answer:
        x = (images.pictures([0, 1]).to(trainer.device).float() / 255).requires_grad_()
        logits = answer(x)
    if logits.shape != (2, classes) or not logits.requires_grad:
        found = f"gives {tuple(logits.shape)}" if logits.requires_grad else "gives logits without a gradient"
        raise InputError(
            f"{name} cannot be attacked in MODE W: its model_inference {found}, not [images, {classes}] logits that "
            "depend on the picture; take MODE T, or correct the plugin."
        )


def run_checks(
    found: Evaluation, c: controls.Controls, ordinary: Tensor, logits: Tensor, options: Options
) -> list[Check]:
    """All twelve checks in order; one that this evaluation cannot run says why."""
    settings, mode = c.settings, MODES[found.mode]
    levels = {"transfer": found.transfer.max_levels} | ({mode: found.own.max_levels} if found.own else {})
    totals = found.adversarial.totals
    done = [
        checks.clean_path_agrees(ordinary, logits),
        checks.stays_in_ball(levels, settings.eps),
        checks.undefended_falls(totals["accuracy"], settings.eps, settings.steps),
    ]
    if settings.names == ("none",):
        return _in_order([*done, *controls.skipped(checks.NAMES, "eps is 0: nothing is attacked")])
    if found.own is None:
        why = "mode T attacks only with stored pictures; modes W and A run it"
        return _in_order([*done, *controls.skipped(checks.NAMES, why)])
    done.append(checks.not_weaker_than_transfer(found.own.survived, found.transfer.survived, mode))
    done += controls.cheap(c)
    if options.checks == "all":
        done += controls.thorough(c, mode, len(c.deployed.trainer.dm.dataset.classnames))
    return _in_order([*done, *controls.skipped(NEED_ATTACKS, controls.OFTEN)])


def _in_order(found: list[Check]) -> list[Check]:
    """The checks ordered S1 to S12; of several with one code, the first."""
    first: dict[str, Check] = {}
    for check in found:
        first.setdefault(check.code, check)
    return [first[code] for code in checks.NAMES]


def method_flags(c: controls.Controls, logits: torch.Tensor) -> tuple[bool, bool, bool]:
    """Whether the method is random, whether it optimises at test time, whether it returns probabilities."""
    few = list(c.rows)[:2]
    pictures = c.images.pictures(few)
    random = checks.answers_differ(*c.attacker.two_answers(pictures))
    dynamic = checks.takes_gradients(lambda: c.deployed(pictures, few))
    return random, dynamic, checks.looks_like_probabilities(logits)


def gflop(deployed: Deployed, images: Images) -> float:
    """Floating-point operations for one image in units of 1e9, counted by torch; text features, if computed, once."""
    return operations(lambda: deployed(images.pictures([0]), [0])) / 1e9
