"""Adversarial test images for any method: `TEST.ADV_SET <folder, key or "make">`.

The test (or validation) items of the run keep paths, labels and order; their pictures come from a set on disk, and
only normalisation is applied to them. It goes through Dassl's own loaders and `test()`, so every trainer works.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from torch import Tensor
from torchvision.transforms import Compose
from yacs.config import CfgNode

from attacks.settings import add_attack_defaults
from clipkit import fingerprint, image_list_key, load_backbone
from dassl.data import DatasetWrapper
from dassl.data.datasets import Datum
from dassl.data.datasets.build import WRAPPERS
from dassl.utils import InputError

from .attacked.make import adversarial_root, backbone_file, make_set
from .attacked.manifest import check_fits
from .attacked.pictures import base_pictures, picture_transform, split_transform, to_image
from .attacked.store import MANIFEST, AdversarialSet, picture_hash
from .reading.paths import image_folder

if TYPE_CHECKING:
    from dassl.data.datasets import DatasetBase
    from dassl.data.wrapper import Transforms

logger = logging.getLogger(__name__)

MAKE = "make"  # in place of a folder or key: the set that ATTACK.* describes
SAMPLE = 8  # clean pictures that are made anew and compared where the image files have not changed since the attack


def add_adversarial_defaults(cfg: CfgNode) -> None:
    """Adds TEST.ADV_SET and ATTACK.*."""
    cfg.TEST.ADV_SET = ""
    add_attack_defaults(cfg)


class AdversarialItems(list):
    """A list of items whose pictures come from the set `adversarial`; loaders use its `dataset_wrapper`."""

    def __init__(self, items: Sequence[Datum], adversarial: AdversarialSet, image_dir: str) -> None:
        super().__init__(items)
        self.adversarial, self.image_dir = adversarial, image_dir

    def __getitem__(self, index: int | slice) -> Datum | AdversarialItems:
        found = super().__getitem__(index)
        return AdversarialItems(found, self.adversarial, self.image_dir) if isinstance(index, slice) else found

    def picture(self, path: str) -> Tensor:
        """uint8 [3, H, W]: the attacked picture of the image at this path."""
        relative = os.path.relpath(path, self.image_dir).replace(os.sep, "/")
        return self.adversarial.picture(self.adversarial.position(relative))

    def read(self, path: str) -> Image.Image:
        return to_image(self.picture(path))

    @property
    def dataset_wrapper(self) -> type[DatasetWrapper]:
        return AdversarialWrapper


class AdversarialPictures(Compose):
    """The test transform after resize and crop. Its repr names the set, so that caches tell attacked from clean."""

    def __init__(self, rest: Compose, content: str) -> None:
        super().__init__(rest.transforms)
        self.content = content

    def __repr__(self) -> str:
        return f"AdversarialPictures({self.content}, {super().__repr__()})"


class AdversarialWrapper(DatasetWrapper):
    """Dassl's items (`img`, `label`, `domain`, `impath`, `index`) from stored pictures."""

    def __init__(
        self, cfg: CfgNode, data_source: AdversarialItems, transform: Transforms | None = None, is_train: bool = False
    ) -> None:
        super().__init__(cfg, data_source, transform, is_train)
        self.read = data_source.read
        if transform is not None:
            self.transform = AdversarialPictures(split_transform(transform)[1], data_source.adversarial.content)


def serve(cfg: CfgNode, dataset: DatasetBase) -> DatasetBase:
    """The dataset with the pictures of `cfg.TEST.ADV_SET` in its test (or validation) split; unchanged without a set.
    Raises InputError for a set of other images, another backbone or other preprocessing."""
    spec = cfg.TEST.get("ADV_SET", "")
    if not spec:
        return dataset
    split = "val" if cfg.TEST.SPLIT == "val" and dataset.val else "test"
    items = list(dataset.val if split == "val" else dataset.test)
    image_dir = image_folder(dataset, items)
    folder = make_set(cfg, dataset, split) if spec == MAKE else find_set(spec, cfg)
    found = AdversarialSet(folder)
    check_fits(found.manifest, cfg, items, image_dir, split, str(folder))
    check_surrogate(found, cfg)
    chosen = AdversarialItems([items[row["index"]] for row in found.rows], found, image_dir)
    check_clean(chosen, cfg)
    dataset.replace_items(**{split: chosen})
    dataset.adversarial = found.facts
    logger.info(
        "Adversarial %s set %s: %s, eps %s, %d images; accuracy of the surrogate: %.1f%% on the clean pictures, "
        "%.1f%% on the attacked ones",
        split, found.key[:12], found.facts["attack"], found.facts["eps"], len(found),
        found.totals["clean_accuracy"], found.totals["accuracy"],
    )  # fmt: skip
    return dataset


WRAPPERS.append(serve)


def find_set(spec: str, cfg: CfgNode) -> Path:
    """The folder of a set. spec: the folder itself, or the beginning of the set's key (6 or more digits).
    Raises InputError if no set or several fit."""
    if os.path.isdir(Path(spec).expanduser()):
        return Path(spec).expanduser()
    root = adversarial_root(cfg)
    if not re.fullmatch("[0-9a-f]{6,64}", spec):
        raise InputError(f"TEST.ADV_SET {spec} is no folder, and no key of 6 or more hexadecimal digits.")
    folders = sorted(file.parent for file in root.glob(f"*/*/{MANIFEST}"))
    fits = [folder for folder in folders if spec.startswith(folder.name.rpartition("-")[2])]
    fits = fits or [folder for folder in folders if folder.name.rpartition("-")[2].startswith(spec)]
    if len(fits) == 1:
        return fits[0]
    near = [str(folder.relative_to(root)) for folder in fits or folders if folder.parent.name == cfg.DATASET.NAME]
    hint = f"; there are {', '.join(near)}" if near else "; make one with python -m datasets attack"
    raise InputError(f"{'Several' if fits else 'No'} adversarial sets in {root} have the key {spec}{hint}.")


def check_surrogate(found: AdversarialSet, cfg: CfgNode) -> None:
    """Raises InputError unless the set was made against this run's backbone, or ATTACK.MODE is X."""
    if cfg.ATTACK.MODE == "X":
        return
    backbone, made = cfg.MODEL.BACKBONE, found.made
    path, file = backbone_file(backbone), made["backbone_file"]
    if not path and not file and made["backbone"] == backbone.NAME:
        return  # backbones known by name always have the same weights
    if fingerprint(load_backbone(backbone)) != found.manifest["surrogate"]["weights"]:
        raise InputError(
            f"{found.folder} was made against {file or made['backbone']} with other weights than this run's "
            f"{path or backbone.NAME}; make a set for this backbone, or say that it is a transfer between backbones "
            "(ATTACK.MODE X)."
        )


def check_clean(items: AdversarialItems, cfg: CfgNode) -> None:
    """Raises InputError unless the clean pictures of this machine are the ones that were attacked. All are compared, or
    only `SAMPLE` where the image files are unchanged: then only another version of a library could change them."""
    clean, rows = base_pictures(items, picture_transform(cfg)), items.adversarial.rows
    same_files = items.adversarial.made.get("images") == image_list_key([item.impath for item in items])
    count = SAMPLE if same_files else len(rows)
    for i in sorted({round(k * (len(rows) - 1) / max(1, count - 1)) for k in range(count)}):
        if picture_hash(clean[i]) != rows[i]["clean_sha256"]:
            raise InputError(
                f"{items.adversarial.folder} was made from other pixels than {items[i].impath} has here (another file, "
                "or another version of Pillow or torchvision); make it anew."
            )
