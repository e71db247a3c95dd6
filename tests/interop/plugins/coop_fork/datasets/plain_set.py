"""A dataset with nothing around it: two folders, labels from the file names."""

import os

from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum


@DATASET_REGISTRY.register()
class PlainSet(DatasetBase):
    dataset_dir = "field_pets"

    def __init__(self, cfg):
        images = os.path.join(os.path.abspath(cfg.DATASET.ROOT), self.dataset_dir, "images")
        train = self.items(os.path.join(images, "trainval"))
        test = self.items(os.path.join(images, "test"))
        train = self.generate_fewshot_dataset(train, num_shots=cfg.DATASET.NUM_SHOTS)
        super().__init__(train_x=train, test=test)

    def items(self, folder):
        found = []
        for name in sorted(os.listdir(folder)):
            label, breed, _ = name.split("-")
            found.append(Datum(impath=os.path.join(folder, name), label=int(label), classname=breed))
        return found
