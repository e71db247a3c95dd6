"""One run: training and testing one method on one dataset with one seed. The flags are CoOp's.

python train.py --root data --seed 1 --trainer CoOp --dataset-config-file configs/datasets/digits.yaml \\
    --config-file configs/trainers/CoOp/embedded.yaml --output-dir output/try DATASET.NUM_SHOTS 16
"""

from __future__ import annotations

import sys

from dassl.utils.console import tolerant_console
from runs.defaults import extend_cfg
from runs.one_run import main, run
from runs.options import build_parser
from runs.setup import reset_cfg, setup_cfg

__all__ = ["build_parser", "extend_cfg", "main", "reset_cfg", "run", "setup_cfg"]

if __name__ == "__main__":
    tolerant_console()
    sys.exit(run())
