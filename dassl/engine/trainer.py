"""All trainer classes under upstream's module path, and the other names that upstream's module exports.

They are written in base.py, simple.py and loops.py. Trainers that write their own loop import meters, checkpoints and
TensorBoard's writer from here; the writer is imported on first use, since that takes a second.
"""

import datetime
import os.path as osp
import time
from collections import OrderedDict

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from dassl.data import DataManager
from dassl.evaluation import build_evaluator
from dassl.modeling import build_backbone, build_head
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.utils import (
    AverageMeter,
    MetricMeter,
    count_num_param,
    load_checkpoint,
    load_pretrained_weights,
    mkdir_if_missing,
    resume_from_checkpoint,
    save_checkpoint,
    tolist_if_not,
)
from dassl.utils.lazy import lazy

from .base import TrainerBase
from .loops import TrainerX, TrainerXU
from .simple import SimpleNet, SimpleTrainer

__all__ = [
    "AverageMeter",
    "DataManager",
    "MetricMeter",
    "OrderedDict",
    "SimpleNet",
    "SimpleTrainer",
    "SummaryWriter",  # noqa: F822  on first use
    "TrainerBase",
    "TrainerX",
    "TrainerXU",
    "build_backbone",
    "build_evaluator",
    "build_head",
    "build_lr_scheduler",
    "build_optimizer",
    "count_num_param",
    "datetime",
    "load_checkpoint",
    "load_pretrained_weights",
    "mkdir_if_missing",
    "nn",
    "np",
    "osp",
    "resume_from_checkpoint",
    "save_checkpoint",
    "time",
    "tolist_if_not",
    "torch",
    "tqdm",
]
__getattr__ = lazy(__name__, {"SummaryWriter": "torch.utils.tensorboard"})
