"""The protocol of noisy text: tests a model from few_shot.sh, one kind of noise at one strength per run."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from dassl.utils import InputError
from interop.plugins.names import plain

from .arguments import Settings
from .conditions import condition_test, without
from .config_names import HAND_WRITTEN, PUBLISHED
from .words import CONFIG_KEY, meant_for, number

# The usual strengths of each kind of `trainers.shared.text_noise`, listed here so that plans need not import it.
USUAL: dict[str, tuple[str, ...]] = {
    "typo": ("0.1", "0.2", "0.4"),
    "case": ("0.5",),
    "ocr": ("0.1", "0.2", "0.4"),
    "distractor": ("1", "2", "4"),
    "paraphrase": tuple(str(i) for i in range(1, 11)),
    "embedding": ("0.2", "0.4", "0.8"),
    "synonym": ("0.5", "1"),  # only for datasets whose classes have other names
    "template": tuple(str(i) for i in range(1, 81)),  # only for zero-shot CLIP
}
ALL = tuple(USUAL)[:6]  # the kinds that apply to every method and dataset
# The largest strength of the kinds with a whole number from 1, and of the others, from 0. Repeated here, too.
COUNTS = {"distractor": 30, "paraphrase": 10, "template": 80}
LENGTHS = {"typo": 1, "case": 1, "ocr": 1, "synonym": 1, "embedding": 100}


def points(kind: str, strengths: Sequence[str]) -> list[tuple[str, str]]:
    """(kind, strength) for each strength; of "all" strengths, the usual ones; of "all" kinds, `ALL`.

    Raises InputError for an unknown kind, and for a strength that the kind cannot have.
    """
    if kind == "all":
        return [point for each in ALL for point in points(each, strengths)]
    if kind not in USUAL:
        near = difflib.get_close_matches(kind.casefold(), USUAL, n=3, cutoff=0.4)
        known = ", ".join(dict.fromkeys([*near, *USUAL]))
        raise InputError(f"There is no kind of text noise {kind!r}; known, nearest first: {known}, and all.")
    found = []
    for text in strengths:
        value = number(text)
        if text != "all" and (value is None or not _fits(kind, value)):
            raise InputError(_wrong(kind, text, value))
        found += [(kind, each) for each in (USUAL[kind] if text == "all" else (f"{value:g}",))]
    return list(dict.fromkeys(found))


def _fits(kind: str, strength: float) -> bool:
    if kind in COUNTS:
        return 1 <= strength <= COUNTS[kind] and strength == int(strength)
    return 0 <= strength <= LENGTHS[kind]


def _wrong(kind: str, text: str, value: float | None) -> str:
    """The sentence on a strength that the kind cannot have, with the kinds that can."""
    counted = kind in COUNTS
    what = f"a whole number from 1 to {COUNTS[kind]}" if counted else f"a number from 0 to {LENGTHS[kind]}"
    others = [name for name in ALL if name != kind and value is not None and _fits(name, value)]
    more = f"; {text} is a strength of {', '.join(others)}" if others else ""
    return f"The strength of {kind} is {text!r}, but must be {what}, such as {USUAL[kind][0]}, or all{more}."


def check_kind(kind: str, trainer: str, dataset: str) -> None:
    """Raises InputError for a kind that the method or the dataset has no text for."""
    if kind == "template" and trainer in PUBLISHED and trainer not in HAND_WRITTEN:
        raise InputError(
            f"template takes the place of a hand-written prompt, and {trainer} has none; take paraphrase, which puts "
            f"words around the class name of any method, or one of {', '.join(HAND_WRITTEN)}."
        )
    if kind == "synonym":
        from language import load_cache  # imported here: it takes a fifth of a second

        if not getattr(load_cache(plain(dataset)), "aliases", None):
            raise InputError(
                f"synonym takes other names of the classes, and the language cache of {dataset} has none; take another "
                "kind, or a dataset with ImageNet's classes."
            )


def spread(pairs: Sequence[str]) -> list[tuple[str, ...]]:
    """The pairs of each run. Their first two words, KINDS and STRENGTHS with commas, are replaced by one kind and one
    strength; without these words, by each usual one. Raises InputError for wrong words."""
    words, rest = ("all", "all"), tuple(pairs)
    if kind := meant_for(rest, (*USUAL, "all")):
        raise InputError(
            f"{rest[0]} is neither a config key nor a kind of text noise; if {kind} is meant, write {kind}."
        )
    if rest and not CONFIG_KEY.fullmatch(rest[0]):
        if len(rest) < 2 or CONFIG_KEY.fullmatch(rest[1]):
            raise InputError(f"STRENGTHS must follow {rest[0]!r}: numbers with commas, such as 0.1,0.4, or all.")
        words, rest = (rest[0], rest[1]), rest[2:]
    found = [point for kind in words[0].split(",") for point in points(kind, words[1].split(","))]
    return [(*point, *rest) for point in dict.fromkeys(found)]


def text_noise_test(trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: test on all classes, with one kind of noise at one strength, the first two words of the
    pairs. Raises InputError for wrong words, or if the method is not trained."""
    (kind, strength, *_), *more = spread(settings.pairs)
    if more:
        raise InputError("A run has one kind of noise at one strength; text_noise_test.sh takes several.")
    check_kind(kind, trainer, dataset)
    pairs = ["TEST.TEXT_NOISE.KIND", kind, "TEST.TEXT_NOISE.STRENGTH", strength]
    return condition_test("text_noise", f"{kind}-{strength}", pairs, trainer, dataset, seed, without(settings, 2))


PROTOCOLS = {"text_noise_test": text_noise_test}
