"""Loaders for all splits of a data set."""

from __future__ import annotations

from dassl.utils.counted import counted
import logging
from collections.abc import Callable, Sequence

import torch
from tabulate import tabulate
from torch.utils.data import DataLoader, Dataset
from yacs.config import CfgNode

from dassl.config.shown import of_run
from dassl.utils.errors import CheckError
from dassl.utils.randomness import base_seed
from dassl.utils.tools import read_image

from .datasets import Datum, build_dataset
from .samplers import build_sampler
from .seeded_loader import SeededLoader
from .transforms import INTERPOLATION_MODES, build_transform
from .workers import usable_workers
from .wrapper import DatasetWrapper, Transforms

__all__ = [
    "INTERPOLATION_MODES",
    "DataManager",
    "DatasetWrapper",
    "build_data_loader",
    "build_dataset",
    "build_sampler",
    "build_transform",
    "read_image",
]
logger = logging.getLogger(__name__)


def build_data_loader(
    cfg: CfgNode,
    sampler_type: str = "SequentialSampler",
    data_source: Sequence[Datum] | None = None,
    batch_size: int = 64,
    n_domain: int = 0,
    n_ins: int = 2,
    tfm: Transforms | None = None,
    is_train: bool = True,
    dataset_wrapper: Callable[..., Dataset] | None = None,
) -> DataLoader:
    """A loader over `dataset_wrapper(cfg, data_source, transform=tfm, is_train=is_train)`.

    In training an incomplete last batch is dropped, unless it is the only one. Batches depend on cfg.SEED and on what
    is loaded, not on the number of workers; with DATALOADER.UPSTREAM_RNG it is a plain torch loader instead.
    Raises CheckError (an AssertionError) if there is no batch.
    """
    if not data_source:
        what = "training" if is_train else "validation or test"
        raise CheckError(f"no images to load for {what}: the split is empty")
    sampler = build_sampler(sampler_type, cfg, data_source, batch_size, n_domain, n_ins)
    # a list of items may name its own torch data set (attacked images, for instance)
    wrapper = getattr(data_source, "dataset_wrapper", None) or dataset_wrapper or DatasetWrapper
    dataset = wrapper(cfg, data_source, transform=tfm, is_train=is_train)
    drop_last = is_train and len(data_source) >= batch_size
    pin_memory = torch.cuda.is_available() and cfg.USE_CUDA
    if cfg.DATALOADER.get("UPSTREAM_RNG", False):
        loader = DataLoader(
            dataset,
            batch_size,
            sampler=sampler,
            num_workers=cfg.DATALOADER.NUM_WORKERS,
            drop_last=drop_last,
            pin_memory=pin_memory,
        )
    else:
        workers = usable_workers(cfg.DATALOADER.NUM_WORKERS)
        loader = SeededLoader(
            dataset,
            sampler,
            seed=base_seed(cfg),
            stream="train_x" if is_train else "test",
            per_epoch=is_train,
            num_workers=workers,
            persistent_workers=workers > 0 and cfg.DATALOADER.get("PERSISTENT_WORKERS", True),
            batch_size=batch_size,
            drop_last=drop_last,
            pin_memory=pin_memory,
        )
    if len(loader) == 0:
        raise CheckError(
            f"{sampler_type} makes no batch of {batch_size} from {counted(len(data_source), 'image')}: lower the batch "
            "size"
        )
    return loader


def _say_if_clean(cfg: CfgNode, items: Sequence[Datum]) -> None:
    """Warns if DATASET.NOISE_RATE is set and no label is wrong: some forks of Dassl make label noise, this one does not."""
    rate = cfg.DATASET.get("NOISE_RATE", 0)
    if rate and all(item.label == getattr(item, "gttarget", item.label) for item in items):
        logger.warning(
            "Warning: DATASET.NOISE_RATE is %s, but the engine makes no wrong labels: unless the dataset's own file does, "
            "training labels are clean",
            rate,
        )


