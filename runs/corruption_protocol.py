"""The protocol of corrupted test images: tests a model from few_shot.sh, one corruption at one severity per run."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from dassl.utils import InputError

from .arguments import Settings
from .conditions import condition_test, without
from .words import CONFIG_KEY, meant_for

# The names in `datasets.corruption.recipe`, repeated here so that plans need not import it; a test compares them.
GROUPS = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
    "extra": ("speckle_noise", "gaussian_blur", "spatter", "saturate"),
}
FIFTEEN = tuple(name for group, names in GROUPS.items() if group != "extra" for name in names)
NAMES = (*FIFTEEN, *GROUPS["extra"])
SEVERITIES = ("1", "2", "3", "4", "5")


def names_of(parts: Sequence[str]) -> list[str]:
    """Corruptions from names and groups (`all`: the 15 of ImageNet-C). Raises InputError for an unknown one."""
    groups = {"all": FIFTEEN, **GROUPS}
    for part in parts:
        if part not in groups and part not in NAMES:
            near = difflib.get_close_matches(part.casefold(), [*NAMES, *groups], n=3, cutoff=0.4)
            known = ", ".join(dict.fromkeys([*near, *NAMES]))
            raise InputError(
                f"There is no corruption {part!r}; known, nearest first: {known}; groups: {', '.join(groups)}."
            )
    return list(dict.fromkeys(name for part in parts for name in groups.get(part, (part,))))


def spread(pairs: Sequence[str]) -> list[tuple[str, ...]]:
    """The pairs of each run. Their first two words, CORRUPTIONS and SEVERITIES with commas, are replaced by one
    corruption and one severity; without these words, by each of the 15 at each severity. Raises InputError for wrong
    words."""
    words, rest = ("all", ",".join(SEVERITIES)), tuple(pairs)
    if name := meant_for(rest, (*NAMES, *GROUPS, "all")):
        raise InputError(f"{rest[0]} is neither a config key nor a corruption; if {name} is meant, write {name}.")
    if rest and not CONFIG_KEY.fullmatch(rest[0]):
        if len(rest) < 2 or CONFIG_KEY.fullmatch(rest[1]):
            raise InputError(f"SEVERITIES must follow {rest[0]!r}: numbers from 1 to 5 with commas, such as 1,3,5.")
        words, rest = (rest[0], rest[1]), rest[2:]
    return [(name, level, *rest) for name in names_of(words[0].split(",")) for level in _levels(words[1])]


def _levels(text: str) -> list[str]:
    found = SEVERITIES if text == "all" else text.split(",")
    if wrong := [level for level in found if level not in SEVERITIES]:
        raise InputError(f"SEVERITIES has {wrong[0]!r}, but a severity is a number from 1 to 5.")
    return list(dict.fromkeys(found))


def corruption_test(trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: test on all classes, on pictures of one corruption and severity, the first two words of
    the pairs. Raises InputError for wrong words, or if the method is not trained."""
    (name, level, *_), *more = spread(settings.pairs)
    if more:
        raise InputError("A run has one corruption at one severity; corruption_test.sh takes several.")
    pairs = ["TEST.CORRUPTION.NAME", name, "TEST.CORRUPTION.SEVERITY", level]
    return condition_test("corruption", f"{name}-{level}", pairs, trainer, dataset, seed, without(settings, 2))


PROTOCOLS = {"corruption_test": corruption_test}
