"""The names of a dataset: registry name, YAML stem, and the short name of CoPrompt's files."""

from __future__ import annotations

# registry name -> stem of configs/datasets/<stem>.yaml and of language/descriptions/<stem>.json
STEMS = {
    "Caltech101": "caltech101",
    "DescribableTextures": "dtd",
    "EuroSAT": "eurosat",
    "FGVCAircraft": "fgvc_aircraft",
    "Food101": "food101",
    "ImageNet": "imagenet",
    "ImageNetA": "imagenet_a",
    "ImageNetR": "imagenet_r",
    "ImageNetSketch": "imagenet_sketch",
    "ImageNetV2": "imagenetv2",
    "OxfordFlowers": "oxford_flowers",
    "OxfordPets": "oxford_pets",
    "StanfordCars": "stanford_cars",
    "SUN397": "sun397",
    "UCF101": "ucf101",
    "Food101N": "food101n",
    "WebVisionMini": "webvision",
    "CIFAR10": "cifar10",
    "CIFAR100": "cifar100",
    "STL10": "stl10",
    "PCAM": "pcam",
    "Caltech256": "caltech256",
    "Country211": "country211",
    "TinyImageNet": "tiny_imagenet",
    "Caltech101TTC": "caltech101_ttc",
    "EuroSATTTC": "eurosat_ttc",
    "SUN397TTC": "sun397_ttc",
    "Food101TTC": "food101_ttc",
    "DescribableTexturesTTC": "dtd_ttc",
    "OxfordFlowersTTC": "oxford_flowers_ttc",
    "Folder": "folder",
    "Digits": "digits",
    "Shapes": "shapes",
    "ShapesSketch": "shapes_sketch",
    "ShapesClutter": "shapes_clutter",
    "ShapesInverted": "shapes_inverted",
    "Textures": "textures",
    "Letters": "letters",
    "Objects": "objects",
}

# Datasets without a file of sentences: CLIP's templates are used instead.
WITHOUT_SENTENCES = (
    "cifar10", "cifar100", "stl10", "pcam", "caltech256", "country211", "tiny_imagenet", "caltech101_ttc",
)  # fmt: skip

# Only these differ from the stem in CoPrompt's file names (`<short>_prompt.json`).
SHORT_NAMES = {"caltech101": "caltech", "fgvc_aircraft": "fgvc"}
_LONG_NAMES = {short: stem for stem, short in SHORT_NAMES.items()}

# Shifted and noisy variants use the classes of their source set, so also its sentences.
_FAMILY = {
    **dict.fromkeys(("imagenet_a", "imagenet_r", "imagenet_sketch", "imagenetv2", "webvision"), "imagenet"),
    "food101n": "food101",
    **{f"{stem}_ttc": stem for stem in ("eurosat", "sun397", "food101", "dtd", "oxford_flowers")},
    **dict.fromkeys(("shapes_sketch", "shapes_clutter", "shapes_inverted"), "shapes"),
}


def dataset_stem(name: str) -> str:
    """The YAML stem for a registry name, a short name or a stem; an unknown name is lower-cased."""
    return STEMS.get(name) or _LONG_NAMES.get(name, name.lower())


def cache_stem(name: str) -> str:
    """The stem whose cache serves a dataset if it has no file of its own: that of its family, or its own."""
    stem = dataset_stem(name)
    return _FAMILY.get(stem, stem)


def dassl_name(stem: str) -> str:
    """The registry name for a stem; an unknown stem is given back."""
    return next((name for name, known in STEMS.items() if known == stem), stem)
