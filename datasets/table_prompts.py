"""Prompts of two families of test-time tables: TTC's (one for each dataset) and CLIP_benchmark's (several, averaged).

Both word classes in their own way in places. A dataset that a table does not name has its DEFAULT.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from .templates import FULL80

KINDS = ("ttc", "clip_benchmark")

# ------------------------------------------------------------------ TTC (Xing et al., CVPR 2025)

TTC_DEFAULT = "This is a photo of a {}."
TTC = {
    "Caltech256": "A photo of a {}.",
    "StanfordCars": "A photo of a {}.",
    "OxfordPets": "A photo of a {}, a type of pet.",
    "OxfordFlowers": "A photo of a {}, a type of flower.",
    "Food101": "A photo of {}, a type of food.",
    "FGVCAircraft": "A photo of a {}, a type of aircraft.",
    "DescribableTextures": "A surface with a {} texture.",
    "EuroSAT": "A centered satellite photo of {}.",
    "Country211": "A photo I took in {}.",
    "PCAM": "This is a photo of a {} tissue.",
}
# Folders that CoOp renames; both kinds of faces are called alike, and stay two labels.
_CALTECH101 = {
    "airplane": "airplanes", "leopard": "Leopards", "motorbike": "Motorbikes",
    "face": "person", "off-center face": "person", "centered face": "person",
}  # fmt: skip


def _boeing(name: str) -> str:
    return f"Boeing {name}" if name.startswith("7") else name


def _no_year(name: str) -> str:
    return re.sub(r"^\d{4} | \d{4}$", "", name)


TTC_NAMES: dict[str, Callable[[str], str]] = {
    "OxfordPets": str.lower,
    "OxfordFlowers": str.lower,
    "Food101": str.lower,
    "FGVCAircraft": lambda name: _boeing(name.lower()),
    "StanfordCars": lambda name: _no_year(name).lower(),
    "PCAM": lambda name: "lymph node tumor" if "tumor" in name else "healthy lymph node",
    "CIFAR100": lambda name: name.replace(" ", "_"),
    "Caltech101": lambda name: _CALTECH101.get(name, name.replace(" ", "_")),
}

# ------------------------------------------------------------------ CLIP_benchmark (LAION; the wordings are OpenAI's)

_CIFAR = [
    text.format("{}", article=article)
    for article in ("a", "the")
    for text in (
        "a photo of {article} {}.", "a blurry photo of {article} {}.", "a black and white photo of {article} {}.",
        "a low contrast photo of {article} {}.", "a high contrast photo of {article} {}.",
        "a bad photo of {article} {}.", "a good photo of {article} {}.", "a photo of {article} small {}.",
        "a photo of {article} big {}.",
    )
]  # fmt: skip
_CALTECH = [
    text.format("{}", article=article)
    for article in ("a", "the")
    for text in (
        "a photo of {article} {}.", "a painting of {article} {}.", "{article} plastic {}.",
        "a sculpture of {article} {}.", "a sketch of {article} {}.", "a tattoo of {article} {}.", "{article} toy {}.",
        "a rendition of {article} {}.", "{article} embroidered {}.", "{article} cartoon {}.",
        "{article} {} in a video game.", "{article} plushie {}.", "{article} origami {}.", "art of {article} {}.",
        "graffiti of {article} {}.", "a drawing of {article} {}.", "a doodle of {article} {}.",
    )
]  # fmt: skip
_TEXTURES = [f"a photo of {a} {{}} {what}." for a in ("a", "the") for what in ("texture", "pattern", "thing", "object")]
CLIP_BENCHMARK_DEFAULT = list(FULL80)  # ImageNet and its variants
CLIP_BENCHMARK = {
    "CIFAR10": _CIFAR,
    "CIFAR100": _CIFAR,
    "Caltech101": _CALTECH,
    "DescribableTextures": _TEXTURES,
    "STL10": ["a photo of a {}.", "a photo of the {}."],
    "SUN397": ["a photo of a {}.", "a photo of the {}."],
    "Food101": ["a photo of {}, a type of food."],
    "OxfordPets": ["a photo of a {}, a type of pet."],
    "OxfordFlowers": ["a photo of a {}, a type of flower."],
    "FGVCAircraft": ["a photo of a {}, a type of aircraft.", "a photo of the {}, a type of aircraft."],
    "StanfordCars": [
        "a photo of a {}.", "a photo of the {}.", "a photo of my {}.", "i love my {}!", "a photo of my dirty {}.",
        "a photo of my clean {}.", "a photo of my new {}.", "a photo of my old {}.",
    ],
    "EuroSAT": [f"a centered satellite photo of {a}{{}}." for a in ("", "a ", "the ")],
    "Country211": [
        "a photo i took in {}.", "a photo i took while visiting {}.", "a photo from my home country of {}.",
        "a photo from my visit to {}.", "a photo showing the country of {}.",
    ],
    "PCAM": ["a histopathology slide showing {}", "histopathology image of {}"],
}  # fmt: skip
_EUROSAT = {
    "Annual Crop Land": "annual crop land",
    "Forest": "forest",
    "Herbaceous Vegetation Land": "brushland or shrubland",
    "Highway or Road": "highway or road",
    "Industrial Buildings": "industrial buildings or commercial buildings",
    "Pasture Land": "pasture land",
    "Permanent Crop Land": "permanent crop land",
    "Residential Buildings": "residential buildings or homes or apartments",
    "River": "river",
    "Sea or Lake": "lake or sea",
}
CLIP_BENCHMARK_NAMES: dict[str, Callable[[str], str]] = {"EuroSAT": lambda name: _EUROSAT.get(name, name)}


def prompts(kind: str, dataset: str, names: Sequence[str]) -> list[list[str]]:
    """The texts of the classes `names` (spaces for underscores), a list for each template.

    kind: one of KINDS. dataset: registry name; a set in TTC's splits (EuroSATTTC) has the prompts of the same images.
    """
    own = dataset.removesuffix("TTC")
    if kind == "ttc":
        templates, rename = [TTC.get(own, TTC_DEFAULT)], TTC_NAMES.get(own, str)
    else:
        templates, rename = CLIP_BENCHMARK.get(own, CLIP_BENCHMARK_DEFAULT), CLIP_BENCHMARK_NAMES.get(own, str)
    return [[template.format(rename(name)) for name in names] for template in templates]
