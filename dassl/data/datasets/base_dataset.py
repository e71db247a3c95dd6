"""One image with its label (`Datum`), and lists of them (`DatasetBase`)."""

from __future__ import annotations

import logging
import os
import random
import shutil
from collections import defaultdict
from collections.abc import Sequence

from dassl.utils.errors import CheckError, InputError
from dassl.utils.files import download_url
from dassl.utils.tools import check_isfile

logger = logging.getLogger(__name__)


class Datum:
    """An image path, its label, its domain and the name of its class.

    The file must exist (else an AssertionError). For very large sets on slow file systems the environment variable
    DASSL_SKIP_FILE_CHECK=1 turns that check off.
    """

    def __init__(self, impath: str = "", label: int = 0, domain: int = 0, classname: str = "") -> None:
        if not isinstance(impath, str):
            raise CheckError(f"impath must be a str, not {type(impath).__name__}")
        if os.environ.get("DASSL_SKIP_FILE_CHECK") != "1" and not check_isfile(impath):
            raise CheckError(
                f'image file "{impath}" does not exist: the data set in that folder is incomplete, or its split file '
                "belongs to another copy; fetch it again"
            )
        self._impath = impath
        self._label = label
        self._domain = domain
        self._classname = classname

    @property
    def impath(self) -> str:
        return self._impath

    @property
    def label(self) -> int:
        return self._label

    @label.setter  # label-noise code assigns a wrong label and keeps the right one in `gttarget`
    def label(self, value: int) -> None:
        if "_gttarget" not in self.__dict__:
            self._gttarget = self._label
        self._label = value

    @property
    def domain(self) -> int:
        return self._domain

    @property
    def classname(self) -> str:
        return self._classname

    @property
    def target(self) -> int:
        """The label to train on, possibly a wrong one: `label`, unless it was assigned to."""
        return self.__dict__.get("_target", self._label)

    @target.setter
    def target(self, value: int) -> None:
        self._target = value

    @property
    def gttarget(self) -> int:
        """The true label: the one given at construction, unless it was assigned to."""
        return self.__dict__.get("_gttarget", self._label)

    @gttarget.setter
    def gttarget(self, value: int) -> None:
        self._gttarget = value

    def __repr__(self) -> str:
        return f"Datum({self._impath!r}, label={self._label}, domain={self._domain}, classname={self._classname!r})"


