"""A data set file in CoOp's idiom: split file, few-shot cache, base and new classes. Written for our tests."""

import math
import os
import pickle

from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum
from dassl.utils import mkdir_if_missing, read_json


@DATASET_REGISTRY.register()
class OxfordPets(DatasetBase):
    dataset_dir = "oxford_pets"

    def __init__(self, cfg):
        root = os.path.abspath(os.path.expanduser(cfg.DATASET.ROOT))
        self.dataset_dir = os.path.join(root, self.dataset_dir)
        self.image_dir = os.path.join(self.dataset_dir, "images")
        self.split_path = os.path.join(self.dataset_dir, "split_zhou_OxfordPets.json")
        self.split_fewshot_dir = os.path.join(self.dataset_dir, "split_fewshot")
        mkdir_if_missing(self.split_fewshot_dir)
        train, val, test = self.read_split(self.split_path, self.image_dir)
        shots = cfg.DATASET.NUM_SHOTS
        if shots >= 1:
            cache = os.path.join(self.split_fewshot_dir, f"shot_{shots}-seed_{cfg.SEED}.pkl")
            if os.path.exists(cache):
                print(f"Loading preprocessed few-shot data from {cache}")
                with open(cache, "rb") as file:
                    data = pickle.load(file)
                    train, val = data["train"], data["val"]
            else:
                train = self.generate_fewshot_dataset(train, num_shots=shots)
                val = self.generate_fewshot_dataset(val, num_shots=min(shots, 4))
                print(f"Saving preprocessed few-shot data to {cache}")
                with open(cache, "wb") as file:
                    pickle.dump({"train": train, "val": val}, file, protocol=pickle.HIGHEST_PROTOCOL)
        train, val, test = self.subsample_classes(train, val, test, subsample=cfg.DATASET.SUBSAMPLE_CLASSES)
        super().__init__(train_x=train, val=val, test=test)

    @staticmethod
    def read_split(filepath, path_prefix):
        def convert(items):
            return [Datum(impath=os.path.join(path_prefix, x), label=int(y), classname=name) for x, y, name in items]

        split = read_json(filepath)
        return [convert(split[part]) for part in ("train", "val", "test")]

    @staticmethod
    def subsample_classes(*args, subsample="all"):
        if subsample == "all":
            return args
        labels = sorted({item.label for item in args[0]})
        half = math.ceil(len(labels) / 2)
        print(f"SUBSAMPLE {subsample.upper()} CLASSES!")
        new_label = {y: i for i, y in enumerate(labels[:half] if subsample == "base" else labels[half:])}
        return [
            [
                Datum(impath=item.impath, label=new_label[item.label], classname=item.classname)
                for item in dataset
                if item.label in new_label
            ]
            for dataset in args
        ]
