"""Where each dataset comes from. Addresses and checksums are torchvision's own constants where it has them.

`checksum` None means that the publisher gives none and none is known for certain: then only the length of the
transfer and the archive's own sums are checked. Google Drive ids are those of CoOp's DATASETS.md
(ImageNet-Sketch's: its authors'); Drive has no checksums.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torchvision.datasets import CIFAR10, CIFAR100, DTD, STL10, SUN397, Country211, Flowers102, Food101, OxfordIIITPet
from torchvision.datasets import FGVCAircraft as Aircraft

from .drive import PREFIX, view


@dataclass(frozen=True)
class Source:
    """One file to fetch, and the names that it gives in the dataset's folder."""

    url: str  # http(s), or gdrive:<id>
    file: str  # its name while it is transferred; an archive by its suffix
    gives: tuple[str, ...]  # names in the dataset's folder; if all exist, nothing is fetched
    checksum: str | None = None  # "md5:<hex>" or "sha256:<hex>"
    rename: Mapping[str, str] = field(default_factory=dict)  # name in the archive -> name in the folder
    inner: str = ""  # an archive in the archive, which holds the data
    same_as: str = ""  # a file, relative to the dataset's folder, that may be copied instead
    hint: str = ""  # for the message if the address does not answer

    @property
    def page(self) -> str:
        return view(self.url) if self.url.startswith(PREFIX) else self.url

    def is_in(self, folder: Path) -> bool:
        return all((folder / name).exists() for name in self.gives)


def _drive(file_id: str, name: str, *gives: str, same_as: str = "") -> Source:
    return Source(PREFIX + file_id, name, gives or (name,), same_as=same_as)


def _md5(value: str) -> str:
    return f"md5:{value}"


def _flowers(key: str, *gives: str) -> Source:
    name, md5 = Flowers102._file_dict[key]
    return Source(Flowers102._download_url_prefix + name, name, gives, _md5(md5))


CLASSNAMES = "1-61f_ol79pViBFDG_IDlUQSwoLcn2XXF"
NAMES = _drive(CLASSNAMES, "classnames.txt", same_as="../imagenet/classnames.txt")

