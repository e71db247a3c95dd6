"""A noise manifest: the whole training list of a run, with true and observed labels, as one JSON file."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dassl.data.datasets import Datum
from dassl.utils import InputError, read_json, write_json

FORMAT = 1
REAL = "real"  # the type of noise that a dataset has by itself (labels from the web)


@dataclass(frozen=True)
class NoisyItem:
    """impath: relative to the image folder; true: None where it is not known; noisy: the observed label."""

    impath: str
    true: int | None
    noisy: int


@dataclass(frozen=True)
class Manifest:
    """`noise`: {"type", "rate", "seed", "params"}; items in the order of the clean training list.

    val: items of the validation set, if that is noisy too. With real noise rate and seed are None.
    """

    dataset: str
    classnames: list[str]
    shots: int
    split_seed: int
    subsample: str
    noise: dict
    items: list[NoisyItem]
    val: list[NoisyItem] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        """Hash of all that defines the training list: the same hash means the same images with the same labels."""
        facts = [self.dataset, self.shots, self.split_seed, self.subsample, self.noise]
        lists = [[[i.impath, i.true, i.noisy] for i in part] for part in (self.items, self.val) if part]
        return hashlib.sha256(json.dumps([facts, *lists], sort_keys=True).encode()).hexdigest()

    def stats(self) -> dict:
        """Counts: items, flipped ones, realised rate, observed labels, [true, noisy, count] of the flips."""
        known = [item for item in self.items if item.true is not None]
        flips = Counter((item.true, item.noisy) for item in known if item.true != item.noisy)
        flipped, observed = sum(flips.values()), Counter(item.noisy for item in self.items)
        real = self.noise["type"] == REAL  # then `true` is known for verified labels alone, and no rate can be given
        return {
            "n": len(self.items),
            "flipped": None if real else flipped,
            "realised_rate": flipped / len(known) if known and not real else None,
            "observed_per_class": [observed[c] for c in range(len(self.classnames))],
            "flips": [[*pair, count] for pair, count in sorted(flips.items())],
        }

    def transitions(self) -> list[list[int]]:
        """[C][C] counts: true class by observed class."""
        counts = Counter((item.true, item.noisy) for item in self.items if item.true is not None)
        classes = range(len(self.classnames))
        return [[counts[t, o] for o in classes] for t in classes]

    def file(self, folder: str | Path) -> Path:
        """The path of the manifest below a dataset's folder."""
        part = "" if self.subsample == "all" else f"_{self.subsample}"
        name = self.noise["type"]
        if name != REAL:
            name += f"_r{round(1000 * self.noise['rate']):04d}_n{self.noise['seed']}{'_val' if self.val else ''}"
        return Path(folder) / "noise" / f"{self.shots}shot_split{self.split_seed}{part}" / f"{name}.json"

    def write(self, file: str | Path) -> None:
        """Write the JSON file atomically, with statistics and hash."""
        write_json(
            {
                "format": FORMAT,
                "dataset": self.dataset,
                "num_classes": len(self.classnames),
                "classnames": self.classnames,
                "shots": self.shots,
                "split_seed": self.split_seed,
                "subsample": self.subsample,
                "noise": self.noise,
                "stats": self.stats(),
                "items_sha256": self.sha256,
                "items": [vars(item) for item in self.items],
                **({"val": [vars(item) for item in self.val]} if self.val else {}),
            },
            str(file),
        )

    def train_list(self, image_dir: str, domains: Mapping[str, int] | None = None) -> list[Datum]:
        """The training items: `label` is the observed label, `gttarget` the true one (-1: unknown)."""
        return self._as_items(self.items, image_dir, domains)

    def val_list(self, image_dir: str, domains: Mapping[str, int] | None = None) -> list[Datum]:
        """The validation items, as in `train_list`; empty if the validation set is clean."""
        return self._as_items(self.val, image_dir, domains)

    def _as_items(self, items: list[NoisyItem], image_dir: str, domains: Mapping[str, int] | None) -> list[Datum]:
        found = []
        for item in items:
            path = os.path.join(image_dir, item.impath)
            if not os.path.isfile(path):
                raise InputError(
                    f"The noise manifest lists {path}, which does not exist: it was made for another copy of the "
                    "dataset; make it anew (python -m datasets noise), or restore the image."
                )
            datum = Datum(path, item.noisy, (domains or {}).get(path, 0), self.classnames[item.noisy])
            datum.gttarget = -1 if item.true is None else item.true
            found.append(datum)
        return found


def read_manifest(file: str | Path) -> Manifest:
    """Read a manifest. InputError for a missing or damaged file, another format, labels out of range, a wrong hash."""
    try:
        data = read_json(file)
        if data["format"] != FORMAT:
            raise ValueError(f"its format is {data['format']!r}, not {FORMAT}")
        items, val = (
            [NoisyItem(row["impath"], row["true"], row["noisy"]) for row in rows]
            for rows in (data["items"], data.get("val", []))
        )
        keys = ("dataset", "classnames", "shots", "split_seed", "subsample", "noise")
        manifest = Manifest(*(data[key] for key in keys), items, val)
        classes = range(len(manifest.classnames))
        if any(i.noisy not in classes or not (i.true is None or i.true in classes) for i in (*items, *val)):
            raise ValueError("a label is none of its classes")
    except FileNotFoundError as error:
        raise InputError(f"There is no noise manifest {file}; make it with python -m datasets noise.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is not a noise manifest ({type(error).__name__}: {error}); make it anew.") from error
    if manifest.sha256 != data.get("items_sha256"):
        raise InputError(f"{file} was changed after it was made: its hash does not fit; make it anew.")
    return manifest


def check_fits(manifest: Manifest, wanted: dict, file: str | Path) -> None:
    """Raises InputError unless the manifest is about this dataset, these classes, shots and seed."""
    for key, value in wanted.items():
        found = getattr(manifest, key)
        if found == value:
            continue
        if isinstance(value, str) or not isinstance(value, Sequence):
            text = f"{key} {found!r}, this run has {value!r}"
        elif len(found) != len(value):
            text = f"{key} {len(found)} classes, this run has {len(value)}"
        else:
            mine, theirs = next(pair for pair in zip(value, found, strict=True) if pair[0] != pair[1])
            text = f"other {key}: {theirs!r}, this run has {mine!r}"
        raise InputError(f"{file} was made for {text}; give the manifest that fits.")
