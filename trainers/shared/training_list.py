"""The training items as one list with logits under the current prompts, for methods that detect wrong labels."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dassl.data.data_manager import build_data_loader
from dassl.data.transforms import build_transform
from dassl.utils.finite import check_outputs

if TYPE_CHECKING:
    from .feature_loader import FeatureLoader
    from .method import Method


class TrainingList:
    """The N training items in the order of their index (`batch["index"]`), under the test transform.

    label: [N] observed labels. gt: [N] true labels, -1 where unknown; for logs, never for training.
    """

    def __init__(self, trainer: Method) -> None:
        self.trainer = trainer
        items = trainer.dm.dataset.train_x
        self.label = torch.tensor([item.label for item in items], device=trainer.device)
        self.gt = torch.tensor([getattr(item, "gttarget", item.label) for item in items], device=trainer.device)

    def __len__(self) -> int:
        return len(self.label)

    @cached_property
    def loader(self) -> DataLoader:
        """Images in order; nothing is shuffled, nothing dropped."""
        cfg = self.trainer.cfg
        return build_data_loader(
            cfg,
            data_source=self.trainer.dm.dataset.train_x,
            batch_size=cfg.DATALOADER.TEST.BATCH_SIZE,
            tfm=build_transform(cfg, is_train=False),
            is_train=False,
        )

    @cached_property
    def batches(self) -> DataLoader | FeatureLoader:
        """The loader; where the image tower is frozen, one over features, which are computed once for all methods."""
        return self.trainer.tester.batches(self.loader)

    @torch.no_grad()
    def logits(self) -> Tensor:
        """[N, C] test logits of the current prompts; afterwards the trainer is in its former mode."""
        trainer = self.trainer
        mode = "train" if trainer.model.training else "eval"
        trainer.set_model_mode("eval")
        try:
            found = [trainer.model_inference(trainer.parse_batch_test(batch)[0]) for batch in self.batches]
        finally:
            trainer.set_model_mode(mode)
        logits = torch.cat(found).float()
        check_outputs(logits.max(dim=1).values, "The output for the training list")
        return logits
