"""Warns of prompts from a checkpoint that does not name the backbone on which they were learned (published ones).

Where the shapes fit, prompts of another backbone load and give poor accuracies without an error. So the zero-shot
accuracy of this run's backbone on the first test images is logged before the test, for comparison.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.utils.data import default_collate

from dassl.utils.torch_file import entry
from datasets.templates import custom_template

from .precision import autocast

if TYPE_CHECKING:
    from .method import Method

logger = logging.getLogger(__name__)


def says_its_backbone(checkpoint: Mapping) -> bool:
    """Whether a checkpoint has the fingerprint of the backbone that it was trained on, so that others are refused."""
    return "backbone" in entry(checkpoint, "run")


@torch.no_grad()
def tell_zero_shot(trainer: Method, file: Path) -> None:
    """Logs the zero-shot accuracy of the run's backbone on the first test batch, and adds it to the run's record as
    `backbone_not_stated`: {"file", "images", "classes", "zero_shot_accuracy" in %}. file: the checkpoint."""
    loader = trainer.test_loader
    count = min(loader.batch_size or 1, len(loader.dataset))
    batch = default_collate([{key: loader.dataset[i][key] for key in ("img", "label")} for i in range(count)])
    template = custom_template(trainer.cfg.DATASET.NAME)
    with trainer.test_draws(), autocast(trainer.precision, trainer.device, training=False):
        text = trainer.frozen_text([template.format(name) for name in trainer.described])
        cosines = trainer.frozen_image(batch["img"].to(trainer.device)) @ text.t()
    right = int((cosines.argmax(1).cpu() == batch["label"]).sum())
    classes = len(set(batch["label"].tolist()))
    accuracy = 100.0 * right / count
    backbone = trainer.cfg.MODEL.BACKBONE
    logger.info(
        "%s does not say on which backbone its prompts were learned; it is assumed to be %s (MODEL.BACKBONE)\n"
        '* zero-shot accuracy of that backbone on the first test batch: %.1f%% ("%s", %d images, %d of %d classes)',
        file, backbone.get("PATH", "") or backbone.NAME, accuracy, template, count, classes, len(trainer.described),
    )  # fmt: skip
    trainer.record["backbone_not_stated"] = {
        "file": str(file),
        "images": count,
        "classes": classes,
        "zero_shot_accuracy": accuracy,
    }
