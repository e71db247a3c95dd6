"""`Folder`: a dataset of the user's own images, described by config keys alone (docs/own_data.md)."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from yacs.config import CfgNode

from dassl.config.domains import FLAG, OPTIONAL
from dassl.data.datasets import DATASET_REGISTRY, Datum
from dassl.utils import InputError, MissingFileError, seeded
from dassl.utils.counted import counted
from dassl.utils.images import set_upright

from .base import GENERATION_SEED, SplitDataset
from .reading.listing import check_text, class_folders, one_name_each, read_lines, shown
from .reading.splits import known_item, least, read_split, relative_paths, save_split, split_groups
from .reading.whole import bad_images

logger = logging.getLogger(__name__)

# Files of these kinds beside images are ignored; any other file that is no image is ignored with a warning.
COMPANIONS = (".txt", ".md", ".json", ".xml", ".csv", ".tsv", ".html", ".log", ".ini", ".db", ".yaml", ".yml")
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")
OWN_SPLIT = "split_folder.json"
SAMPLES = "split_fewshot"  # folder of kept few-shot samples
KEPT = ("noise", "adv")  # folders of noise manifests and adversarial sets
VALIDATION = ("val", "valid", "validation")

Parts = tuple[list[Datum], list[Datum], list[Datum]]


@DATASET_REGISTRY.register()
class Folder(SplitDataset):
    """DATASET.FOLDER.PATH holds one folder per class, or `train`, `test` and perhaps `val` with one folder per class
    each, or any images that the split file DATASET.FOLDER.SPLIT_FILE lists. Labels follow the sorted folder names."""

    config_defaults = {
        "DATASET.FOLDER.PATH": "",  # under DATASET.ROOT, or absolute; "." is DATASET.ROOT itself
        "DATASET.FOLDER.SPLIT_FILE": "",  # under PATH, or absolute; as split_zhou_*.json
        "DATASET.FOLDER.CLASSNAMES": "",  # under PATH, or absolute; lines "folder class name"
        "DATASET.FOLDER.EXIF": True,  # turn images upright as their camera noted; False: as they lie, as CoOp does
        "DATASET.FOLDER.SKIP_BAD": False,  # leave out images that cannot be read, with a warning that counts them
    }
    config_domains = {key: FLAG if isinstance(value, bool) else OPTIONAL for key, value in config_defaults.items()}
    refuses_copies = True  # one's own images are drawn into train and test here, so a copy in both is a mistake

    def locate(self, cfg: CfgNode) -> str:
        root = os.path.abspath(os.path.expanduser(cfg.DATASET.ROOT))
        return os.path.normpath(os.path.join(root, os.path.expanduser(self.setting("DATASET.FOLDER.PATH"))))

    @classmethod
    def ensure(cls, dataset_dir: str) -> None:
        if not os.path.isdir(dataset_dir):
            raise MissingFileError(
                f"Folder: there is no folder {dataset_dir}; set DATASET.FOLDER.PATH to the folder of the images."
            )

    def load_items(self) -> Parts:
        if not self.setting("DATASET.FOLDER.PATH"):
            raise InputError(
                "DATASET.FOLDER.PATH is not set: name the folder of the images, under --root or absolute; '.' is "
                "--root itself."
            )
        set_upright(self.setting("DATASET.FOLDER.EXIF"))
        parts = self.read_items()
        return self._without_bad(parts) if self.setting("DATASET.FOLDER.SKIP_BAD") else parts

    def _without_bad(self, parts: Parts) -> Parts:
        bad = bad_images([item.impath for part in parts for item in part], self.dataset_dir)
        if bad:
            logger.warning(
                "Warning: %s skipped, %s for one", counted(len(bad), "image"), next(iter(bad.values())).rstrip(".")
            )
        train, val, test = ([item for item in part if item.impath not in bad] for part in parts)
        return train, val, test

    def check_images(self) -> None:
        """Raises InputError naming an image that cannot be read, of any part; called before a training."""
        bad = bad_images([item.impath for part in self._all_train for item in part], self.dataset_dir)
        if bad:
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            raise InputError(
                f"{next(iter(bad.values())).rstrip('.')}{more} (found before training); mend it, or add "
                "--skip-bad to the command (in a YAML, DATASET.FOLDER.SKIP_BAD: True): it goes on without such images."
            )

    def read_items(self) -> Parts:
        """Train, val and test from the split file, the part folders or the class folders, as the keys say."""
        split_file = self._file("DATASET.FOLDER.SPLIT_FILE")
        if split_file:
            self.split_file = split_file
            parts = read_split(split_file, self.image_dir, mend="correct it", complete="add it, or take its line out")
        elif os.path.isdir(os.path.join(self.image_dir, "test")):
            parts = self.read_parts()
        elif self._val_is_test():
            parts = self.read_parts(test=self._val_is_test(), val="")
        else:
            parts = self.split_classes()
        names_file = self._file("DATASET.FOLDER.CLASSNAMES")
        return rename(parts, read_names(names_file), names_file) if names_file else parts

    def _file(self, key: str) -> str:
        """The absolute path that a key names, or "" """
        if not (value := self.setting(key)):
            return ""
        path = os.path.join(self.dataset_dir, os.path.expanduser(value))
        if not os.path.isfile(path):
            raise MissingFileError(f"{key} is {value!r}, but there is no file {path}; correct the key.")
        return path

    def _val_is_test(self) -> str:
        """The validation folder, for a set without `test`, if there is a folder `train` too; else ""."""
        has_train = os.path.isdir(os.path.join(self.image_dir, "train"))
        return self._validation_folder() if has_train else ""

    def _validation_folder(self) -> str:
        return next((name for name in VALIDATION if os.path.isdir(os.path.join(self.image_dir, name))), "")

    def read_parts(self, test: str = "test", val: str | None = None) -> Parts:
        """Items of the `train`, `val` and `test` folders. Without `train` the set is for testing only."""
        val = self._validation_folder() if val is None else val
        if test != "test":
            logger.info("Folder: there is no test folder, so the images of %s are the test set", test)
        has_train = os.path.isdir(os.path.join(self.image_dir, "train"))
        if not has_train:
            logger.info("Folder: there is no train folder: the set is for testing only, and no shots are drawn")
            self.test_only = True
            self.train_on = f"another dataset, or put a folder train beside test in {self.image_dir}"
        labels = class_labels(os.path.join(self.image_dir, "train" if has_train else test))
        train, val_items, test_items = (
            self.read_classes(part, labels) if part else [] for part in ("train" if has_train else "", val, test)
        )
        return train, val_items, test_items

    def read_classes(self, part: str, labels: Mapping[str, int]) -> list[Datum]:
        """Items of all class folders below `part` ("" for the image folder itself), sorted."""
        base = os.path.join(self.image_dir, part)
        items, left_out = [], []
        for folder in own_classes(base):
            if folder not in labels:
                raise InputError(f"{os.path.join(base, folder)} is a class that train does not have; add or remove it.")
            path = os.path.join(base, folder)
            names = sorted(name for name in os.listdir(path) if not name.startswith("."))
            files = [name for name in names if name.lower().endswith(EXTENSIONS)]
            if not files:
                raise InputError(
                    f"{path} holds no images ({', '.join(EXTENSIONS)}); add some, take it out, or set "
                    "DATASET.FOLDER.PATH to the folder above the class folders."
                )
            for file in files:
                check_text(file, path)
            left_out += [os.path.join(path, x) for x in names if not x.lower().endswith((*EXTENSIONS, *COMPANIONS))]
            items += [known_item(os.path.join(path, file), labels[folder], folder) for file in files]
        if left_out:
            logger.warning(
                "Warning: %d files or folders beside the images of %s are ignored, such as %s: images end in %s and "
                "lie directly in their class folder", len(left_out), base, shown(left_out[0]), ", ".join(EXTENSIONS),
            )  # fmt: skip
        return items

    def split_classes(self) -> Parts:
        """50/20/30 % of each class. The split is kept beside the classes, so images added later do not change it."""
        items = self.read_classes("", class_labels(self.image_dir))
        self.split_file = os.path.join(self.dataset_dir, OWN_SPLIT)
        if os.path.isfile(self.split_file):
            stale = f"restore it, or remove {self.split_file}, which is older, to have a new split drawn"
            damaged = "remove it to have a new split drawn"
            parts = read_split(self.split_file, self.image_dir, mend=damaged, complete=stale)
            self._tell_of_new_images(items, parts)
            return parts
        groups: dict[int, list[Datum]] = {}
        for item in items:
            groups.setdefault(item.label, []).append(item)
        self._check_sizes(groups)
        with seeded(GENERATION_SEED):
            parts = split_groups((f"{self.image_dir}/{group[0].classname}", group) for group in groups.values())
        try:
            save_split(*parts, self.split_file, self.image_dir)
        except OSError as error:
            logger.warning("The split cannot be saved (%s); images added later will change it", error)
        return parts

    def _check_sizes(self, groups: Mapping[int, list[Datum]]) -> None:
        """InputError with all classes that are too small to be split, not the first alone."""
        needed = least((0.5, 0.2))
        small = [f"{group[0].classname} ({len(group)})" for group in groups.values() if len(group) < needed]
        if small:
            more = f" and {len(small) - 5} more" if len(small) > 5 else ""
            raise InputError(
                f"{self.image_dir}: each class needs {needed} images to be split into train, val and test, and "
                f"these have fewer: {', '.join(small[:5])}{more}; add some, take the class out, or lay the images "
                "out as train and test folders."
            )

    def _tell_of_new_images(self, items: list[Datum], parts: Parts) -> None:
        """Warn of images, or whole classes, that were added after the split was drawn and are therefore left out."""
        known = {path for part in parts for path in relative_paths(part, self.image_dir)}
        added = [path for path in relative_paths(items, self.image_dir) if path not in known]
        if not added:
            return
        classes = sorted({path.partition("/")[0] for path in added} - {path.partition("/")[0] for path in known})
        whole = f", all of the class{'es' * (len(classes) > 1)} {', '.join(classes)} among them" if classes else ""
        logger.warning(
            "Warning: %d images, %s for one%s, came after the split and are left out: they are not in %s; remove that "
            "file to have a new split drawn", len(added), added[0], whole, self.split_file,
        )  # fmt: skip


def own_classes(folder: str) -> list[str]:
    """The class folders, without the folders of few-shot samples, noise manifests and adversarial sets."""

    def is_ours(name: str) -> bool:
        if name not in KEPT:
            return name == SAMPLES
        with os.scandir(os.path.join(folder, name)) as entries:
            return all(entry.is_dir() for entry in entries)

    return class_folders(folder, [name for name in class_folders(folder) if is_ours(name)])


def class_labels(folder: str) -> dict[str, int]:
    """{class folder: label}, labels in the order of the sorted folder names."""
    return {name: label for label, name in enumerate(own_classes(folder))}


def read_names(path: str) -> dict[str, str]:
    """folder -> class name; the lines are: folder, space (a tab if the folder's name holds spaces), name."""
    pairs = []
    for line in read_lines(path):
        folder, _, name = line.partition("\t" if "\t" in line else " ")
        if not name.strip():
            raise InputError(f"{path}: {line!r} is not 'folder class name'; complete the line.")
        pairs.append((folder.strip(), name.strip()))
    return one_name_each(pairs, path)


def rename(parts: Parts, names: Mapping[str, str], origin: str) -> Parts:
    """The parts with class names replaced by those of `names`, which must have all."""
    known = {item.classname for part in parts for item in part}
    if missing := sorted(known - set(names)):
        tab = " (with a tab between its name and the class name)" if " " in missing[0] else ""
        raise InputError(f"{origin} has no line for the class {missing[0]!r}; add one for each class{tab}.")
    train, val, test = ([known_item(x.impath, x.label, names[x.classname]) for x in part] for part in parts)
    return train, val, test
