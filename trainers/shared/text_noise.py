"""Noise in the text of a test: TEST.TEXT_NOISE.KIND typo TEST.TEXT_NOISE.STRENGTH 0.1, for any trained model.

The noise depends on (seed, dataset, kind, class name) alone, so it is the same for all methods and for any set of other
classes. Labels, images and the names in results.json do not change. Descriptions of classes are still found by the
clean name.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from importlib import import_module

import torch
from torch import Tensor
from yacs.config import CfgNode

from clipkit import derive_seed, normalize
from dassl.config.domains import NOT_NEGATIVE, Domain, choice, whole
from dassl.config.shown import data_name
from dassl.utils import InputError

T = "TEST.TEXT_NOISE."
RATES = ("typo", "case", "ocr", "synonym")  # kinds whose strength is a share, 0 to 1
COUNTS = ("distractor", "paraphrase", "template")  # kinds whose strength is a whole number
KINDS = (*RATES, *COUNTS, "embedding")
CONFIG_DEFAULTS = {
    T + "KIND": "",  # one of KINDS; "": clean text
    T + "STRENGTH": 0.0,  # share of letters or names; count of words; number of the sentence; length of the noise
    T + "SEED": -1,  # negative: the run's
}
CONFIG_DOMAINS: dict[str, Domain] = {
    T + "KIND": choice("", *KINDS),
    T + "STRENGTH": NOT_NEGATIVE,
    T + "SEED": whole(-1),
}

ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")  # of the keyboard: a typing error hits a key beside the right one
LOOKALIKE = {
    "o": "0", "l": "1", "i": "l", "e": "c", "c": "e", "a": "o", "s": "5", "b": "6", "g": "9", "z": "2", "m": "rn",
    "w": "vv", "d": "cl", "h": "b", "n": "ri", "u": "v", "v": "u", "t": "f", "f": "t", "r": "n", "k": "lc", "q": "g",
    "y": "v", "p": "n", "j": "i", "x": "k",
}  # fmt: skip
DISTRACTORS = (
    "table", "window", "river", "paper", "button", "cloud", "engine", "basket", "candle", "bridge", "pillow", "ladder",
    "carpet", "bottle", "garden", "mirror", "pencil", "tunnel", "blanket", "hammer", "ticket", "corner", "market",
    "kettle", "feather", "stone", "wagon", "curtain", "needle", "island",
)  # fmt: skip
PARAPHRASES = (
    "the {}", "one {}", "some kind of {}", "an example of {}", "{} in this picture", "what people call {}",
    "a close view of the {}", "{} as anyone would see it", "something known as {}", "the thing named {} here",
)  # fmt: skip


def add_text_noise_defaults(cfg: CfgNode) -> None:
    """Adds TEST.TEXT_NOISE.*."""
    cfg.TEST.TEXT_NOISE = CfgNode({key.removeprefix(T): value for key, value in CONFIG_DEFAULTS.items()})


def typo(name: str, rate: float, draw: random.Random) -> str:
    """With this probability a letter is dropped, doubled, swapped with the next, or replaced by a neighbouring key."""
    letters, i = list(name), 0
    while i < len(letters):
        if letters[i].isalpha() and draw.random() < rate:
            what = draw.choice(("drop", "double", "swap", "beside"))
            if what == "swap" and i + 1 < len(letters):
                letters[i : i + 2] = letters[i + 1], letters[i]
                i += 1
            elif what == "drop" and sum(x.isalpha() for x in letters) > 1:
                letters[i] = ""
            elif what == "double":
                letters[i] *= 2
            else:
                letters[i] = _beside(letters[i], draw)
        i += 1
    return "".join(letters).strip() or name


def _beside(letter: str, draw: random.Random) -> str:
    row = next((row for row in ROWS if letter.lower() in row), "")
    near = [row[k] for k in (row.find(letter.lower()) - 1, row.find(letter.lower()) + 1) if row and 0 <= k < len(row)]
    return draw.choice(near) if near else letter


def case(name: str, rate: float, draw: random.Random) -> str:
    """Each letter changes between upper and lower case with this probability."""
    return "".join(x.swapcase() if draw.random() < rate else x for x in name)


def ocr(name: str, rate: float, draw: random.Random) -> str:
    """With this probability a letter is replaced by one that looks similar."""
    return "".join(LOOKALIKE.get(x.lower(), x) if draw.random() < rate else x for x in name)


def distractor(name: str, count: float, draw: random.Random) -> str:
    """Adds `count` words for other things, each before or after the name."""
    found = name
    for word in draw.sample(DISTRACTORS, int(count)):
        found = f"{word} {found}" if draw.random() < 0.5 else f"{found} {word}"
    return found


def paraphrase(name: str, number: float, draw: random.Random) -> str:
    """The name in one of the phrases of `PARAPHRASES`, counted from 1."""
    return PARAPHRASES[int(number) - 1].format(name)


NOISES: dict[str, Callable[[str, float, random.Random], str]] = {
    "typo": typo, "case": case, "ocr": ocr, "distractor": distractor, "paraphrase": paraphrase,
}  # fmt: skip


def most(kind: str) -> float:
    """The largest strength of a kind."""
    from datasets.templates import FULL80

    largest = {
        "distractor": len(DISTRACTORS),
        "paraphrase": len(PARAPHRASES),
        "template": len(FULL80),
        "embedding": 100,
    }
    return largest.get(kind, 1)


def check_strength(kind: str, strength: float) -> None:
    """Raises InputError for a strength that the kind cannot have."""
    least = 1 if kind in COUNTS else 0
    if not least <= strength <= most(kind) or (kind in COUNTS and strength != int(strength)):
        what = "a whole number" if kind in COUNTS else "a number"
        raise InputError(f"The strength of {kind} is {strength:g}, but must be {what} from {least} to {most(kind):g}.")


class TextNoise:
    """The noise of one test. names: the class names that the model reads. template: in the place of a
    hand-written prompt; "" for its own."""

    def __init__(self, cfg: CfgNode, names: Sequence[str], hand_written: bool = False) -> None:
        given = cfg.TEST.get("TEXT_NOISE")
        self.kind: str = given.KIND if given is not None else ""
        self.names, self.template, self.used = list(names), "", False
        if not self.kind:
            return
        self.strength, self.dataset = float(given.STRENGTH), data_name(cfg)
        self.seed = max(cfg.SEED, 0) if given.SEED < 0 else given.SEED
        check_strength(self.kind, self.strength)
        if self.kind == "template":
            if not hand_written:
                raise InputError(
                    f"{T}KIND template takes the place of a hand-written prompt, and {cfg.TRAINER.NAME} has none; "
                    "paraphrase puts words around the class name of any method."
                )
            from datasets.templates import FULL80

            self.template = FULL80[int(self.strength) - 1]
        elif self.kind == "synonym":
            self.names = [self._synonym(name, others) for name, others in self._synonyms(names).items()]
        elif self.kind in NOISES:
            self.names = [NOISES[self.kind](name, self.strength, self._draw(name)) for name in names]

    def _draw(self, name: str) -> random.Random:
        return random.Random(derive_seed(self.seed, "text noise", self.dataset, self.kind, name))

    def _synonym(self, name: str, others: Sequence[str]) -> str:
        draw = self._draw(name)
        return draw.choice(others) if others and draw.random() < self.strength else name

    def _synonyms(self, names: Sequence[str]) -> dict[str, list[str]]:
        # By name, so that methods that are exported without the language caches do not take all of them along.
        aliases = getattr(import_module("language").load_cache(self.dataset), "aliases", None) or {}
        if not aliases:
            raise InputError(
                f"{T}KIND synonym: the language cache of {self.dataset} has no other names of its classes."
            )
        return {name: sorted(other for other, of in aliases.items() if of == name) for name in names}

    def facts(self, clean: Sequence[str]) -> dict:
        """The manifest for results.json: kind, strength, seed, the names, how many differ, and a hash of all that."""
        told: dict = {"kind": self.kind, "strength": self.strength, "seed": self.seed, "names": self.names}
        told |= {"template": self.template} if self.template else {}
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        changed = sum(a != b for a, b in zip(self.names, clean, strict=True))
        return told | {"changed": changed, "sha256": digest}

    def check_used(self, method: str) -> None:
        """Raises InputError after a test with noise on embeddings if the method never used them."""
        if self.kind == "embedding" and not self.used:
            raise InputError(f"{T}KIND embedding has no effect on {method}, which does not compare by `logits`.")

    def moved(self, features: Tensor) -> Tensor:
        """Text features [C, d] or [B, C, d], normalised, with noise on each class's embedding: t + strength n, n of
        length about 1, normalised again. Without noise on embeddings, the features themselves.

        Raises InputError for features of other texts than the classes.
        """
        if self.kind != "embedding":
            return features
        if features.shape[-2] != len(self.names):
            raise InputError(
                f"{T}KIND embedding is noise on class features, but this method compares with other texts."
            )
        self.used = True
        width = features.shape[-1]
        drawn = [
            torch.Generator().manual_seed(derive_seed(self.seed, "embedding", self.dataset, n)) for n in self.names
        ]
        noise = torch.stack([torch.randn(width, generator=g) for g in drawn]) / width**0.5
        return normalize(features.float() + self.strength * noise.to(features.device)).to(features.dtype)
