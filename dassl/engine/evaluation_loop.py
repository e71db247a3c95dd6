"""The test loop: each batch goes through `model_inference` to the evaluator. For any trainer with loaders."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from yacs.config import CfgNode

from dassl.protocols import Evaluator, SizedIterable
from dassl.utils.progress import progress
from dassl.utils.randomness import base_seed, seeded, stream_seed

from .asked_split import check_split

logger = logging.getLogger(__name__)


class EvaluationLoop:
    """Tests a trainer on a split."""

    # Attributes of the trainer that derives from this class, which may be upstream's too:
    cfg: CfgNode
    epoch: int
    evaluator: Evaluator
    val_loader: DataLoader | None
    test_loader: DataLoader
    set_model_mode: Callable[..., None]
    write_scalar: Callable[..., None]
    parse_batch_test: Callable[..., Any]
    model_inference: Callable[..., Tensor]

    @torch.no_grad()
    def test(self, split: str | None = None) -> float:
        """Evaluate on `split` ("val" or "test"; default TEST.SPLIT); returns the first result, the accuracy.

        Raises InputError for "val" where there are no validation images, and for outputs that are infinite or NaN.
        """
        self.set_model_mode("eval")
        self.evaluator.reset()
        split = split or self.cfg.TEST.SPLIT
        check_split(self, split)  # type: ignore[arg-type]  # the trainer that this is a base of
        split = "val" if split == "val" and self.val_loader is not None else "test"
        logger.info("Evaluate on the *%s* set", split)
        batches = self.test_batches(split)
        if self.cfg.DATALOADER.get("UPSTREAM_RNG", False):
            self._evaluate(batches, split)
        else:
            with self.test_draws(split):
                self._evaluate(batches, split)
        results = self.evaluator.evaluate()
        for name, value in results.items():
            self.write_scalar(f"{split}/{name}", value, self.epoch)
        return next(iter(results.values()))

    def test_batches(self, split: str) -> SizedIterable[dict]:
        """The batches of a test on the split: its loader. A method may override this to give them in another form."""
        return self.val_loader if split == "val" and self.val_loader is not None else self.test_loader

    def test_draws(self, split: str = "test") -> AbstractContextManager[None]:
        """A context in which random draws depend on the seed and the split only. It leaves those of training alone."""
        return seeded(stream_seed(base_seed(self.cfg), "test", split), cuda=True)

    def _evaluate(self, batches: SizedIterable[dict], split: str) -> None:
        for batch in progress(batches, desc=f"evaluate {split}"):
            input, label = self.parse_batch_test(batch)
            self.evaluator.process(self.model_inference(input), label)
