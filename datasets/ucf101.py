"""UCF101 (Soomro et al. 2012): 101 actions, the middle frame of each video."""

import re

from dassl.data.datasets import DATASET_REGISTRY, Datum
from dassl.utils import InputError

from .base import SplitDataset
from .reading.listing import look_up, one_name_each, read_lines
from .reading.lists import whole_number
from .reading.splits import make_items, split_trainval

LISTS = "UCF101TrainTestSplits-RecognitionTask.zip of www.crcv.ucf.edu/data/UCF101.php"


@DATASET_REGISTRY.register()
class UCF101(SplitDataset):
    dataset_dir = "ucf101"
    image_dir = "UCF-101-midframes"
    split_file = "split_zhou_UCF101.json"
    needs = {"UCF-101-midframes": "UCF-101-midframes.zip linked in CoOp's DATASETS.md"}
    split_needs = {f"ucfTrainTestlist/{name}.txt": LISTS for name in ("classInd", "trainlist01", "testlist01")}
    sizes = (101, 7639, 1898, 3783)

    def generate_split(self) -> tuple[list[Datum], list[Datum], list[Datum]]:
        pairs = []
        path = self.require("ucfTrainTestlist/classInd.txt")
        for line in read_lines(path):
            number, _, action = line.partition(" ")
            if whole_number(number) is None or not action:
                raise InputError(f"{path}: {line!r} is not 'number action'; fetch the file again.")
            pairs.append((action, number))
        labels = {action: int(number) - 1 for action, number in one_name_each(pairs, path).items()}
        train, val = split_trainval(self.read_data(labels, "ucfTrainTestlist/trainlist01.txt"))
        return train, val, self.read_data(labels, "ucfTrainTestlist/testlist01.txt")

    def read_data(self, labels: dict[str, int], list_file: str) -> list[Datum]:
        """Items of a list; its lines are: action/video.avi, and in the training list a label, which is not needed."""
        path = self.require(list_file)
        records = []
        for line in read_lines(path):
            action, _, video = line.split(" ")[0].partition("/")
            name = spaced_action(action)
            frame = f"{name}/{video.replace('.avi', '.jpg')}"
            records.append((frame, look_up(labels, action, "action", "classInd.txt"), name))
        return make_items(records, self.image_dir, path)


def spaced_action(action: str) -> str:
    """`ApplyEyeMakeup` -> `Apply_Eye_Makeup`, the class name and the folder of its frames."""
    return "_".join(re.findall("[A-Z][^A-Z]*", action))
