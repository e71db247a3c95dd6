"""Features of training crops under a frozen image tower: each crop is encoded once for all methods, rates and runs.

A crop depends on the training images, the seed, the epoch and its position in the epoch's order: not on labels, and not
on the method. It is encoded in row (position mod 32) of a pass of 32 rows, whatever else is in that pass. So the last
bit of its feature does not depend on the batch size, nor on what was on disk: without a bank the same passes are made,
and nothing is kept.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import PIL
import torch
import torchvision
from torch import Tensor
from torch.utils.data import Dataset, default_collate
from tqdm import tqdm

from clipkit import arithmetic, fingerprint, image_list_key, normalize
from clipkit.appended_file import AppendedFile
from clipkit.cache_room import VARIABLE, limit
from dassl.data.seeded_loader import SeededIndex
from dassl.utils import read_image

from .planned_crops import PlannedCrops
from .precision import autocast

if TYPE_CHECKING:
    from .method import Method

logger = logging.getLogger(__name__)

ROWS = 32  # of a pass through the tower
CHUNK = 2048  # positions that are read, or encoded and kept, together
# What of a method sees images: a class that defines one of these says by `trains_on_features` that [B, d] features do.
SEES = ("loss", "forward_backward", "parse_batch_train", "encode_image", "frozen_image", "_batches")


def takes_features(trainer: Method) -> bool:
    """Whether a method's training can go on features: its tower is frozen, each class that it is made of says that it
    takes them, and an item has one image, cropped by the engine's own data set."""
    kinds = [kind for kind in type(trainer).__mro__ if any(name in vars(kind) for name in SEES)]
    own = kinds[: [kind.__name__ for kind in kinds].index("PromptTrainer")]
    data = getattr(trainer.train_loader_x.dataset, "wrapped", None)
    return (
        trainer.frozen_image_encoder
        and all(vars(kind).get("trains_on_features", False) for kind in own)
        and hasattr(trainer.train_loader_x, "next_pass")
        and type(data).__name__ == "DatasetWrapper"
        and callable(data.transform)
        and data.k_tfm == 1
        and not data.return_img0
    )


