"""Attacked pictures on disk: shards of at most 1000, each with its rows and checksum, then a table and a manifest.

<folder>/pictures-0000.npy    uint8 [n, 3, H, W], memory-mapped; or pictures-0000/00012.png
<folder>/shard-0000.json      its checksum, and a row per image
<folder>/table.csv            all rows, for people
<folder>/manifest.json        written last: a folder without it is not finished
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dassl.utils import InputError, atomic_path, read_image, read_json, write_json

from .manifest import key_of
from .pictures import to_image, to_uint8

SHARD = 1000
MANIFEST = "manifest.json"


def shards(count: int, size: int) -> list[range]:
    """The rows of each shard: `count` rows in ranges of `size`, the last one shorter."""
    return [range(i, min(i + size, count)) for i in range(0, count, size)]


def write_shard(folder: Path, number: int, pictures: Tensor, rows: list[dict], store: str) -> None:
    """Writes pictures first, then rows with the checksum: a shard without its JSON file counts as missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, file in enumerate(_files(folder, number, len(rows), store)):
        file.parent.mkdir(exist_ok=True)
        with atomic_path(file) as temporary, open(temporary, "wb") as stream:
            if store == "raw":
                np.save(stream, pictures.numpy(), allow_pickle=False)
            else:
                to_image(pictures[i]).save(stream, format="PNG")
    part = {"store": store, "sha256": _checksum(folder, number, len(rows), store), "rows": rows}
    write_json(part, folder / f"shard-{number:04d}.json")


def read_shard(folder: Path, number: int, count: int) -> dict | None:
    """The JSON of a shard, if it has `count` rows and its pictures have the checksum in it; else None."""
    try:
        part = read_json(folder / f"shard-{number:04d}.json")
        whole = len(part["rows"]) == count and part["sha256"] == _checksum(folder, number, count, part["store"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return part if whole else None


def finish(folder: Path, manifest: dict, totals: dict, made: dict, parts: list[dict]) -> None:
    """Writes table and manifest from the shards' JSON files."""
    rows = [row for part in parts for row in part["rows"]]
    with atomic_path(folder / "table.csv") as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    checksums = [part["sha256"] for part in parts]
    sizes = [len(part["rows"]) for part in parts]
    content = hashlib.sha256("".join(checksums).encode()).hexdigest()
    key = key_of(manifest)
    whole = {"key": key, "content": content, "shards": sizes, **manifest, "totals": totals, "made": made}
    write_json(whole, folder / MANIFEST)


def images_of(folder: Path) -> str:
    """The hash of the image files that a finished set was made from; "" if its manifest has none."""
    try:
        return read_json(folder / MANIFEST)["made"].get("images", "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""


def _files(folder: Path, number: int, count: int, store: str) -> list[Path]:
    stem = folder / f"pictures-{number:04d}"
    return [stem.with_suffix(".npy")] if store == "raw" else [stem / f"{i:05d}.png" for i in range(count)]


def _checksum(folder: Path, number: int, count: int, store: str) -> str:
    digest = hashlib.sha256()
    for file in _files(folder, number, count, store):
        with open(file, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


class StoredSet:
    """A finished set on disk, read only. `picture(i)` is the i-th picture, `rows[i]` its row of the table.

    manifest: what it was made from (`key` is the hash of that). what, remedy: its kind and the command that makes one,
    for errors. Raises InputError for a folder that is not there, not finished, of another format, changed or damaged.
    """

    what, remedy = "set of pictures", "python -m datasets"

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        file = self.folder / MANIFEST
        if not file.is_file():
            begun = any(self.folder.glob("shard-*.json"))
            raise InputError(
                f"The {self.what} in {self.folder} is not finished; the command that makes it goes on."
                if begun
                else f"There is no {self.what} in {self.folder}; make one with {self.remedy}."
            )
        try:
            whole = read_json(file)
            extra = ("key", "content", "shards", "totals", "made")
            self.key, self.content, self.sizes, self.totals, self.made = (whole.pop(name) for name in extra)
            self.manifest = whole
            intact = key_of(whole) == self.key
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{file} is not the manifest of such a set ({error}); make the {self.what} anew."
            ) from error
        if not intact:
            raise InputError(f"{file} was changed after it was made: its key does not fit; make it anew.")
        self._parts = [self._part(number, count) for number, count in enumerate(self.sizes)]
        self.rows: list[dict] = [row for part in self._parts for row in part["rows"]]
        if hashlib.sha256("".join(part["sha256"] for part in self._parts).encode()).hexdigest() != self.content:
            raise InputError(f"{self.folder} has shards that do not belong to its manifest; make it anew.")
        self._position = {row["path"]: i for i, row in enumerate(self.rows)}
        self._open: dict[int, np.ndarray] = {}

    def _part(self, number: int, count: int) -> dict:
        part = read_shard(self.folder, number, count)
        if part is None:
            raise InputError(
                f"Shard {number} of {self.folder} is damaged or missing; run the command that made the set again."
            )
        return part

    def __len__(self) -> int:
        return len(self.rows)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_open": {}}  # worker processes map the files themselves

    def picture(self, index: int) -> Tensor:
        """uint8 [3, H, W]: the attacked picture of `rows[index]`."""
        size = self.sizes[0]
        number, row = divmod(index, size)
        if self._parts[number]["store"] == "png":
            return to_uint8(read_image(_files(self.folder, number, self.sizes[number], "png")[row]))
        if number not in self._open:
            self._open[number] = np.load(_files(self.folder, number, 0, "raw")[0], mmap_mode="r", allow_pickle=False)
        return torch.from_numpy(self._open[number][row].copy())

    def position(self, path: str) -> int:
        """Index of the image of this relative path."""
        return self._position[path]


class AdversarialSet(StoredSet):
    """Attacked pictures. facts: the short form that results.json has."""

    what, remedy = "adversarial set", "python -m datasets attack"

    @property
    def facts(self) -> dict:
        """Key, attack, surrogate and totals."""
        attacks: Sequence[dict] = self.manifest["attack"]
        return {
            "key": self.key,
            "content": self.content,
            "mode": "transfer",
            "attack": "+".join(attack["name"] for attack in attacks),
            "eps": next((attack["eps"] for attack in attacks if "eps" in attack), "0/255"),
            "parameters": attacks,
            "quant": self.manifest["quant"],
            "surrogate": {"backbone": self.made["backbone"], **self.manifest["surrogate"]},
            "images": len(self),
            "totals": self.totals,
        }


def picture_hash(picture: Tensor) -> str:
    """SHA-256 (hex) of a picture's pixels."""
    return hashlib.sha256(picture.contiguous().numpy().data).hexdigest()
