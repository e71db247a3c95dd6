"""`python -m datasets attack`: attacks frozen CLIP on a dataset's test images, once for all methods."""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout

import torch
from tabulate import tabulate
from yacs.config import CfgNode

from attacks.settings import NAMES, PRESETS, add_attack_defaults
from attacks.surrogate import CLIP_MEAN, CLIP_STD
from clipkit.backbone_spec import spec_of
from clipkit.fingerprint import other_spec
from dassl.utils import InputError
from dassl.utils.screen import Screen

from ..attacked.make import attacked_backbone, make_set
from ..attacked.store import AdversarialSet
from ..embedded_sets import EmbeddedSet
from ..reading.catalog import Entry, find, make_cfg
from .console import say

# flag, config key, type, help
OPTIONS = (
    ("--attack", "NAME", str, f"{', '.join(NAMES)}; several with commas: the worst case per image (default: pgd)"),
    ("--preset", "PRESET", str, f"{' | '.join(PRESETS)}: the attack of published tables"),
    ("--eps", "EPS", float, "radius in 1/255 (default: 4)"),
    ("--alpha", "ALPHA", float, "step in 1/255 (default: eps/4)"),
    ("--steps", "STEPS", int, "default: 100"),
    ("--restarts", "RESTARTS", int, "default: 1"),
    ("--kappa", "KAPPA", float, "of cw: the margin that is wanted (default: 0)"),
    ("--keep", "KEEP", str, "best_loss | last iterate (default: best_loss)"),
    ("--targets", "TARGETS", int, "classes that a targeted attack aims at (default: 9)"),
    ("--queries", "SQUARE.QUERIES", int, "queries of the square attack (default: 5000)"),
    ("--package", "PACKAGE", str, "of AutoAttack's parts: torchattacks | autoattack (default: torchattacks)"),
    ("--prompt", "PROMPT", str, 'default: "a photo of a {}."'),
    ("--quant", "QUANT", str, "round_project | trunc (default: round_project)"),
    ("--subset", "SUBSET", int, "number of images, drawn class by class (default: all)"),
    ("--seed", "SEED", int, "default: 0"),
    ("--batch", "BATCH", int, "default: 64"),
    ("--store", "STORE", str, "raw | png (default: raw)"),
    ("--dir", "DIR", str, "folder of adversarial sets (default: <root>/adv)"),
)


def add_command(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "attack", help="make an adversarial test set", description=__doc__, formatter_class=Screen
    )
    parser.add_argument("name", metavar="DATASET", help="YAML stem (oxford_pets) or registered name (OxfordPets)")
    parser.add_argument("--root", default="data", help="folder that holds the datasets (default: data)")
    parser.add_argument("--backbone", default="", help="default: ViT-B/16; Embedded for the embedded datasets")
    parser.add_argument("--backbone-path", default="", metavar="FILE", help="a local CLIP file")
    parser.add_argument("--backbone-spec", default="", metavar="SPEC", help="structure: openai, or open_clip's JSON")
    parser.add_argument("--visual-weights", default="", metavar="FILE", help="file of another image tower")
    parser.add_argument("--visual-weights-key", default="", metavar="KEY", help="key of the tower in that file")
    parser.add_argument("--split", choices=("test", "val"), default="test", help="default: test")
    parser.add_argument("--subsample", choices=("all", "base", "new"), default="all", help="classes (default: all)")
    parser.add_argument("--shots", type=int, default=-1, help="shots of the run, on which val depends (default: all)")
    parser.add_argument("--images", default="", metavar="FILE", help="list of images to attack, one name per line")
    parser.add_argument("--no-random-start", action="store_true", help="pgd starts from the picture itself")
    parser.add_argument("--only-correct", action="store_true", help="leave misclassified images as they are")
    parser.add_argument("--cpu", action="store_true", help="do not use a GPU")
    for flag, key, kind, text in OPTIONS:
        parser.add_argument(flag, dest=key, type=kind, default=None, help=text)
    return parser


def run(args: argparse.Namespace) -> int:
    """Makes the set, unless it exists, and prints its folder, accuracies and key. Returns the exit code."""
    entry = find(args.name)
    cfg = attack_cfg(entry, args)
    device = torch.device("cuda" if torch.cuda.is_available() and cfg.USE_CUDA else "cpu")
    with redirect_stdout(sys.stderr):  # the log
        clip_model = attacked_backbone(cfg, device)
        size = clip_model.visual.input_resolution
        cfg.INPUT.SIZE = (size, size)
        if other_spec(clip_model):  # not OpenAI's: pixels as it was trained on
            for key, value in spec_of(clip_model).preprocess.as_config().items():
                cfg.INPUT[key.removeprefix("INPUT.")] = value
        dataset = entry.loader(cfg)
        folder = make_set(cfg, dataset, args.split, clip_model, images=args.images)
    found = AdversarialSet(folder)
    totals = found.totals
    accuracies = [totals[key] for key in ("clean_accuracy", "float_accuracy", "accuracy")]
    row = [found.facts["attack"], found.facts["eps"], len(found), *accuracies, totals["zero_gradients"]]
    head = ["attack", "eps", "images", "clean", "attacked, float", "attacked, 8 bit", "without gradient"]
    say(tabulate([row], head, floatfmt=".1f", disable_numparse=[1]))
    say(f"{found.made['seconds']:g} s; key {found.key}")
    say(f"TEST.ADV_SET {folder}")
    return 0


def attack_cfg(entry: Entry, args: argparse.Namespace) -> CfgNode:
    """The config of the set that the arguments describe."""
    if args.visual_weights_key and not args.visual_weights:
        raise InputError("--visual-weights-key says where in a file the tower is; give --visual-weights FILE too.")
    cfg = make_cfg(entry, args.root, args.shots, half=args.subsample)
    cfg.defrost()
    add_attack_defaults(cfg)
    embedded = issubclass(entry.loader, EmbeddedSet)
    cfg.MODEL.BACKBONE.NAME = args.backbone or ("" if args.backbone_path else "Embedded" if embedded else "ViT-B/16")
    cfg.MODEL.BACKBONE.PATH, cfg.MODEL.BACKBONE.SPEC = args.backbone_path, args.backbone_spec
    cfg.MODEL.BACKBONE.VISUAL_WEIGHTS = args.visual_weights
    cfg.MODEL.BACKBONE.VISUAL_WEIGHTS_KEY = args.visual_weights_key
    cfg.USE_CUDA = not args.cpu
    cfg.INPUT.INTERPOLATION, cfg.INPUT.TRANSFORMS = "bicubic", ("normalize",)
    cfg.INPUT.PIXEL_MEAN, cfg.INPUT.PIXEL_STD = list(CLIP_MEAN), list(CLIP_STD)
    attack = cfg.ATTACK
    attack.RANDOM_START, attack.ONLY_CORRECT = not args.no_random_start, args.only_correct
    for _, key, _, _ in OPTIONS:
        value = getattr(args, key)
        if value is not None:
            *path, leaf = key.split(".")
            node = attack
            for part in path:
                node = node[part]
            node[leaf] = value
    return cfg