class DataManager:
    """The data set of cfg with its loaders `train_loader_x`, `train_loader_u`, `val_loader`, `test_loader`.

    The second and third are None if the data set has no such items.
    """

    def __init__(
        self,
        cfg: CfgNode,
        custom_tfm_train: Transforms | None = None,
        custom_tfm_test: Transforms | None = None,
        dataset_wrapper: Callable[..., Dataset] | None = None,
    ) -> None:
        dataset = build_dataset(cfg)
        _say_if_clean(cfg, dataset.train_x)
        self._tfm_train = self._transform(cfg, custom_tfm_train, is_train=True)
        self._wrapper = dataset_wrapper
        self.cfg = cfg
        tfm_test = self._transform(cfg, custom_tfm_test, is_train=False)

        def test_loader(source: Sequence[Datum] | None) -> DataLoader:
            return build_data_loader(
                cfg,
                sampler_type=cfg.DATALOADER.TEST.SAMPLER,
                data_source=source,
                batch_size=cfg.DATALOADER.TEST.BATCH_SIZE,
                tfm=tfm_test,
                is_train=False,
                dataset_wrapper=dataset_wrapper,
            )

        loaders = cfg.DATALOADER
        self.train_loader_x = self._train_loader(loaders.TRAIN_X, dataset.train_x)
        self.train_loader_u: DataLoader | None = None
        if dataset.train_u:
            part = loaders.TRAIN_X if loaders.TRAIN_U.SAME_AS_X else loaders.TRAIN_U
            self.train_loader_u = self._train_loader(part, dataset.train_u)
            if isinstance(self.train_loader_u, SeededLoader):
                self.train_loader_u.set_stream("train_u")
        self.val_loader = test_loader(dataset.val) if dataset.val else None
        self.test_loader = test_loader(dataset.test)

        self.dataset = dataset
        self._num_classes = dataset.num_classes
        self._num_source_domains = len(cfg.DATASET.SOURCE_DOMAINS)
        self._lab2cname = dataset.lab2cname
        if cfg.VERBOSE:
            self.show_dataset_summary(cfg)

    def _train_loader(self, part: CfgNode, source: Sequence[Datum]) -> DataLoader:
        return build_data_loader(
            self.cfg,
            sampler_type=part.SAMPLER,
            data_source=source,
            batch_size=part.BATCH_SIZE,
            n_domain=part.N_DOMAIN,
            n_ins=part.N_INS,
            tfm=self._tfm_train,
            is_train=True,
            dataset_wrapper=self._wrapper,
        )

    def keep_training_items(self, indices: Sequence[int]) -> None:
        """Reduces the training list to the items at these indices, in this order, and makes `train_loader_x` anew."""
        self.dataset.keep_training_items(indices)
        self.train_loader_x = self._train_loader(self.cfg.DATALOADER.TRAIN_X, self.dataset.train_x)

    @staticmethod
    def _transform(cfg: CfgNode, custom: Transforms | None, is_train: bool) -> Transforms | None:
        if custom is None:
            return build_transform(cfg, is_train=is_train)
        logger.info("* Using custom transform for %s", "training" if is_train else "testing")
        return custom

    @property
    def num_classes(self) -> int:
        return self._num_classes

    @property
    def num_source_domains(self) -> int:
        return self._num_source_domains

    @property
    def lab2cname(self) -> dict[int, str]:
        return self._lab2cname

    def show_dataset_summary(self, cfg: CfgNode) -> None:
        """Log a table with the sizes."""
        dataset = self.dataset
        table = [["Dataset", of_run(cfg).DATASET.NAME]]
        if cfg.DATASET.SOURCE_DOMAINS:
            table.append(["Source", cfg.DATASET.SOURCE_DOMAINS])
        if cfg.DATASET.TARGET_DOMAINS:
            table.append(["Target", cfg.DATASET.TARGET_DOMAINS])
        table.append(["# classes", f"{self.num_classes:,}"])
        table.append(["# train_x", f"{len(dataset.train_x):,}"])
        if dataset.train_u:
            table.append(["# train_u", f"{len(dataset.train_u):,}"])
        if dataset.val:
            table.append(["# val", f"{len(dataset.val):,}"])
        table.append(["# test", f"{len(dataset.test or []):,}"])
        logger.info(tabulate(table))
