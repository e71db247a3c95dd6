"""Write the embedded sets to disk in CoOp's layout, on first use and safely beside other processes."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path

import torch
from filelock import FileLock
from PIL import Image

from dassl.utils import InputError, write_json

from .suite import GENERATOR_VERSION, SPECS, Spec, draw_split
from .vocab import CLASSES

logger = logging.getLogger(__name__)
STAMP = "generator.json"  # marks a folder as made by this generator, and names its version


def split_name(spec: Spec) -> str:
    """The file name of the set's split."""
    return f"split_zhou_{spec.name}.json"


def is_current(folder: Path, draws: str = "") -> bool:
    """Whether `folder` holds a set of this generator version and, where they are named, of these draws."""
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
        return stamp["version"] == GENERATOR_VERSION and (not draws or stamp.get("draws") == draws)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def ensure(stem: str, folder: str | Path, draws: str = "") -> None:
    """Make the set `stem` in `folder` (`<root>/<stem>`) unless it is there in this version; draws: see `draw_split`.

    Two processes may call this at once: one makes the set, the other waits. The folder appears when it is complete.
    Raises InputError if a folder of that name exists that this generator did not make, or cannot be written.
    """
    folder = Path(folder)
    if is_current(folder, draws):
        if not draws and (other := json.loads((folder / STAMP).read_text(encoding="utf-8")).get("draws")):
            logger.warning(
                "%s holds the draws %r of the embedded set %r, not the set's own images", folder, other, stem
            )
        return
    if not os.path.isdir(folder.parent):
        logger.info("Created the folder %s for the embedded set %s", folder.parent, stem)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            if not is_current(folder, draws):
                _replace(stem, folder, draws)
    except OSError as error:
        raise InputError(
            f"The embedded set {stem!r} cannot be written to {folder} ({error}); point --root (DATASET.ROOT) "
            "to a folder that can be written."
        ) from error


def _replace(stem: str, folder: Path, draws: str) -> None:
    if folder.exists():
        if not (folder / STAMP).exists():
            raise InputError(
                f"{folder} exists but was not made by this project's generator, so it is left alone; move it away or "
                f"point --root (DATASET.ROOT) to another folder to get the embedded set {stem!r}."
            )
        logger.info("%s was made by another version of the generator: it is made again", folder)
    else:
        logger.info("Making the embedded set %s in %s (some seconds, only once)", stem, folder)
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        build(stem, fresh, draws)
        if folder.exists():
            os.rename(folder, old)
        os.rename(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def build(stem: str, folder: Path, draws: str = "") -> None:
    """Write images, split file and stamp of a set into the new folder `folder`; draws: see `draw_split`."""
    spec = SPECS[stem]
    names = CLASSES[spec.classes]
    next_number = [0] * len(names)
    split: dict[str, list[list]] = {"train": [], "val": [], "test": []}
    for label in range(len(names)):
        (folder / "images" / _folder_name(names[label])).mkdir(parents=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # results must not depend on the number of cores
    try:
        for part, records in split.items():
            if not getattr(spec, part):
                continue
            for images, labels in draw_split(stem, part, draws=draws):
                for pixels, label in zip(images.numpy(), labels.tolist(), strict=True):
                    relative = f"{_folder_name(names[label])}/{next_number[label]:03d}.png"
                    next_number[label] += 1
                    Image.fromarray(pixels).save(folder / "images" / relative, compress_level=1)
                    records.append([relative, label, names[label]])
    finally:
        torch.set_num_threads(threads)
    write_json(split, folder / split_name(spec))
    write_json({"version": GENERATOR_VERSION, "set": stem, "draws": draws}, folder / STAMP)


def _folder_name(name: str) -> str:
    return name.replace(" ", "_")