class DatasetBase:
    """Labelled training items `train_x`, unlabelled `train_u`, `val` and `test`; all but the first may be None."""

    dataset_dir = ""  # folder under DATASET.ROOT
    domains: list[str] = []  # known domain names
    test_only = False  # True: there are test images alone, and nothing is trained on them
    train_on = ""  # for a test-only set: the data set to train on instead, for the error message
    # Facts for the record of a run, if a list has noisy labels, or attacked or corrupted images:
    noise: dict | None = None
    adversarial: dict | None = None
    corruption: dict | None = None

    def __init__(
        self,
        train_x: list[Datum] | None = None,
        train_u: list[Datum] | None = None,
        val: list[Datum] | None = None,
        test: list[Datum] | None = None,
    ) -> None:
        if not train_x:
            raise InputError(f"data set {type(self).__name__} has no training images: check the folder it reads")
        self._train_x = train_x
        self._train_u = train_u
        self._val = val
        self._test = test
        self._num_classes = self.get_num_classes(train_x)
        self._lab2cname, self._classnames = self.get_lab2cname(train_x)

    def replace_items(
        self, train_x: list[Datum] | None = None, val: list[Datum] | None = None, test: list[Datum] | None = None
    ) -> None:
        """Replaces the lists that are given (by items with wrong labels, or attacked images).

        Class names and their number stay. To be called before loaders are made.
        """
        self._train_x = self._train_x if train_x is None else train_x
        self._val = self._val if val is None else val
        self._test = self._test if test is None else test

    def keep_training_items(self, indices: Sequence[int]) -> None:
        """Reduces the training list to the items at these indices, in this order. Class names and their number stay."""
        self.replace_items(train_x=[self.train_x[i] for i in indices])

    @property
    def train_x(self) -> list[Datum]:
        return self._train_x

    @property
    def train_u(self) -> list[Datum] | None:
        return self._train_u

    @property
    def val(self) -> list[Datum] | None:
        return self._val

    @property
    def test(self) -> list[Datum] | None:
        return self._test

    @property
    def lab2cname(self) -> dict[int, str]:
        return self._lab2cname

    @property
    def classnames(self) -> list[str]:
        """Names in ascending order of label, for the labels that occur in `train_x`."""
        return self._classnames

    @property
    def num_classes(self) -> int:
        """Largest label in `train_x` + 1."""
        return self._num_classes

    @staticmethod
    def get_num_classes(data_source: list[Datum]) -> int:
        return max(item.label for item in data_source) + 1

    @staticmethod
    def get_lab2cname(data_source: list[Datum]) -> tuple[dict[int, str], list[str]]:
        """label -> name (the first one seen), and the names by ascending label."""
        mapping: dict[int, str] = {}
        for item in data_source:
            mapping.setdefault(item.label, item.classname)
        return mapping, [mapping[label] for label in sorted(mapping)]

    def check_input_domains(self, source_domains: list[str], target_domains: list[str]) -> None:
        """Raises InputError for a source or target domain that the data set does not have."""
        self.is_input_domain_valid(source_domains)
        self.is_input_domain_valid(target_domains)

    def is_input_domain_valid(self, input_domains: list[str]) -> None:
        """Raise ValueError for a domain that the data set does not have."""
        for domain in input_domains:
            if domain not in self.domains:
                way_out = f"it has {', '.join(self.domains)}" if self.domains else "it has none, so leave them out"
                raise InputError(
                    f"{type(self).__name__} has no domain {domain!r} (DATASET.SOURCE_DOMAINS, TARGET_DOMAINS): {way_out}."
                )

    def download_data(self, url: str, dst: str, from_gdrive: bool = True) -> None:
        """Fetch an archive to `dst` and unpack it beside it."""
        if not os.path.exists(os.path.dirname(dst)):
            os.makedirs(os.path.dirname(dst))
        download_url(url, dst, from_gdrive=from_gdrive)
        logger.info("Extracting %s", dst)
        if dst.endswith(".zip"):
            shutil.unpack_archive(dst, os.path.dirname(dst))
        else:
            shutil.unpack_archive(dst, os.path.dirname(dst), filter="data")

    def generate_fewshot_dataset(
        self, *data_sources: list[Datum], num_shots: int = -1, repeat: bool = False
    ) -> list[Datum] | list[list[Datum]] | tuple[list[Datum], ...]:
        """Draw `num_shots` items of each class with Python's global `random`, as upstream does.

        Classes come in the order of their first item. A class with too few items gives all of them in their order,
        without a draw, or, with `repeat`, `num_shots` drawn with replacement. `num_shots` below 1: no change.
        One source gives a list, several give a list of lists (without a change: the tuple of them).
        """
        if num_shots < 1:
            return data_sources[0] if len(data_sources) == 1 else data_sources
        logger.info("Creating a %d-shot dataset", num_shots)
        output = []
        for source in data_sources:
            sampled: list[Datum] = []
            for items in self.split_dataset_by_label(source).values():
                if len(items) >= num_shots:
                    sampled.extend(random.sample(items, num_shots))
                elif repeat:
                    sampled.extend(random.choices(items, k=num_shots))
                else:
                    sampled.extend(items)
            output.append(sampled)
        return output[0] if len(output) == 1 else output

    def split_dataset_by_label(self, data_source: list[Datum]) -> dict[int, list[Datum]]:
        """label -> items, labels in the order of their first item."""
        output = defaultdict(list)
        for item in data_source:
            output[item.label].append(item)
        return output

    def split_dataset_by_domain(self, data_source: list[Datum]) -> dict[int, list[Datum]]:
        """domain -> items, domains in the order of their first item."""
        output = defaultdict(list)
        for item in data_source:
            output[item.domain].append(item)
        return output