RECIPES: dict[str, tuple[Source, ...]] = {
    "Caltech101": (
        _drive("1hyarUivQE36mY6jSomru6Fjd-JzwcCzN", "split_zhou_Caltech101.json"),
        Source(
            "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
            "caltech-101.zip",
            ("101_ObjectCategories",),
            "md5:3138e1922a9193bfa496528edbbc45d0",
            inner="101_ObjectCategories.tar.gz",
        ),
    ),
    "OxfordPets": (
        _drive("1501r8Ber4nNKvmlFVQZ8SeUHTcdTTEqs", "split_zhou_OxfordPets.json"),
        *(
            Source(url, url.rpartition("/")[2], (url.rpartition("/")[2].partition(".")[0],), _md5(md5))
            for url, md5 in OxfordIIITPet._RESOURCES
        ),
    ),
    "OxfordFlowers": (
        _drive("1Pp0sRXzZFZq15zVOzKjKBu4A9i01nozT", "split_zhou_OxfordFlowers.json"),
        _drive("1AkcxCXeK_RCGCEC_GvmWxjcjaNhu-at0", "cat_to_name.json"),
        _flowers("label", "imagelabels.mat"),
        _flowers("image", "jpg"),
    ),
    "Food101": (
        _drive("1QK0tGi096I0Ba6kggatX1ee6dJFIcEJl", "split_zhou_Food101.json"),
        Source(Food101._URL, "food-101.tar.gz", ("images", "meta"), _md5(Food101._MD5)),
    ),
    "FGVCAircraft": (
        Source(
            Aircraft._URL,
            "fgvc-aircraft-2013b.tar.gz",
            ("images", "variants.txt", *(f"images_variant_{part}.txt" for part in ("train", "val", "test"))),
            "md5:d4acdd33327262359767eeaa97a4f732",
        ),
    ),
    "SUN397": (
        _drive("1y2RD81BYuiyvebdN-JymPfyWYcd8_MUq", "split_zhou_SUN397.json"),
        Source(
            SUN397._DATASET_URL,
            "SUN397.tar.gz",
            ("SUN397",),
            _md5(SUN397._DATASET_MD5),
            hint="Princeton has been reported to have taken the file (37 GB) down.",
        ),
    ),
    "DescribableTextures": (
        _drive("1u3_QfB467jqHgNXC00UIzbLZRQCg2S7x", "split_zhou_DescribableTextures.json"),
        Source(DTD._URL, "dtd-r1.0.1.tar.gz", ("images",), _md5(DTD._MD5)),
    ),
    "EuroSAT": (
        _drive("1Ip7yaCWFi0eaOFUGga0lUdVi_DDQth1o", "split_zhou_EuroSAT.json"),
        Source(  # a copy of the publisher's file, whose own server has an expired certificate
            "https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
            "EuroSAT.zip",
            ("2750",),
            "md5:c8fa014336c82ac7804f0398fcb19387",
        ),
    ),
    "UCF101": (
        _drive("1I0S0q91hJfsV9Gf4xDIjgDq4AqBNJb1y", "split_zhou_UCF101.json"),
        _drive("10Jqome3vtUA2keJkNanAiFpgbyC9Hc2O", "UCF-101-midframes.zip", "UCF-101-midframes"),
    ),
    "ImageNetV2": (
        NAMES,
        Source(
            "https://huggingface.co/datasets/vaishaal/ImageNetV2/resolve/main/imagenetv2-matched-frequency.tar.gz",
            "imagenetv2-matched-frequency.tar.gz",
            ("imagenetv2-matched-frequency-format-val",),
        ),
    ),
    "ImageNetSketch": (
        NAMES,
        Source(
            PREFIX + "1Mj0i5HBthqH1p_yeXzsg22gZduvgoNeA",
            "ImageNet-Sketch.zip",
            ("images",),
            rename={"sketch": "images"},
        ),
    ),
    "ImageNetA": (
        NAMES,
        Source(
            "https://people.eecs.berkeley.edu/~hendrycks/imagenet-a.tar",
            "imagenet-a.tar",
            ("imagenet-a",),
            "md5:c3e55429088dc681f30d81f4726b6595",
        ),
    ),
    "ImageNetR": (
        NAMES,
        Source(
            "https://people.eecs.berkeley.edu/~hendrycks/imagenet-r.tar",
            "imagenet-r.tar",
            ("imagenet-r",),
            "md5:a61312130a589d0ca1a8fca1f2bd3337",
        ),
    ),
    "CIFAR10": (Source(CIFAR10.url, CIFAR10.filename, ("cifar-10-batches-py",), _md5(CIFAR10.tgz_md5)),),
    "CIFAR100": (Source(CIFAR100.url, CIFAR100.filename, ("cifar-100-python",), _md5(CIFAR100.tgz_md5)),),
    "STL10": (Source(STL10.url, STL10.filename, ("stl10_binary",), _md5(STL10.tgz_md5)),),
    "Caltech256": (
        Source(
            "https://data.caltech.edu/records/nyy15-4j048/files/256_ObjectCategories.tar",
            "256_ObjectCategories.tar",
            ("256_ObjectCategories",),
            "md5:67b4f42ca05d46448c6bb8ecd2220f6d",
        ),
    ),
    "Country211": (Source(Country211._URL, "country211.tgz", ("test", "train", "valid"), _md5(Country211._MD5)),),
    "TinyImageNet": (
        Source(
            "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
            "tiny-imagenet-200.zip",
            ("train", "val", "wnids.txt"),
        ),
    ),
}


def _other_split(name: str, *more: Source) -> tuple[Source, ...]:
    """The sources of a dataset's images, without CoOp's split file; `more` takes the place of a source of its name."""
    own = {source.file: source for source in RECIPES[name] if not source.file.startswith("split_zhou")}
    return tuple((own | {source.file: source for source in more}).values())


RECIPES |= {
    "Caltech101TTC": _other_split("Caltech101"),
    "EuroSATTTC": _other_split("EuroSAT"),
    "SUN397TTC": _other_split("SUN397"),
    "Food101TTC": _other_split("Food101"),
    "DescribableTexturesTTC": _other_split(
        "DescribableTextures", Source(DTD._URL, "dtd-r1.0.1.tar.gz", ("images", "labels"), _md5(DTD._MD5))
    ),
    "OxfordFlowersTTC": _other_split("OxfordFlowers", _flowers("setid", "setid.mat")),
}
