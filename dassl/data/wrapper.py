"""`DatasetWrapper`: a torch data set over a list of `Datum`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from PIL.Image import Image
from torch.utils.data import Dataset
from torchvision.transforms import Compose, Resize
from yacs.config import CfgNode

from dassl.utils.errors import InputError
from dassl.utils.tools import read_image

from .datasets.base_dataset import Datum
from .decoded import DecodedImages
from .transforms import INTERPOLATION_MODES
from .transforms.quick import Normalize, ToTensor

Transform = Callable[[Any], Any]  # from an image to a tensor, as a rule
Transforms = Transform | list[Transform] | tuple[Transform, ...]


class DatasetWrapper(Dataset):
    """Items are dicts: `img`, `label`, `domain`, `impath`, `index`, and, as in forks for noisy labels, `target` (the
    label to train on, possibly a wrong one) and `gttarget` (the true label, -1 if unknown).

    With several transforms (list or tuple) also `img2`, `img3`, ...; with DATALOADER.RETURN_IMG0 also `img0`, the image
    without augmentation. In training, K_TRANSFORMS > 1 makes `img` a list of that many independent transforms.
    Without a transform `img` is the PIL image.
    """

    def __init__(
        self,
        cfg: CfgNode,
        data_source: Sequence[Datum],
        transform: Transforms | None = None,
        is_train: bool = False,
    ) -> None:
        self.cfg = cfg
        self.data_source = data_source
        self.transform = transform
        self.is_train = is_train
        # Label noise: the true label comes along as `gt` too, for logs only.
        self.has_gt = is_train and all("_gttarget" in getattr(item, "__dict__", {}) for item in data_source)
        self.k_tfm = cfg.DATALOADER.K_TRANSFORMS if is_train else 1
        self.return_img0 = cfg.DATALOADER.RETURN_IMG0
        self.read = self._reader(cfg, is_train)
        if self.k_tfm > 1 and transform is None:
            raise InputError(f"DATALOADER.K_TRANSFORMS is {self.k_tfm}, but there is no transform to repeat")
        steps = [Resize(cfg.INPUT.SIZE, interpolation=INTERPOLATION_MODES[cfg.INPUT.INTERPOLATION]), ToTensor()]
        if "normalize" in cfg.INPUT.TRANSFORMS:
            steps.append(Normalize(mean=cfg.INPUT.PIXEL_MEAN, std=cfg.INPUT.PIXEL_STD))
        self.to_tensor = Compose(steps)

    @staticmethod
    def _reader(cfg: CfgNode, is_train: bool) -> Callable[[str], Image]:
        """The function that reads an image. In training it keeps decoded images in memory, up to
        DATALOADER.DECODED_CACHE_MB over all workers."""
        limit = cfg.DATALOADER.get("DECODED_CACHE_MB", 0) * 2**20 if is_train else 0
        return DecodedImages(limit // max(1, cfg.DATALOADER.NUM_WORKERS)) if limit > 0 else read_image

    def __len__(self) -> int:
        return len(self.data_source)

    def __getitem__(self, idx: int) -> dict:
        output = self.about(idx)
        img0 = self.read(output["impath"])
        if self.transform is None:
            output["img"] = img0
        elif isinstance(self.transform, (list, tuple)):
            for i, transform in enumerate(self.transform):
                output["img" if i == 0 else f"img{i + 1}"] = self._transform_image(transform, img0)
        else:
            output["img"] = self._transform_image(self.transform, img0)
        if self.return_img0:
            output["img0"] = self.to_tensor(img0)
        return output

    def about(self, idx: int) -> dict:
        """The item without its image, which is not read."""
        item = self.data_source[idx]
        output = {"label": item.label, "domain": item.domain, "impath": item.impath, "index": int(idx)}
        for key in ("target", "gttarget"):  # a Datum from elsewhere may have neither
            output[key] = getattr(item, key, item.label)
        if self.has_gt:
            output["gt"] = item.gttarget
        return output

    def _transform_image(self, transform: Transform, img0: Image) -> Any:
        images = [transform(img0) for _ in range(self.k_tfm)]
        return images[0] if self.k_tfm == 1 else images
