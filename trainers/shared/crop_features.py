"""Features of training crops under a frozen image tower: each crop is encoded once for all methods, rates and runs.

A crop depends on the training images, the seed, the epoch and its place in the epoch's passes: not on labels, and not
on the method. It is encoded in row (place mod 32) of a batch of 32 rows, with any other crops in that batch. So the
last bit of its feature depends neither on the batch size nor on which features were on disk: without a feature bank
the same batches are encoded, and nothing is stored.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import takewhile, zip_longest
from typing import TYPE_CHECKING

import torch
import torchvision
from torch import Tensor
from torch.utils.data import Dataset, default_collate
from tqdm import tqdm

from clipkit import fingerprint, image_list_key, normalize
from clipkit.appended_file import AppendedFile
from clipkit.cache_room import VARIABLE, limit
from dassl.data.seeded_loader import SeededIndex
from dassl.utils.randomness import seeded

from .bank_facts import bank_facts
from .planned_crops import CHUNK, Passes, PlannedBatches
from .precision import autocast

if TYPE_CHECKING:
    from .method import Method

logger = logging.getLogger(__name__)

ROWS = 32  # crops in one forward pass of the tower
# The attributes of a method that take images. A class that defines one of them states by `trains_on_features` whether
# it also accepts features [B, d].
SEES = ("loss", "forward_backward", "parse_batch_train", "encode_image", "prompted_image", "frozen_image", "_batches")


def takes_features(trainer: Method) -> bool:
    """Whether a method can train on features: its tower is frozen, all its classes accept features (`says_so`), and an
    item has one image, cropped by the engine's own data set."""
    data = getattr(trainer.train_loader_x.dataset, "wrapped", None)
    return (
        trainer.frozen_image_encoder
        and says_so(type(trainer))
        and hasattr(trainer.train_loader_x, "next_pass")
        and type(data).__name__ == "DatasetWrapper"
        and callable(data.transform)
        and data.k_tfm == 1
        and not data.return_img0
    )


def says_so(method: type, what: str = "trains_on_features", names: Sequence[str] = SEES) -> bool:
    """Whether each class of a method's inheritance (below `PromptTrainer`) that defines one of `names` itself also sets
    `what` to True. With the defaults: whether all classes that take images also accept features."""
    kinds = list(takewhile(lambda kind: kind.__name__ != "PromptTrainer", method.__mro__))
    seeing = [kind for kind in kinds if any(name in vars(kind) for name in names)]
    return all(vars(kind).get(what, False) for kind in seeing)


