"""A method's decision about which training labels are right, item by item, and the file that it is saved in."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from dassl.utils import atomic_path, mkdir_if_missing

if TYPE_CHECKING:
    from ..shared.method import Method

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decision:
    """Which of its N training items a method takes for clean, in the order of their index.

    clean: [N] bool. score: [N], the higher the more likely is the observed label right.
    """

    clean: Tensor
    score: Tensor


def record_decision(trainer: Method, decision: Decision) -> None:
    """Writes `<output folder>/decisions.json`, {"epoch": from 1, "clean": [0 or 1, ...], "score": [...]}; the last
    epoch's stays. One log line and one curve say how many items count as clean."""
    clean = decision.clean.int().tolist()
    found = {"epoch": trainer.epoch + 1, "clean": clean, "score": decision.score.tolist()}
    mkdir_if_missing(trainer.output_dir or ".")
    with atomic_path(os.path.join(trainer.output_dir, "decisions.json")) as temporary:
        Path(temporary).write_text(json.dumps(found), encoding="utf-8")
    trainer.write_scalar("train/clean_items", sum(clean), trainer.epoch)
    logger.info("Clean items in epoch %d: %d of %d", trainer.epoch + 1, sum(clean), len(clean))
