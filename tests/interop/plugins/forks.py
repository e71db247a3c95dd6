"""Checkouts with the shapes that public ones have, written for a test: their names, settings and places of files."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

from plugin_files import COOP

OF_FIELD = """
from dassl.engine import TRAINER_REGISTRY
from trainers.field_coop import FieldCoOp


@TRAINER_REGISTRY.register()
class {name}(FieldCoOp):
    def check_cfg(self, cfg):
        super().check_cfg(cfg)
        {body}
"""

# In the order of the field's: extend, dataset file, method file, reset, pairs; then what the authors added.
TRAIN_PY = """
import argparse
import torch
from dassl.config import get_cfg_default
from dassl.engine import build_trainer
from yacs.config import CfgNode as CN

EPOCHS = {"SUN397": 25}
EPOCHS["Tiny"] = 3
LAYERS = ["linear_probe"]
LAYERS.append("film")


def extend_cfg(cfg, args=None):
    cfg.TRAINER.FIELDCOOP = CN()
    cfg.TRAINER.FIELDCOOP.N_CTX = 4
    cfg.TRAINER.FIELDCOOP.PREC = "fp16"
    cfg.TRAINER.FIELDCOOP.DEPTHS = []
    cfg.TRAINER.FIELDCOOP.REP_DIM = 512
    cfg.OPTIM.STAGED_LR = True
    cfg.OPTIM.NEW_LAYERS = LAYERS
    cfg.OPTIM.BASE_LR_MULT = 1.0
    cfg.DATASET.NUM_SHOTS = 16
    cfg.TRAIN.CHECKPOINT_FREQ = 5
    cfg.TASK = "FS"
    cfg.TEST.Analyze_Result_Path = ""


def reset_cfg(cfg, args):
    if args.root:
        cfg.DATASET.ROOT = args.root
    if args.trainer:
        cfg.TRAINER.NAME = args.trainer
    if args.seed:
        cfg.SEED = args.seed
    cfg.AT = CN()
    cfg.AT.EPS = args.eps


def setup_cfg(args):
    cfg = get_cfg_default()
    extend_cfg(cfg, args)
    if args.dataset_config_file:
        cfg.merge_from_file(args.dataset_config_file)
    if args.config_file:
        cfg.merge_from_file(args.config_file)
    reset_cfg(cfg, args)
    cfg.merge_from_list(args.opts)
    if args.trainer == "CoOp" and cfg.DATASET.NAME in ("EuroSAT", "Tiny"):
        cfg.TRAINER.FIELDCOOP.REP_DIM = 2048
    cfg.freeze()
    return cfg


def main(args):
    cfg = setup_cfg(args)
    if cfg.SEED >= 0:
        torch.manual_seed(cfg.SEED)
    cfg.defrost()
    if cfg.DATASET.NAME in EPOCHS:
        cfg.OPTIM.MAX_EPOCH = EPOCHS[cfg.DATASET.NAME]
    cfg.INPUT.CROP_PADDING = int(torch.tensor(9))
    build_trainer(cfg).train()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=str, default="")
    parser.add_argument("--eps", type=float, default=4.0)
    parser.add_argument("--needed", required=True)
    parser.add_argument("opts", default=None, nargs=argparse.REMAINDER)
    main(parser.parse_args())
"""

PETS = """
from dassl.data.datasets import DATASET_REGISTRY
from .field_pets import FieldPets


@DATASET_REGISTRY.register()
class OxfordPets(FieldPets):
    def __init__(self, cfg):
        assert cfg.DATASET.NAME == "OxfordPets", cfg.DATASET.NAME
        super().__init__(cfg)
"""


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(text))
    return file


def make_fork(folder: Path, train_py: str | None = None, **trainers: str) -> Path:
    """A copy of the checkout in CoOp's manner. trainers: {class: a statement in its check_cfg}, each in a file of the
    class's name in small letters. train_py: in place of its train.py."""
    shutil.copytree(COOP, folder, ignore=shutil.ignore_patterns("__pycache__"))
    if train_py is not None:
        write(folder / "train.py", train_py)
    for name, body in trainers.items():
        write(folder / "trainers" / f"{name.lower()}.py", OF_FIELD.format(name=name, body=body or "pass"))
    return folder
