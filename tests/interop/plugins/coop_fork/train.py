"""The train.py of a checkout. Only its extend_cfg is for others; everything else would fail here."""

import argparse

import datasets.field_pets  # noqa: F401
import no_such_module_of_this_checkout  # noqa: F401
from yacs.config import CfgNode as CN

DEPTHS = [3, 6]


def method_node(n_ctx=4):
    node = CN()
    node.N_CTX = n_ctx  # number of context vectors
    node.PREC = "fp16"  # fp16, fp32, amp
    return node


def extend_cfg(cfg):
    """Add new config variables."""
    cfg.TRAINER.FIELDCOOP = method_node()
    cfg.TRAINER.FIELDCOOP.DEPTHS = DEPTHS

    # ours has other keys and another default here
    cfg.TRAINER.COOP = CN()
    cfg.TRAINER.COOP.N_CTX = 5
    cfg.TRAINER.COOP.CTX_INIT = ""

    cfg.TRAINER.MODAL = "base2novel"
    cfg.DATASET.SUBSAMPLE_CLASSES = "all"  # all, base or new


def main(args):
    raise SystemExit("the script of the checkout was run")


if __name__ == "extend_cfg" or __name__ == "__main__":
    main(argparse.ArgumentParser().parse_args())
