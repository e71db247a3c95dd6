"""A list of class names in place of a dataset, so that a trained model can be used without its dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dassl.data.datasets import Datum


class ClassList:
    """Stands for a `DataManager` and its dataset: it has class names and labels, but no images and no loaders."""

    train_loader_x = train_loader_u = val_loader = test_loader = None
    num_source_domains = 0

    def __init__(self, classnames: Sequence[str]) -> None:
        self.classnames = self.all_classnames = list(classnames)
        self.num_classes = len(self.classnames)
        self.lab2cname = dict(enumerate(self.classnames))
        self.train_x: list[Datum] = []
        self.train_u: list[Datum] = []
        self.val: list[Datum] = []
        self.test: list[Datum] = []
        self.dataset = self
