"""Small trees in the layouts of the published datasets: their folders, nesting, and annotation files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.io import savemat

SYNSETS = ["n01440764", "n01443537", "n01484850"]
CLASSNAMES = dict(zip(SYNSETS, ["tench", "goldfish", "great white shark"], strict=True))


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not opened here")


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def class_folders(image_dir: Path, names: list[str], count: int = 10, suffix: str = ".jpg") -> None:
    touch(*(image_dir / name / f"{i:03d}{suffix}" for name in names for i in range(count)))


def caltech101(root: Path) -> None:
    class_folders(root / "caltech-101/101_ObjectCategories", ["BACKGROUND_Google", "Faces", "Faces_easy", "airplanes"])


def food101(root: Path) -> None:
    class_folders(root / "food-101/images", ["apple_pie", "baby_back_ribs", "waffles"])
    write(root / "food-101/meta/test.txt", ["waffles/007", "apple_pie/001", "apple_pie/000", "baby_back_ribs/002"])


def dtd(root: Path) -> None:
    class_folders(root / "dtd/images", ["banded", "zigzagged"])


def eurosat(root: Path) -> None:
    class_folders(root / "eurosat/2750", ["SeaLake", "AnnualCrop", "Highway"])


def oxford_pets(root: Path) -> None:
    folder = root / "oxford_pets"
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    for label, name in enumerate(["Abyssinian", "american_bulldog", "Egyptian_Mau"], start=1):
        for i in range(8):
            touch(folder / f"images/{name}_{i}.jpg")
            lists["trainval" if i < 5 else "test"].append(f"{name}_{i} {label} {1 + (label == 2)} {label}")
    touch(folder / "images/Abyssinian_99.mat")  # the archive holds a few of them
    for part, lines in lists.items():
        write(folder / f"annotations/{part}.txt", lines)


def stanford_cars(root: Path) -> None:
    folder = root / "stanford_cars"
    names = ["AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012"]

    def annotations(kind: str, count: int) -> np.ndarray:
        boxes = [(f"bbox_{k}", object) for k in ("x1", "y1", "x2", "y2")]
        array = np.zeros((1, count), dtype=[*boxes, ("class", object), ("fname", object)])
        for i in range(count):
            touch(folder / f"cars_{kind}/{i + 1:05d}.jpg")
            array[0, i] = (1, 2, 30, 40, i % 2 + 1, f"{i + 1:05d}.jpg")
        return array

    (folder / "devkit").mkdir(parents=True)
    savemat(folder / "devkit/cars_train_annos.mat", {"annotations": annotations("train", 10)})
    savemat(folder / "cars_test_annos_withlabels.mat", {"annotations": annotations("test", 3)})
    savemat(folder / "devkit/cars_meta.mat", {"class_names": np.array([names], dtype=object)})


def oxford_flowers(root: Path) -> None:
    folder = root / "oxford_flowers"
    labels = [3] * 10 + [1] * 10 + [2] * 11
    touch(*(folder / f"jpg/image_{i:05d}.jpg" for i in range(1, 32)))
    savemat(folder / "imagelabels.mat", {"labels": np.array([labels], dtype=np.uint8)})
    names = {"1": "pink primrose", "2": "hard-leaved pocket orchid", "3": "canterbury bells"}
    (folder / "cat_to_name.json").write_text(json.dumps(names))


def fgvc_aircraft(root: Path) -> None:
    folder = root / "fgvc_aircraft"
    names = ["707-320", "Cessna 172", "F-16A/B"]
    write(folder / "variants.txt", names)
    for p, part in enumerate(("train", "val", "test")):
        lines = []
        for label in (2, 0, 1):
            number = f"{1000 * p + label:07d}"
            touch(folder / f"images/{number}.jpg")
            lines.append(f"{number} {names[label]}")
        write(folder / f"images_variant_{part}.txt", lines)


def sun397(root: Path) -> None:
    folder = root / "sun397"
    scenes = ["/a/abbey", "/a/apartment_building/outdoor", "/b/bar"]
    write(folder / "ClassName.txt", scenes)
    parts = {"Training_01": range(5), "Testing_01": range(5, 8)}
    for part, numbers in parts.items():
        lines = [f"{scene}/sun_{scene[3]}{i}.jpg" for scene in scenes for i in numbers]
        write(folder / f"{part}.txt", lines)
        touch(*(folder / f"SUN397{line}" for line in lines))


def ucf101(root: Path) -> None:
    folder = root / "ucf101"
    actions = {"ApplyEyeMakeup": "Apply_Eye_Makeup", "YoYo": "Yo_Yo", "HandstandPushups": "Handstand_Pushups"}
    write(folder / "ucfTrainTestlist/classInd.txt", [f"{i} {name}" for i, name in enumerate(actions, start=1)])
    train, test = [], []
    for label, (action, name) in enumerate(actions.items(), start=1):
        for i in range(7):
            video = f"v_{action.replace('Handstand', 'HandStand')}_g01_c{i:02d}"  # as published
            touch(folder / f"UCF-101-midframes/{name}/{video}.jpg")
            train += [f"{action}/{video}.avi {label}"] * (i < 5)
            test += [f"{action}/{video}.avi"] * (i >= 5)
    write(folder / "ucfTrainTestlist/trainlist01.txt", train)
    write(folder / "ucfTrainTestlist/testlist01.txt", test)


def classnames(folder: Path, names: dict[str, str] = CLASSNAMES) -> None:
    write(folder / "classnames.txt", [f"{synset} {name}" for synset, name in names.items()])


def imagenet(root: Path, names: dict[str, str] = CLASSNAMES) -> None:
    class_folders(root / "imagenet/images/train", list(names), 6, ".JPEG")
    class_folders(root / "imagenet/images/val", list(names), 2, ".JPEG")
    classnames(root / "imagenet", names)


def imagenetv2(root: Path) -> None:
    class_folders(root / "imagenetv2/imagenetv2-matched-frequency-format-val", [str(i) for i in range(12)], 2)
    classnames(root / "imagenetv2", {f"n{i:08d}": f"name {i}" for i in range(12)})


def imagenet_sketch(root: Path) -> None:
    class_folders(root / "imagenet-sketch/images", SYNSETS, 2)
    classnames(root / "imagenet-sketch")


def imagenet_a(root: Path, folder: str = "imagenet-adversarial/imagenet-a") -> None:
    class_folders(root / folder, [SYNSETS[2], SYNSETS[0]], 2)
    write(root / folder / "README.txt", ["The authors' words."])
    classnames((root / folder).parent)


def imagenet_r(root: Path) -> None:
    imagenet_a(root, "imagenet-rendition/imagenet-r")


def food101n(root: Path) -> None:
    food101(root)
    folder = root / "food-101n"
    names = ["apple_pie", "baby_back_ribs", "waffles"]
    write(folder / "meta/classes.txt", ["class_name", *names])
    class_folders(folder / "images", names, 3)
    images = [f"{name}/{i:03d}.jpg" for i in range(3) for name in reversed(names)]
    write(folder / "meta/imagelist.tsv", ["class_name/key", *images])
    head = "class_name/key\tverification_label"
    write(folder / "meta/verified_train.tsv", [head, "waffles/000.jpg\t1", "apple_pie/002.jpg\t0"])
    write(folder / "meta/verified_val.tsv", [head, "baby_back_ribs/001.jpg\t1", "waffles/elsewhere.jpg\t1"])


def webvision(root: Path) -> None:
    folder, train, val = root / "webvision", [], []
    for label in range(60):  # ten more than are used
        train += [f"google/q{label:04d}/{label}_{i}.jpg {label}" for i in (0, 1)]
        val.append(f"val{label:06d}.jpg {label}")
    touch(*(folder / line.split(" ")[0] for line in train))
    touch(*(folder / "val_images_256" / line.split(" ")[0] for line in val))
    write(folder / "info/train_filelist_google.txt", train)
    write(folder / "info/val_filelist.txt", val[::-1])
    names = {f"n{label:08d}": f"name {label}" for label in range(60)}
    classnames(root / "imagenet", names)
    class_folders(root / "imagenet/images/val", list(names), 1, ".JPEG")
