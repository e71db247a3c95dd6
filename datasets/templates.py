"""Hand-crafted prompt templates: per dataset, as the methods word them, and CLIP's ensembles for ImageNet.

`{}` is the class name with spaces for underscores, case kept. The wordings are verbatim: results depend on the
full stop and on "a" against "an". Datasets that a table does not name use `a photo of a {}.`
"""

from __future__ import annotations

DEFAULT = "a photo of a {}."

# Sets that come with the project: every style uses the same words, those that the small CLIP was trained on.
EMBEDDED = {
    "Digits": "a photo of the digit {}.",
    "Textures": "{} texture.",
    "Letters": "a photo of the letter {}.",
    "Objects": "a drawing of a {}.",
}

# CoOp's zero-shot prompts; also MMRL's and ANPrompt's text input.
COOP = {
    "OxfordPets": "a photo of a {}, a type of pet.",
    "OxfordFlowers": "a photo of a {}, a type of flower.",
    "FGVCAircraft": "a photo of a {}, a type of aircraft.",
    "DescribableTextures": "{} texture.",
    "EuroSAT": "a centered satellite photo of {}.",
    "Food101": "a photo of {}, a type of food.",
    "UCF101": "a photo of a person doing {}.",
    **EMBEDDED,
}
# KgCoOp's and CoPrompt's frozen prompts.
KG = {**COOP, "DescribableTextures": "a photo of a {}, a type of texture."}
# TCP's frozen prompts.
TCP = {**KG, "FGVCAircraft": "a photo of an aircraft {}.", "Food101": "a photo of a {}, a type of food."}
# The custom prompts of SAR, appendix B.
SAR = {**KG, "FGVCAircraft": "a photo of an aircraft {}."}
# ProGrad's frozen prompts put the hint first.
PROGRAD = {
    **COOP,
    "OxfordPets": "a type of pet, a photo of a {}.",
    "OxfordFlowers": "a type of flower, a photo of a {}.",
    "FGVCAircraft": "a type of aircraft, a photo of a {}.",
    "DescribableTextures": "a texture of {}.",
    "Food101": "a type of food, a photo of {}.",
}

STYLES = {"coop": COOP, "kg": KG, "tcp": TCP, "sar": SAR, "prograd": PROGRAD}

# The texts of TCP's learnable prompts. Its context replaces the first four words, even where they are no "X";
# StanfordCars has no full stop. Here too a set that is not named has `a photo of a {}.`, e.g. the ImageNet family.
TCP_LEARNABLE = {
    "OxfordPets": "X X X X {}, a type of pet.",
    "OxfordFlowers": "X X X X {}, a type of flower.",
    "FGVCAircraft": "X X X X {}, a type of aircraft.",
    "DescribableTextures": "X X X X {} texture.",
    "EuroSAT": "X X X X {}.",
    "SUN397": "X X X X {}.",
    "Caltech101": "X X X X {}.",
    "StanfordCars": "X X X X {}, a type of car",
    "Food101": "X X X X {}, a type of food.",
    "UCF101": "a photo of a person doing {}.",
    **dict.fromkeys(("Digits", "Letters", "Objects"), "X X X X {}."),
    **dict.fromkeys(("Shapes", "ShapesSketch", "ShapesClutter", "ShapesInverted"), "X X X X {}."),
    "Textures": "X X X X {} texture.",
}

# Sets of another set's classes.
SAME_AS = {"Food101N": "Food101"} | {
    f"{name}TTC": name
    for name in ("Caltech101", "EuroSAT", "SUN397", "Food101", "DescribableTextures", "OxfordFlowers")
}

# Seven templates that do well on ImageNet, chosen by CLIP's authors by forward selection.
SELECTED = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)

