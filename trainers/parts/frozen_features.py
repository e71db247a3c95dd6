"""Features of a frozen CLIP for methods that train on features alone (Tip-Adapter, LP++): of hand-written prompts, of
augmented training images, and of the labelled images on which settings are chosen."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from clipkit import InputError, derive_seed, fingerprint, normalize
from dassl.data.data_manager import build_data_loader
from dassl.data.transforms import build_transform
from dassl.utils import base_seed
from datasets.templates import template_set

from ..base import PromptTrainer
from ..shared.feature_loader import bank_key
from ..shared.listed_batches import ListedBatches

logger = logging.getLogger(__name__)

MOST = 4  # the most validation images per class, as in few-shot samples


def classifier(trainer: PromptTrainer, names: Sequence[str]) -> Tensor:
    """Zero-shot class features [C, d], normalised, from the dataset's own template; for ImageNet and its variants the
    mean over the normalised features of the 7 selected templates."""
    dataset = trainer.cfg.DATASET.NAME
    templates = template_set("select" if dataset.startswith("ImageNet") else "custom", dataset)
    features = trainer.frozen_text([t.format(name) for t in templates for name in names])
    return normalize(features.view(len(templates), len(names), -1).mean(0))


def training_features(trainer: PromptTrainer, passes: int) -> tuple[Tensor, Tensor]:
    """([N, d] means of the un-normalised features of each training image under `passes` draws of the training
    transform, [N] labels), in the order of the list. They depend on the seed, and are kept in the feature bank."""
    cfg, items = trainer.cfg, trainer.dm.dataset.train_x
    size = cfg.DATALOADER.TEST.BATCH_SIZE
    batches = [list(range(i, min(i + size, len(items)))) for i in range(0, len(items), size)]

    @torch.no_grad()
    def compute() -> dict[str, Tensor]:
        listed, total = ListedBatches(trainer), 0
        for number in range(passes):
            images = (trainer.parse_batch_train(batch)[0] for batch in listed.load(batches, number, "features"))
            encode = trainer.image_encoder
            total = total + torch.cat([encode(image.type(encode.dtype)).float() for image in images])
        return {"features": total / passes}

    # this loader only gives the cache key; images are loaded by `listed`
    transform = build_transform(cfg, is_train=True)
    like = build_data_loader(cfg, data_source=items, batch_size=size, tfm=transform, is_train=False)
    key = bank_key(like, fingerprint(trainer.clip), trainer.precision, trainer.device)
    key |= {"kind": "means of augmented views, not normalised", "passes": passes, "seed": base_seed(cfg)}
    found = trainer.bank.get(key, compute) if cfg.TEST.get("FEATURE_BANK", True) else compute()
    labels = torch.tensor([item.label for item in items], device=trainer.device)
    return found["features"].to(trainer.device), labels


def choosing_features(trainer: PromptTrainer, which: str, key: str) -> tuple[Tensor, Tensor]:
    """([n, d] normalised features under the test transform, [n] labels) of the images that a setting is chosen on.

    which: "val_fewshot": as many as a class has shots, four at most, from the validation images; where these are the
    test images (ImageNet) from the training images that are not trained on. "val_shots": as many as a class has shots,
    with repetitions where there are fewer. "val_full": all validation images, and
    where there are none the test images, as in published code. "test": the test images. The last two are for
    reproductions; a warning in the log says so. Raises InputError, naming the config key, if there are no such images.
    """
    items = choosing_items(trainer, which, key)
    loader = build_data_loader(
        trainer.cfg,
        data_source=items,
        batch_size=trainer.cfg.DATALOADER.TEST.BATCH_SIZE,
        tfm=build_transform(trainer.cfg, is_train=False),
        is_train=False,
    )
    features, labels = [], []
    for batch in trainer.tester.batches(loader):
        image, label = trainer.parse_batch_test(batch)
        features.append(image if image.ndim == 2 else trainer.frozen_image(image))
        labels.append(label)
    return torch.cat(features), torch.cat(labels)


def choosing_items(trainer: PromptTrainer, which: str, key: str) -> list:
    """The items of `choosing_features`. Raises InputError if there are none."""
    items = _items(trainer, which)
    if not items:
        raise InputError(
            f"{key} is {which}, but {trainer.cfg.DATASET.NAME} has no labelled images for it beside those that are "
            f"trained on; choose {'none' if key.endswith('SEARCH') else 'last'}."
        )
    return items


def _items(trainer: PromptTrainer, which: str) -> list:
    dataset = trainer.dm.dataset
    if which == "test":
        logger.warning("Warning: settings are chosen on the TEST images; the result is a reproduction, not comparable")
        return list(dataset.test)
    own = [] if dataset.val is dataset.test else list(dataset.val or [])
    if which == "val_full":
        own = [] if dataset.val is dataset.test else list(getattr(dataset, "val_pool", None) or own)
        if not own:
            return _items(trainer, "test")
        text = "Warning: settings are chosen on all %d validation images, far more labels than a few-shot run has"
        logger.warning(text, len(own))
        return own
    if which == "val_shots":
        own = [] if dataset.val is dataset.test else list(getattr(dataset, "val_pool", None) or own)
    used = {item.impath for item in dataset.train_x}
    spare = own or [item for item in getattr(dataset, "train_pool", None) or [] if item.impath not in used]
    shots = trainer.cfg.DATASET.NUM_SHOTS
    if which == "val_shots":
        return _few(spare, max(shots, 1), base_seed(trainer.cfg), repeat=True)
    return _few(spare, min(shots, MOST) if shots > 0 else MOST, base_seed(trainer.cfg))


def _few(items: list, most: int, seed: int, repeat: bool = False) -> list:
    """At most `most` items of each class, drawn with the seed, in the order of the list. repeat: a class with fewer
    items has some of them several times."""
    places = defaultdict(list)
    for place, item in enumerate(items):
        places[item.label].append(place)
    chosen = []
    for label, own in places.items():
        generator = torch.Generator().manual_seed(derive_seed(seed, "chosen on", label))
        order = torch.randperm(len(own), generator=generator)[:most].tolist()
        if repeat and len(order) < most:
            order += torch.randint(len(own), (most - len(order),), generator=generator).tolist()
        chosen += [own[i] for i in order]
    return [items[i] for i in sorted(chosen)]
