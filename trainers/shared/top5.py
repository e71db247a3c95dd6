"""An evaluator that also reports top-5 accuracy (`TEST.EVALUATOR Top5`)."""

from __future__ import annotations

import logging
from collections import OrderedDict

from torch import Tensor

from dassl.evaluation import EVALUATOR_REGISTRY, Classification

logger = logging.getLogger(__name__)


@EVALUATOR_REGISTRY.register()
class Top5(Classification):
    """`Classification` with `top5_accuracy`, in percent, added; with fewer than five classes it is 100."""

    def reset(self) -> None:
        super().reset()
        self._in_top5 = 0

    def process(self, mo: Tensor, gt: Tensor) -> None:
        """Take in a batch: `mo` [B, C] model output, `gt` [B] labels."""
        super().process(mo, gt)
        top = mo.topk(min(5, mo.shape[1]), dim=1).indices
        self._in_top5 += int((top == gt.to(top.device)[:, None]).any(1).sum())

    def evaluate(self) -> OrderedDict:
        results = super().evaluate()
        results["top5_accuracy"] = 100.0 * self._in_top5 / self._total
        logger.info("* top5_accuracy: %.1f%%", results["top5_accuracy"])
        self.results = {**getattr(self, "results", {}), "top5_accuracy": results["top5_accuracy"]}
        return results