# The 80 templates of CLIP's ImageNet notebook, in its order (PromptSRC uses the first 60).
FULL80 = (
    "a bad photo of a {}.",
    "a photo of many {}.",
    "a sculpture of a {}.",
    "a photo of the hard to see {}.",
    "a low resolution photo of the {}.",
    "a rendering of a {}.",
    "graffiti of a {}.",
    "a bad photo of the {}.",
    "a cropped photo of the {}.",
    "a tattoo of a {}.",
    "the embroidered {}.",
    "a photo of a hard to see {}.",
    "a bright photo of a {}.",
    "a photo of a clean {}.",
    "a photo of a dirty {}.",
    "a dark photo of the {}.",
    "a drawing of a {}.",
    "a photo of my {}.",
    "the plastic {}.",
    "a photo of the cool {}.",
    "a close-up photo of a {}.",
    "a black and white photo of the {}.",
    "a painting of the {}.",
    "a painting of a {}.",
    "a pixelated photo of the {}.",
    "a sculpture of the {}.",
    "a bright photo of the {}.",
    "a cropped photo of a {}.",
    "a plastic {}.",
    "a photo of the dirty {}.",
    "a jpeg corrupted photo of a {}.",
    "a blurry photo of the {}.",
    "a photo of the {}.",
    "a good photo of the {}.",
    "a rendering of the {}.",
    "a {} in a video game.",
    "a photo of one {}.",
    "a doodle of a {}.",
    "a close-up photo of the {}.",
    "a photo of a {}.",
    "the origami {}.",
    "the {} in a video game.",
    "a sketch of a {}.",
    "a doodle of the {}.",
    "a origami {}.",
    "a low resolution photo of a {}.",
    "the toy {}.",
    "a rendition of the {}.",
    "a photo of the clean {}.",
    "a photo of a large {}.",
    "a rendition of a {}.",
    "a photo of a nice {}.",
    "a photo of a weird {}.",
    "a blurry photo of a {}.",
    "a cartoon {}.",
    "art of a {}.",
    "a sketch of the {}.",
    "a embroidered {}.",
    "a pixelated photo of a {}.",
    "itap of the {}.",
    "a jpeg corrupted photo of the {}.",
    "a good photo of a {}.",
    "a plushie {}.",
    "a photo of the nice {}.",
    "a photo of the small {}.",
    "a photo of the weird {}.",
    "the cartoon {}.",
    "art of the {}.",
    "a drawing of the {}.",
    "a photo of the large {}.",
    "a black and white photo of a {}.",
    "the plushie {}.",
    "a dark photo of a {}.",
    "itap of a {}.",
    "graffiti of the {}.",
    "a toy {}.",
    "itap of my {}.",
    "a photo of a cool {}.",
    "a photo of a small {}.",
    "a tattoo of the {}.",
)


def custom_template(dataset_name: str, style: str = "coop") -> str:
    """The hand-crafted template of a dataset (registry name, e.g. "OxfordPets") in the wording of one method.

    style: "coop" (also MMRL, ANPrompt), "kg" (KgCoOp, CoPrompt), "tcp" (frozen side), "tcp_learnable", "sar",
    "prograd". An unknown dataset gets `a photo of a {}.`; an unknown style is a KeyError.
    """
    table = TCP_LEARNABLE if style == "tcp_learnable" else STYLES[style]
    return table.get(SAME_AS.get(dataset_name, dataset_name), DEFAULT)


def template_set(kind: str, dataset_name: str, style: str = "coop") -> list[str]:
    """A list of templates: "custom" and "plain" (1), "select" (7), "select+custom" (8), "full80" (80). Unknown kind:
    KeyError."""
    custom = [custom_template(dataset_name, style)]
    sets = {
        "custom": custom,
        "plain": [DEFAULT],
        "select": list(SELECTED),
        "select+custom": [*SELECTED, *custom],
        "full80": list(FULL80),
    }
    return sets[kind]


def clean_name(classname: str) -> str:
    """A class name as prompts use it: underscores become spaces, case is kept."""
    return classname.replace("_", " ")