class CropFeatures:
    """The features of a trainer's training crops, from its file in the feature bank as far as they are there."""

    def __init__(self, trainer: Method) -> None:
        self.trainer, self.loader = trainer, trainer.train_loader_x
        self.dataset = self.loader.dataset.wrapped
        self.crops = PlannedCrops(trainer.cfg, self.dataset)
        self.rows = min(ROWS, len(self.dataset))
        self.file = self._file()
        self.read = 0  # crops whose features came from disk

    def epoch(self) -> Served:
        """The batches of an ordinary pass: those of the loader, with features for images."""
        order, size = self.loader.next_pass(), self.loader.batch_size
        starts = [i * size for i in range(len(self.loader))]
        return Served(self, order, [range(i, min(i + size, len(order))) for i in starts])

    def features(self, order: Sequence[SeededIndex], positions: Sequence[int]) -> Tensor:
        """[n, d], normalised, on the device: of the crops at these positions of an epoch's order."""
        of_chunk = defaultdict(list)
        for i, position in enumerate(positions):
            of_chunk[position // CHUNK].append(i)
        found = [self._chunk(order, chunk, [positions[i] for i in each]) for chunk, each in of_chunk.items()]
        place = torch.empty(len(positions), dtype=torch.long)
        place[sum(of_chunk.values(), [])] = torch.arange(len(positions))
        device = self.trainer.device
        with torch.no_grad(), autocast(self.trainer.precision, device):
            parts = [normalize(x.to(device).float()) for x in torch.cat(found)[place].split(self.rows)]
        return torch.cat(parts)

    def _chunk(self, order: Sequence[SeededIndex], chunk: int, positions: list[int]) -> Tensor:
        """[n, d] as the tower gives them, of positions of one chunk: read, and the missing ones encoded and kept."""
        part = order[chunk * CHUNK : (chunk + 1) * CHUNK]
        name = f"{chunk} {hashlib.sha256(repr([tuple(item) for item in part]).encode()).hexdigest()}"
        table = _Table(chunk * CHUNK, len(part))
        if self.file is not None:
            table.take(self.file.read(name))
            self.read += len(positions) - len(table.missing(positions))
        if not (missing := table.missing(positions)):
            return table[positions]
        if self.file is None:
            table.take([self._encode(order, missing)])
            return table[positions]
        with self.file.locked():
            table.take(self.file.read(name))  # another process may have been first
            still = table.missing(positions)
            self.read += len(missing) - len(still)
            if still:
                found = self._encode(order, still)
                table.take([found])
                self.file.append(name, found)
        return table[positions]

    @torch.no_grad()
    def _encode(self, order: Sequence[SeededIndex], positions: list[int]) -> dict[str, Tensor]:
        """{"position": [n], "feature": [n, d]} of these crops, each in its own row of a pass."""
        queues = defaultdict(list)
        for position in sorted(positions):
            queues[position % self.rows].append(position)
        rows = sorted(queues)
        longest = max(map(len, queues.values()))
        passes = [[queues[row][i] for row in rows if i < len(queues[row])] for i in range(longest)]
        images = self.crops.load([[order[position] for position in each] for each in passes])
        shown = tqdm(images, desc="training crops", disable=None, leave=False, total=len(passes))
        trainer, found = self.trainer, []
        for each, image in zip(passes, shown, strict=True):
            at = [position % self.rows for position in each]
            full = image.new_zeros(self.rows, *image.shape[1:])
            full[at] = image
            with autocast(trainer.precision, trainer.device):
                raw = trainer.image_encoder(full.to(trainer.device).type(trainer.image_encoder.dtype))
            found.append(raw[at].cpu())
        return {"position": torch.tensor(sum(passes, []), dtype=torch.int32), "feature": torch.cat(found)}

    def _file(self) -> AppendedFile | None:
        """The bank's file of these crops; None where nothing is kept."""
        trainer, cfg = self.trainer, self.trainer.cfg
        described = transform_text(self.dataset)
        if not cfg.TRAIN.get("FEATURE_BANK", True) or cfg.SEED < 0 or described is None:
            return None
        bytes_ = 2 if trainer.precision != "fp32" else 4
        size = len(self.dataset) * trainer.max_epoch * trainer.image_encoder.embed_dim * bytes_
        if size > limit():
            text = "Features of training crops are not kept: %.1f GB in all epochs is more than %s"
            logger.info(text, size / 1e9, VARIABLE)
            return None
        key = {
            "kind": "features of training crops",
            "backbone": fingerprint(trainer.clip),
            "precision": trainer.precision,
            "device": arithmetic(trainer.device),
            "torch": torch.__version__,
            "reader": f"{getattr(read_image, 'rules', 'upstream')}, Pillow {PIL.__version__}",
            "transform": described,
            "images": image_list_key([item.impath for item in self.dataset.data_source]),
            "rows": self.rows,
            "seed": cfg.SEED,
        }
        return AppendedFile(trainer.bank.path(key).with_suffix(".features"), key)


class Served:
    """Batches of features in the shape of the training loader's: `img` is [B, d], everything else as it is there."""

    def __init__(self, source: CropFeatures, order: Sequence[SeededIndex], batches: list[range]) -> None:
        self.source, self.order, self.batches = source, order, batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[dict]:
        together = max(1, CHUNK // max(map(len, self.batches), default=1))
        for start in range(0, len(self.batches), together):
            batches = self.batches[start : start + together]
            features = self.source.features(self.order, [position for batch in batches for position in batch])
            for batch, f in zip(batches, features.split([len(batch) for batch in batches]), strict=True):
                items = [self.source.dataset.about(self.order[position].position) for position in batch]
                yield {**default_collate(items), "img": f.clone()}  # aligned in memory as a new tensor is


class _Table:
    """What is known of a chunk: the features at some of its `size` positions, which begin at `start`."""

    def __init__(self, start: int, size: int) -> None:
        self.start, self.known = start, torch.zeros(size, dtype=torch.bool)
        self.feature: Tensor | None = None

    def take(self, records: list[dict[str, Tensor]]) -> None:
        for record in records:
            at = record["position"].long() - self.start
            if self.feature is None:
                self.feature = record["feature"].new_empty(len(self.known), record["feature"].shape[1])
            self.feature[at] = record["feature"]
            self.known[at] = True

    def missing(self, positions: list[int]) -> list[int]:
        known = self.known.tolist()
        return [position for position in positions if not known[position - self.start]]

    def __getitem__(self, positions: list[int]) -> Tensor:
        assert self.feature is not None
        return self.feature[torch.tensor(positions) - self.start]


def transform_text(dataset: Dataset) -> str | None:
    """The training transform as text, all settings in full; None for one whose settings nobody can read off."""
    steps = getattr(dataset.transform, "transforms", [dataset.transform])
    homes = ("torchvision.transforms.", "dassl.data.transforms.")
    if not all(type(step).__module__.startswith(homes) and type(step).__name__ != "Lambda" for step in steps):
        return None
    # the steps' own text rounds some numbers: they all come from the config, which has them in full
    names = ", ".join(type(step).__name__ for step in steps)
    settings = sorted((key, repr(value)) for key, value in dataset.cfg.INPUT.items())
    return f"torchvision {torchvision.__version__}: {names}; {settings}"
