"""Checks before a run trains or tests, without which its accuracy would be invalid. For any trainer with loaders."""

from __future__ import annotations

import glob
import logging
import os

from dassl.data.readable import check_images
from dassl.data.same_files import also, copies, shared_files
from dassl.data.wrapper import DatasetWrapper
from dassl.protocols import HasModels, Trainer
from dassl.utils.counted import counted
from dassl.utils.errors import InputError

from .asked_split import NO_VAL, name_of

logger = logging.getLogger(__name__)


def learns(trainer: HasModels) -> bool:
    """Whether any registered model has a tensor to train. Zero-shot and test-time methods have none."""
    return any(p.requires_grad for model in trainer._models.values() if model is not None for p in model.parameters())


def check_resume(resume: str, output_dir: str) -> None:
    """Raises InputError unless RESUME is empty, a run's folder with a checkpoint, or the output folder itself."""
    if not resume or os.path.realpath(resume) == os.path.realpath(output_dir):
        return
    if not os.path.isdir(resume):
        what = "is a file, not the folder of a run" if os.path.exists(resume) else "does not exist"
    elif glob.glob(os.path.join(glob.escape(resume), "*", "checkpoint")):
        return
    else:
        what = "holds no checkpoint to go on from (MODEL/checkpoint)"
    raise InputError(
        f"--resume (RESUME) is {resume}, which {what}; give the --output-dir of the interrupted run, or leave it out."
    )


def check_training(trainer: Trainer) -> None:
    """Called before anything is trained. Raises InputError

    - for a dataset that is for testing only, and where training and test list share images;
    - where TEST.FINAL_MODEL is best_val and the epoch would be chosen on the test images;
    - naming an image of the validation or test list that cannot be read: it would end the run after its training.

    Copies of test images among the training images are a warning: published sets have some.
    """
    cfg, dataset = getattr(trainer, "cfg", None), getattr(getattr(trainer, "dm", None), "dataset", None)
    if cfg is None or dataset is None or not learns(trainer):
        return
    train, val, test = (getattr(dataset, part, None) or [] for part in ("train_x", "val", "test"))
    tested = not cfg.TEST.NO_TEST
    if getattr(dataset, "test_only", False):
        raise InputError(
            f"{name_of(trainer)} is for testing only, all its images are test images: train on "
            f"{getattr(dataset, 'train_on', '') or 'another dataset'}, and test that model here with "
            "--eval-only --model-dir FOLDER."
        )
    if tested and (both := _shared(train, test)):
        raise InputError(
            f"{name_of(trainer)} has {counted(len(both), 'image')} of its test list in its training list too, "
            f"for example {also(*both[0])}: accuracy would be measured on training images; take them out of one "
            "of the lists, or train on another dataset."
        )
    if tested and (both := copies([item.impath for item in train], [item.impath for item in test])):
        if getattr(dataset, "refuses_copies", False):
            raise InputError(
                f"{counted(len(both), 'training image')} of {name_of(trainer)} are byte for byte test images too: "
                f"{both[0][0]} is a copy of {both[0][1]} for one; remove one of them, and the split file if there is "
                "one, so that it is drawn anew."
            )
        logger.warning(
            "Warning: %d training images are copies of test images, such as %s and %s: the accuracy is in part that of "
            "training images", len(both), *both[0],
        )  # fmt: skip
    chosen_by_val = tested and cfg.TEST.FINAL_MODEL == "best_val"
    if chosen_by_val and getattr(trainer, "val_loader", None) is None:
        raise InputError(
            f"TEST.FINAL_MODEL is best_val, but {name_of(trainer)} has no validation images, and the test images must "
            f"not choose the epoch: take TEST.FINAL_MODEL last_step, or {NO_VAL}."
        )
    if chosen_by_val and (both := _shared(val, test)):
        raise InputError(
            f"TEST.FINAL_MODEL is best_val, but {len(both)} validation images of {name_of(trainer)} are test images "
            f"(for example {also(*both[0])}), which must not choose the epoch: take TEST.FINAL_MODEL last_step."
        )
    if tested and os.environ.get("DASSL_SKIP_FILE_CHECK") != "1":
        loaders = [trainer.test_loader, *([trainer.val_loader] if chosen_by_val or cfg.TEST.SPLIT == "val" else [])]
        sets = [getattr(loader, "dataset", None) for loader in loaders]
        sets = [getattr(images, "wrapped", images) for images in sets]
        # other torch data sets may not read their images from these paths
        read = [images.data_source for images in sets if type(images) is DatasetWrapper]
        if whole := getattr(dataset, "check_images", None):  # of all parts; it remembers what was whole
            whole()
        check_images([item.impath for items in read for item in items])


def _shared(a: list, b: list) -> list[tuple[str, str]]:
    """[(path in `a`, path in `b`)] of the images that are in both lists, also under different paths."""
    return shared_files([item.impath for item in a], [item.impath for item in b])
