"""Helpers of these tests: images on disk, `ToyFolder` and `ToyTrainer`, and the item list of the sampling vectors."""

import os

import numpy as np
import torch
from PIL import Image
from torch import nn

from dassl.config import get_cfg_default
from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum
from dassl.engine import TRAINER_REGISTRY, TrainerX
from dassl.metrics import compute_accuracy
from dassl.optim import build_lr_scheduler, build_optimizer

CLASSES = ["red_thing", "green_thing", "blue_thing", "grey_thing"]
COLOURS = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200], [120, 120, 120]])


def write_images(root, number=9):
    rng = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        folder = os.path.join(root, "toy", name)
        os.makedirs(folder)
        for i in range(number):
            pixels = COLOURS[label] + rng.normal(0, 70, (20, 28, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(os.path.join(folder, f"{i}.png"))


def make_cfg(root, out, *opts):
    cfg = get_cfg_default()
    cfg.merge_from_list(["DATASET.ROOT", root, "DATASET.NAME", "ToyFolder", "OUTPUT_DIR", out])
    cfg.merge_from_list(["TRAINER.NAME", "ToyTrainer", "SEED", 1, "INPUT.SIZE", (16, 16)])
    cfg.merge_from_list(["INPUT.TRANSFORMS", ("random_resized_crop", "random_flip", "colorjitter", "normalize")])
    cfg.merge_from_list(["DATALOADER.NUM_WORKERS", 0, "DATALOADER.TRAIN_X.BATCH_SIZE", 8])
    cfg.merge_from_list(["OPTIM.NAME", "sgd", "OPTIM.LR", 0.1, "OPTIM.LR_SCHEDULER", "cosine", "OPTIM.MAX_EPOCH", 4])
    cfg.merge_from_list(["OPTIM.WARMUP_EPOCH", 1, "OPTIM.WARMUP_TYPE", "constant", "TRAIN.TENSORBOARD", False])
    cfg.merge_from_list(list(opts))
    return cfg


@DATASET_REGISTRY.register()
class ToyFolder(DatasetBase):
    """toy/<class>/<n>.png under DATASET.ROOT: numbers 0-4 train, 5-6 val, 7-8 test."""

    def __init__(self, cfg):
        def items(numbers):
            return [
                Datum(impath=os.path.join(cfg.DATASET.ROOT, "toy", name, f"{i}.png"), label=label, classname=name)
                for label, name in enumerate(CLASSES)
                for i in numbers
            ]

        train = self.generate_fewshot_dataset(items(range(5)), num_shots=cfg.DATASET.NUM_SHOTS)
        super().__init__(train_x=train, val=items(range(5, 7)), test=items(range(7, 9)))


@TRAINER_REGISTRY.register()
class ToyTrainer(TrainerX):
    """Written as the field writes trainers: dropout draws from the global generator; lr steps at the last batch."""

    def build_model(self):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(12, 4))
        self.model.to(self.device)
        self.optim = build_optimizer(self.model, self.cfg.OPTIM)
        self.sched = build_lr_scheduler(self.optim, self.cfg.OPTIM)
        self.register_model("prompt_learner", self.model, self.optim, self.sched)

    def parse_batch_train(self, batch):
        return batch["img"].to(self.device), batch["label"].to(self.device)

    def forward_backward(self, batch):
        image, label = self.parse_batch_train(batch)
        output = self.model(image)
        loss = nn.functional.cross_entropy(output, label)
        self.model_backward_and_update(loss)
        if self.batch_idx + 1 == self.num_batches:
            self.update_lr()
        return {"loss": loss.item(), "acc": compute_accuracy(output, label)[0].item()}


def vector_items(path):
    """30 items numbered 0-29 through their domain: ten of label 2, ten 0, three 1, seven 5. `path` is any file."""
    labels = [2] * 10 + [0] * 10 + [1] * 3 + [5] * 7
    return [Datum(impath=str(path), label=y, domain=i, classname=f"c{y}") for i, y in enumerate(labels)]
