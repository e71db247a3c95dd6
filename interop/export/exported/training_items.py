"""Fewer training items on upstream's Dassl, whose data sets and data managers cannot change their lists."""

from __future__ import annotations

from collections.abc import Sequence

from dassl.data.data_manager import build_data_loader
from dassl.protocols import Trainer


class OtherTrainingItems:
    """A data set with other training items in the place of its own."""

    def __init__(self, dataset: object, train_x: list) -> None:
        self.dataset, self.train_x = dataset, train_x

    def __getattr__(self, name: str) -> object:
        return getattr(self.dataset, name)


def keep_training_items(trainer: Trainer, indices: Sequence[int]) -> None:
    """Train on the items of these indices alone, in this order: another list stands before the data set's."""
    items = [trainer.dm.dataset.train_x[i] for i in indices]
    trainer.dm.dataset = OtherTrainingItems(trainer.dm.dataset, items)
    part = trainer.cfg.DATALOADER.TRAIN_X
    trainer.train_loader_x = build_data_loader(
        trainer.cfg,
        sampler_type=part.SAMPLER,
        data_source=items,
        batch_size=part.BATCH_SIZE,
        n_domain=part.N_DOMAIN,
        n_ins=part.N_INS,
        tfm=trainer.train_loader_x.dataset.transform,
        is_train=True,
    )
