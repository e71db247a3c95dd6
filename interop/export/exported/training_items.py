"""Restricts the training items on upstream Dassl, whose data sets and data managers cannot change their lists."""

from __future__ import annotations

from collections.abc import Sequence

from dassl.data.data_manager import build_data_loader
from dassl.protocols import Trainer


class OtherTrainingItems:
    """A data set with `train_x` replaced; every other attribute is read from `dataset`."""

    def __init__(self, dataset: object, train_x: list) -> None:
        self.dataset, self.train_x = dataset, train_x

    def __getattr__(self, name: str) -> object:
        return getattr(self.dataset, name)


def keep_training_items(trainer: Trainer, indices: Sequence[int]) -> None:
    """Train only on the items with these indices, in this order. Replaces the trainer's data set and train loader."""
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
