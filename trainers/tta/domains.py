"""A stream over several data sets of the same classes: a source and its variants, mixed or one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.utils.data import DataLoader
from yacs.config import CfgNode

from clipkit import InputError
from dassl.data.data_manager import build_data_loader
from dassl.data.datasets import Datum, build_dataset
from dassl.utils.images import same_reading
from datasets.reading.catalog import find

if TYPE_CHECKING:
    from dassl.data.datasets import DatasetBase

KEY = "TRAINER.STREAM.WITH"


def names_of(given: str) -> list[str]:
    """The data sets of a setting, "shapes_sketch,shapes_clutter"."""
    return [name.strip() for name in given.split(",") if name.strip()]


def join(loader: DataLoader, data: DatasetBase, cfg: CfgNode, names: list[str]) -> tuple[DataLoader, list[str]]:
    """(a test loader over the images of `loader` and then those of the further data sets, the domains' names).

    An image's domain is the place of its data set; its label is that of the class with this name in `data`. Raises
    InputError for an unknown data set, one that is named twice, and a class that `data` does not have.
    """
    label = {name.replace("_", " ").casefold(): i for i, name in enumerate(data.classnames)}
    entries = [find(name) for name in names]
    domains = [cfg.DATASET.NAME, *(entry.name for entry in entries)]
    if twice := [name for name in domains if domains.count(name) > 1]:
        raise InputError(f"{KEY} has {twice[0]} twice; name each further data set once, without the run's own.")
    items = [Datum(item.impath, item.label, 0, item.classname) for item in loader.dataset.data_source]
    for domain, entry in enumerate(entries, start=1):
        own = cfg.clone()
        own.defrost()
        own.DATASET.NAME = entry.name
        with same_reading():  # the first dataset says how images are turned
            items_of = build_dataset(own).test or []
        for item in items_of:
            place = label.get(item.classname.replace("_", " ").casefold())
            if place is None:
                raise InputError(
                    f"{KEY} {entry.stem}: {cfg.DATASET.NAME} has no class {item.classname!r}; a stream goes over data "
                    "sets of the same classes."
                )
            items.append(Datum(item.impath, place, domain, item.classname))
    batch, transform = cfg.DATALOADER.TEST.BATCH_SIZE, loader.dataset.transform
    return build_data_loader(cfg, data_source=items, batch_size=batch, tfm=transform, is_train=False), domains
