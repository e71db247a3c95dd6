"""Tests a method: image features of a frozen tower come from disk, and every kind of logits is counted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from torch import Tensor
from torch.utils.data import DataLoader

from clipkit import fingerprint
from dassl.protocols import SizedIterable
from dassl.utils.progress import progress

from .coinciding import IMAGES, class_feature_facts, tell
from .feature_loader import FeatureLoader, bank_key, encode_loader
from .method import Method
from .other_accuracies import OtherAccuracies
from .precision import autocast
from .seen_images import SeenImages, Sides, seen_images

logger = logging.getLogger(__name__)


class Tester:
    """The tests of one trainer."""

    def __init__(self, trainer: Method) -> None:
        self.trainer = trainer
        self.others = OtherAccuracies()  # of the last test
        self.warned = False  # whether collapsed class features were warned of: once per run
        self.seen: SeenImages | None = None  # of the test that runs
        self.batch: tuple[int, Tensor] | None = None  # its number and images, while its answers are computed

    def batches(self, loader: DataLoader) -> DataLoader | FeatureLoader:
        """The images of a sequential loader: as features where the image tower is frozen and TEST.FEATURE_BANK is on,
        so that each is encoded once for all methods and seeds; else the loader."""
        trainer = self.trainer
        banked = trainer.frozen_image_encoder and trainer.cfg.TEST.get("FEATURE_BANK", True)
        return trainer.banked(loader) if banked else loader

    def banked(self, loader: DataLoader) -> FeatureLoader:
        """The loader's images as features, read from disk if they were computed before."""
        trainer = self.trainer
        clip = fingerprint(trainer.clip), trainer.precision, trainer.device
        key = bank_key(loader, *clip, normalized=trainer.stored_normalized)

        def compute() -> dict[str, Tensor]:
            with autocast(trainer.precision, trainer.device, training=False):  # as a test without the bank
                return {"features": encode_loader(loader, trainer.stored_image, trainer.device)}

        return FeatureLoader(trainer.bank.get(key, compute)["features"], loader)

    def logits(self, image: Tensor) -> dict[str, Tensor]:
        """`test_logits` in the run's precision."""
        with autocast(self.trainer.precision, self.trainer.device, training=False):
            return self.trainer.test_logits(image)

    def evaluate(self, batches: SizedIterable[dict], split: str) -> None:
        """Gives each batch's answer to the evaluator, and counts the method's other logits, if there are any.

        For a method or plugin that defines `model_inference` itself, only that is called.
        """
        trainer, self.others = self.trainer, OtherAccuracies()
        self.seen = seen_images(trainer, batches)
        for number, batch in enumerate(progress(batches, desc=f"evaluate {split}")):
            image, label = trainer.parse_batch_test(batch)
            if trainer.answers_itself():
                trainer.evaluator.process(trainer.model_inference(image), label)
                continue
            self.batch = number, image
            found = self.logits(image)
            self.batch = None
            trainer.evaluator.process(found[trainer.answer_name], label)
            self.others.add(found, label)
            keep_others(trainer.evaluator, {k: x for k, x in found.items() if k != trainer.answer_name}, label)

    def sides(self, image: Tensor, compute: Callable[[Tensor], Sides]) -> Sides:
        """compute(image), a tensor or several, of the images of a batch. Where this process's last test was of the same
        model and images, what it computed then (`seen_images.py`). For `test_logits`, once for a batch."""
        if self.seen is None or self.batch is None or image is not self.batch[1]:
            return compute(image)
        return self.seen.get(self.batch[0], image, compute)

    def report(self) -> None:
        """Logs the accuracy of each kind of logits of the last test and the distance of the class features, and adds
        them to the run's record."""
        for kind, accuracy in self.others.percent().items():
            self.trainer.record.setdefault("other_accuracies", {})[kind] = accuracy
            logger.info("* %s_accuracy: %.1f%%", kind, accuracy)
        facts = class_feature_facts(self.trainer)
        self.trainer.record.update(facts)
        if facts:
            predicted = getattr(self.trainer.evaluator, "results", {}).get("predicted_classes")
            tell(facts, predicted, len(self.trainer.classnames), warn=not self.warned)
            self.warned |= facts["collapsed"]

    def first_images(self, count: int = IMAGES) -> Tensor:
        """The first images of the test set, as a test's batches have them."""
        batch = next(iter(self.trainer.test_batches("test")))
        return self.trainer.parse_batch_test(batch)[0][:count]


def keep_others(evaluator: object, logits: Mapping[str, Tensor], label: Tensor) -> None:
    """Adds a batch's logits of the other answers to the outputs that the evaluator keeps, if it keeps any."""
    if (kept := getattr(evaluator, "outputs", None)) is not None:
        for name, each in logits.items():
            kept.add_other(name, each, label)