class CropFeatures:
    """The features of a trainer's training crops: read from its file in the feature bank, computed where missing."""

    def __init__(self, trainer: Method) -> None:
        self.trainer, self.loader = trainer, trainer.train_loader_x
        self.dataset = self.loader.dataset.wrapped
        self.planned = PlannedBatches(trainer.cfg, self.dataset)
        self.rows = min(ROWS, len(self.dataset))
        self.file = self._file()

    def epoch(self) -> Served:
        """The batches of an ordinary pass: those of the loader, with features for images."""
        order, size = self.loader.next_pass(), self.loader.batch_size
        starts = [i * size for i in range(len(self.loader))]
        batches = [range(i, min(i + size, len(order))) for i in starts]
        return Served(self, Passes(lambda _: order, len(order)), batches)

    def features(self, passes: Passes, places: Sequence[int]) -> Tensor:
        """[n, d], normalised, on the device: of the crops at these places."""
        tables = {chunk: _Table(passes, chunk) for chunk in sorted({place // CHUNK for place in places})}
        missing = self._read(tables, places)
        self.trainer.reads["training_crops"] += len(places) - len(missing)
        if missing and self.file is None:
            self._encode(passes, tables, missing)
        elif missing:
            with self.file.locked():
                still = self._read(tables, missing)  # another process may have been first
                self.trainer.reads["training_crops"] += len(missing) - len(still)
                if still:
                    self._encode(passes, tables, still)
        raw = torch.stack([tables[place // CHUNK][place] for place in places])
        device = self.trainer.device
        with torch.no_grad(), autocast(self.trainer.precision, device):
            return torch.cat([normalize(x.to(device).float()) for x in raw.split(self.rows)])

    def images(self, items: Sequence[SeededIndex]) -> Tensor:
        """[B, 3, H, W]: the crops themselves, for a step that needs pixels."""
        with seeded(items[0].seed):
            return self.planned.loader.dataset[list(items)]["img"]

    def _read(self, tables: Mapping[int, _Table], places: Sequence[int]) -> list[int]:
        """Reads stored features into the tables; returns the places that are not on disk."""
        lacking = {place // CHUNK for place in places if not tables[place // CHUNK].has(place)}
        for chunk in lacking if self.file is not None else ():
            tables[chunk].take(self.file.read(tables[chunk].name))
        return [place for place in places if not tables[place // CHUNK].has(place)]

    def _encode(self, passes: Passes, tables: Mapping[int, _Table], places: Sequence[int]) -> None:
        """Encodes these crops, each in its own row of a pass through the tower, and keeps them."""
        columns = defaultdict(list)
        for place in sorted(places):
            columns[place % self.rows].append(place)
        rows = zip_longest(*(columns[row] for row in sorted(columns)))
        together = [[place for place in row if place is not None] for row in rows]
        feature = torch.cat(list(self._tower(passes, together)))
        place = torch.tensor(sum(together, []))
        for chunk in (place // CHUNK).unique().tolist():
            own = place // CHUNK == chunk
            record = {"position": (place[own] - chunk * CHUNK).int(), "feature": feature[own]}
            tables[chunk].take([record])
            if self.file is not None:
                self.file.append(tables[chunk].name, record)

    @torch.no_grad()
    def _tower(self, passes: Passes, together: list[list[int]]) -> Iterator[Tensor]:
        """Yields un-normalised features [n, d] for the places of each forward pass of the tower."""
        trainer, batches = self.trainer, [[passes[place] for place in each] for each in together]
        shown = tqdm(self.planned.load(batches), desc="training crops", disable=None, leave=False)
        for each, batch in zip(together, shown, strict=True):
            at = [place % self.rows for place in each]
            image = batch["img"].new_zeros(self.rows, *batch["img"].shape[1:])
            image[at] = batch["img"]
            with autocast(trainer.precision, trainer.device):
                raw = trainer.image_encoder(image.to(trainer.device).type(trainer.image_encoder.dtype))
            yield raw[at].cpu()

    def _file(self) -> AppendedFile | None:
        """The bank's file for these crops; None where features are not stored."""
        trainer, cfg = self.trainer, self.trainer.cfg
        described = transform_text(self.dataset)
        if not cfg.TRAIN.get("FEATURE_BANK", True) or cfg.SEED < 0 or described is None:
            return None
        bytes_ = 2 if trainer.precision != "fp32" else 4
        size = len(self.dataset) * trainer.max_epoch * trainer.image_encoder.embed_dim * bytes_
        if size > limit():
            text = "Features of training crops are not stored: %.1f GB in all epochs is more than %s"
            logger.info(text, size / 1e9, VARIABLE)
            return None
        key = {
            "kind": "features of training crops",
            **bank_facts(fingerprint(trainer.clip), trainer.precision, trainer.device),
            "transform": described,
            "images": image_list_key([item.impath for item in self.dataset.data_source]),
            "rows": self.rows,
            "seed": cfg.SEED,
        }
        return AppendedFile(trainer.bank.path(key).with_suffix(".features"), key)


class Served:
    """Batches of features in the form of the training loader's: `img` is [B, d], all else is the same.

    batches: the places of each batch. at_once: computes all features before the first batch, for places that are spread
    over the passes.
    """

    def __init__(
        self, source: CropFeatures, passes: Passes, batches: Sequence[Sequence[int]], at_once: bool = False
    ) -> None:
        self.source, self.passes, self.batches = source, passes, batches
        largest = max(map(len, batches), default=1)
        self.together = len(batches) if at_once else max(1, CHUNK // largest)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[dict]:
        for start in range(0, len(self.batches), max(1, self.together)):
            batches = self.batches[start : start + self.together]
            features = self.source.features(self.passes, [place for batch in batches for place in batch])
            for batch, f in zip(batches, features.split([len(batch) for batch in batches]), strict=True):
                items = [self.passes[place] for place in batch]
                about = default_collate([self.source.dataset.about(item.position) for item in items])
                # cloned, since the alignment in memory decides the last bit of products
                yield {**about, "img": f.clone(), "pixels": partial(self.source.images, items)}


class _Table:
    """The known features of a chunk; `name` is the name of its records in the file."""

    def __init__(self, passes: Passes, chunk: int) -> None:
        items = passes.chunk(chunk)
        text = repr([tuple(item) for item in items])
        self.name = f"{chunk % (passes.stride // CHUNK)} {hashlib.sha256(text.encode()).hexdigest()}"
        self._known = [False] * len(items)
        self._feature: Tensor | None = None

    def take(self, records: list[dict[str, Tensor]]) -> None:
        for record in records:
            if self._feature is None:
                self._feature = record["feature"].new_empty(len(self._known), record["feature"].shape[1])
            self._feature[record["position"].long()] = record["feature"]
            for position in record["position"].tolist():
                self._known[position] = True

    def has(self, place: int) -> bool:
        return self._known[place % CHUNK]

    def __getitem__(self, place: int) -> Tensor:
        assert self._feature is not None
        return self._feature[place % CHUNK]


def transform_text(dataset: Dataset) -> str | None:
    """The training transform as text, with all settings; None for a custom one, whose settings are unknown."""
    steps = getattr(dataset.transform, "transforms", [dataset.transform])
    homes = ("torchvision.transforms.", "dassl.data.transforms.")
    if not all(type(step).__module__.startswith(homes) and type(step).__name__ != "Lambda" for step in steps):
        return None
    # from the config, since the repr of some transforms rounds its numbers
    names = ", ".join(type(step).__name__ for step in steps)
    settings = sorted((key, repr(value)) for key, value in dataset.cfg.INPUT.items())
    return f"torchvision {torchvision.__version__}: {names}; {settings}"
