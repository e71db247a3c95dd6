"""A method as it is deployed: 8-bit pictures in, logits out, in its own precision and with its own random seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from attacks import PixelModel
from dassl.data.data_manager import build_data_loader
from dassl.data.transforms import build_transform
from dassl.data.workers import usable_workers
from datasets.attacked.pictures import to_image
from datasets.reading.paths import relative_paths
from trainers.tta.trainer import TestTimeTrainer
from trainers.tta.views import groups, view_loader, view_seeds

if TYPE_CHECKING:
    from dassl.protocols import Trainer
    from datasets.adversarial import AdversarialItems
    from trainers.tta.views import ViewedImage, ViewMaker


class Deployed:
    """`deployed(pictures, rows)`: logits [B, C] on the CPU for uint8 pictures [B, 3, H, W] in place of the test images
    `rows`. A test-time method uses the random views that it uses for these images in its own test.

    items: the `AdversarialItems` of trainer's test split. `untuned`: logits [B, C] of the last call before tuning.
    """

    def __init__(self, trainer: Trainer, items: AdversarialItems, split: str = "test") -> None:
        self.trainer, self.items, self.split = trainer, items, split
        self.adapts = isinstance(trainer, TestTimeTrainer)
        pixels = PixelModel(trainer)  # for its mean and std
        self.mean, self.std = pixels.mean, pixels.std
        self.keys = relative_paths(items, items.image_dir)
        self.label = torch.tensor([item.label for item in items])
        self.untuned: Tensor | None = None
        trainer.set_model_mode("eval")

    def __call__(self, pictures: Tensor, rows: Sequence[int]) -> Tensor:
        if self.adapts:
            return self._adapt(self._views(pictures, rows))
        size = self.trainer.cfg.DATALOADER.TEST.BATCH_SIZE
        return self._infer(
            {"img": self._normalised(pictures[i]), "label": self.label[[rows[k] for k in i.tolist()]]}
            for i in torch.arange(len(rows)).split(size)
        )

    def clean(self) -> Tensor:
        """Logits [N, C] of the clean test images, read from their files by the test loader."""
        cfg = self.trainer.cfg
        loader = build_data_loader(
            cfg, data_source=list(self.items), batch_size=cfg.DATALOADER.TEST.BATCH_SIZE,
            tfm=build_transform(cfg, is_train=False), is_train=False,
        )  # fmt: skip
        if self.adapts:
            return self._adapt(view_loader(cfg, self.trainer.views, loader, self.trainer.dm.dataset, self.split))
        return self._infer(loader)

    def _normalised(self, pictures: Tensor) -> Tensor:
        x = pictures.to(self.trainer.device).float() / 255
        return x if self.mean is None else (x - self.mean) / self.std

    @torch.no_grad()
    def _infer(self, batches) -> Tensor:
        trainer = self.trainer
        # as in the method's own test, random draws of inference depend on the seed alone
        with trainer.test_draws(self.split):
            inputs = (trainer.parse_batch_test(batch)[0] for batch in batches)
            return torch.cat([trainer.model_inference(image).float().cpu() for image in inputs])

    @torch.no_grad()
    def _adapt(self, images) -> Tensor:
        size = self.trainer.method_cfg().SAMPLES_PER_STEP
        found = [self.trainer.answer(group) for group in groups(iter(images), size)]
        self.untuned = torch.cat([before.float().cpu() for before, _ in found])
        return torch.cat([after.float().cpu() for _, after in found])

    def view_seeds(self, rows: Sequence[int]) -> list[int]:
        """The seeds of a test-time method's random views of these images."""
        return view_seeds(self.trainer.cfg, self.split, [self.keys[row] for row in rows])

    def _views(self, pictures: Tensor, rows: Sequence[int]) -> DataLoader:
        cfg = self.trainer.cfg
        drawn = zip(rows, self.view_seeds(rows), strict=True)
        about = [(row, int(self.label[row]), self.keys[row], seed) for row, seed in drawn]
        data = _Pictures(self.trainer.views, pictures, about)
        workers = usable_workers(cfg.DATALOADER.NUM_WORKERS)
        return DataLoader(data, batch_size=None, num_workers=workers, generator=torch.Generator())


class _Pictures(Dataset):
    def __init__(self, maker: ViewMaker, pictures: Tensor, about: Sequence[tuple]) -> None:
        self.maker, self.pictures, self.about = maker, pictures, about

    def __len__(self) -> int:
        return len(self.about)

    def __getitem__(self, index: int) -> ViewedImage:
        image = to_image(self.pictures[index])
        return self.maker.start(image, image, *self.about[index])
