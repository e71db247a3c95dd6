"""Caption grammar of the embedded CLIP's training pairs, and its tokenizer onto a compact table."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Iterable
from pathlib import Path

from clip.clip import _tokenizer as bpe

from datasets import templates

from .vocab import COLOURS, DIGITS, HELD_OUT, LETTERS, NOUNS, PATTERNS, SHAPES, TEXTURES

DESCRIPTIONS = Path(__file__).resolve().parents[2] / "language" / "descriptions"
_COLOUR_NAMES = tuple(COLOURS)

# Ways to wrap a noun phrase; {} is the phrase without an article.
_PLAIN = (
    "a photo of a {}", "a photo of the {}", "a centered photo of a {}", "a picture of a {}", "an image of a {}",
    "there is a {} in the photo", "this is a {}", "this is a photo of a {}", "a type of {}", "a photo of {}",
    "a photo of one {}", "a photo of a {}, a type of shape", "X X X X {}", "an example of a {}",
)  # fmt: skip
# CLIP's ImageNet templates state none of the attributes, so any image may get any of them.
_ENSEMBLE = templates.FULL80 + templates.SELECTED
_OTHER = tuple(t for style in templates.STYLES.values() for t in style.values())  # other sets' words, seen as filler
_DRAWN = (
    "a drawing of a {}", "a sketch of a {}", "an outline of a {}", "a line drawing of a {}", "the outline of the {}",
    "a pencil sketch of a {}", "a simple drawing of a {}", "{} drawn by hand", "a black and white drawing of a {}",
)  # fmt: skip
_CLUTTERED = (
    "a cluttered scene with a {}", "a {} among other shapes", "a photo of a {} in clutter", "a busy picture of a {}",
)  # fmt: skip
_BLURRED = (
    "a blurry photo of a {}", "a bad photo of a {}", "a blurry picture of a {}", "a soft, blurry image of the {}",
)  # fmt: skip
_DIGIT = ("the digit {}", "digit {}", "the number {}", "number {}", "{}", "a handwritten {}", "a handwritten digit {}",
          "numeral {}", "digit: {}", "handwritten digit {}")  # fmt: skip
_LETTER = ("the letter {}", "letter {}", "{}", "the capital letter {}", "capital {}", "uppercase {}", "letter: {}")
_TEXTURE = ("{}", "{} texture", "{} pattern", "a {} texture", "a {} surface", "{} surface", "a photo of a {} texture",
            "texture: {}", "a {} thing", "{} material")  # fmt: skip
# Filler in front of a phrase shifts its position, as a learned context does.
_FILLER = [
    "a", "an", "the", "of", "in", "on", "with", "and", "or", "this", "that", "there", "is", "are", "it", "its",
    "very", "some", "one", "two", "more", "most", "best", "worst", "new", "old", "good", "bad", "nice", "cool",
    "weird", "clean", "dirty", "photo", "picture", "image", "texture", "type", "kind", "object", "thing", "class",
    "category", "context", "prompt", "which", "what", "here", "for", "from", "to", "by", "as", "at", "not", "no",
    "all", "any", "each", "other", "same", "scene", "shot", "view", "example", "close", "up", "high", "low",
    "quality", "resolution", "contrast", "bright", "dark", "light", "big", "tiny", "large", "small", "simple",
    "plain", "real", "fake", "digital", "art", "style",
]  # fmt: skip


def load_descriptions(folder: Path = DESCRIPTIONS) -> dict[str, dict[str, list[str]]]:
    """{dataset stem: {class name: sentences of all sources}} of the embedded sets; empty if the folder is missing."""
    out: dict[str, dict[str, list[str]]] = {}
    for stem in ("digits", "shapes", "textures", "letters", "objects"):
        file = folder / f"{stem}.json"
        if file.exists():
            classes = json.loads(file.read_text(encoding="utf-8"))["classes"]
            out[stem] = {name: [s for texts in sources.values() for s in texts] for name, sources in classes.items()}
    return out


@functools.cache
def _encode_chunk(chunk: str) -> tuple[int, ...]:
    return tuple(bpe.encode(chunk))


def encode(text: str) -> list[int]:
    """Ids of clip.tokenize without start and end; CLIP's BPE never crosses white space, so words are cached."""
    return [token for chunk in text.split() for token in _encode_chunk(chunk)]


class Captioner:
    """Writes captions for attribute rows (see pairs.ATTRIBUTES)."""

    def __init__(self, descriptions: dict[str, dict[str, list[str]]]) -> None:
        self.descriptions = descriptions
        nouns = set(" ".join(NOUNS + PATTERNS + _COLOUR_NAMES).lower().split())
        found = {w for sets in descriptions.values() for texts in sets.values() for t in texts for w in t.split()}
        # Words from descriptions of held-out pairs occur as filler only, never in a sentence about such a pair.
        rare = sorted(w for w in found if w.lower().strip(".,") not in nouns)
        other = {w.strip(".,") for text in _OTHER for w in text.split()} - {"{}"}
        self.filler = _FILLER + sorted(other - set(_FILLER)) + rare

    def vocabulary(self) -> list[int]:
        """Sorted ids of every token that a caption can hold, with start, end and full stop."""
        parts: list[str] = [*NOUNS, *PATTERNS, *_COLOUR_NAMES, *(str(d) for d in range(10)), *self.filler, *_PLAIN,
                            *_ENSEMBLE, *_DRAWN, *_CLUTTERED, *_BLURRED, *_DIGIT, *_LETTER, *_TEXTURE,
                            "small large background on a an the . ,"]  # fmt: skip
        parts += [t for sets in self.descriptions.values() for texts in sets.values() for t in texts]
        parts += [f"{name}{end}" for name in NOUNS for end in (".", ",")]
        ids = {token for text in parts for token in encode(text.replace("{}", " "))}
        return sorted(ids | {bpe.encoder["<|startoftext|>"], bpe.encoder["<|endoftext|>"]})

    def caption(self, shown: list[int], rng: random.Random) -> tuple[str, list[int]]:
        """A caption that is true of an image with attributes `shown`, and what it states (-1: not said)."""
        said = [-1] * len(shown)
        said[0] = shown[0]
        if rng.random() < 0.18:
            sentence = self._description(shown, said, rng)
            if sentence:
                return sentence, said
        phrase = self._phrase(shown, said, rng)
        text = self._wrap(phrase, shown, said, rng)
        if rng.random() < 0.55 and not text.endswith("."):
            text += "."
        return text, said

    def _description(self, shown: list[int], said: list[int], rng: random.Random) -> str | None:
        noun, pattern = NOUNS[shown[0]], PATTERNS[max(shown[2], 0)]
        index = shown[0] - len(SHAPES)
        if index < 0:
            held_out = (pattern, noun) in HELD_OUT
            if pattern != "solid" and not held_out and rng.random() < 0.7:
                texts = self.descriptions.get("shapes", {}).get(f"{pattern} {noun}")
                if texts:
                    said[2] = shown[2]
                    return rng.choice(texts)
            stem = "objects"
        else:
            stem = "digits" if index < 10 else "letters" if index < 36 else "textures"
        texts = self.descriptions.get(stem, {}).get(noun)
        return rng.choice(texts) if texts else None

    def _phrase(self, shown: list[int], said: list[int], rng: random.Random) -> str:
        """Noun phrase without an article; states colour, pattern and size by chance."""
        noun = NOUNS[shown[0]]
        index = shown[0] - len(SHAPES)
        words = []
        if shown[3] >= 0 and rng.random() < 0.2:
            words.append(("small", "large")[shown[3]])
            said[3] = shown[3]
        colour = _COLOUR_NAMES[shown[1]] if shown[1] >= 0 and rng.random() < 0.35 else None
        pattern = PATTERNS[shown[2]] if shown[2] >= 0 and rng.random() < (0.8 if shown[2] else 0.3) else None
        pair = [w for w in (colour, pattern) if w]
        if rng.random() < 0.4:
            pair.reverse()
        words += pair
        said[1] = shown[1] if colour else -1
        said[2] = shown[2] if pattern else -1
        if 0 <= index < 10:
            noun = str(index) if rng.random() < 0.2 else DIGITS[index]
            noun = rng.choice(_DIGIT).replace("{}", noun)
        elif 10 <= index < 36:
            noun = rng.choice(_LETTER).replace("{}", LETTERS[index - 10])
        elif index >= 36:
            form = rng.choice(_TEXTURE)
            if form.startswith(("a ", "texture")):  # the article or label comes before the other words
                said[1] = said[3] = -1
                return form.replace("{}", noun)
            noun = form.replace("{}", TEXTURES[index - 36])
        return " ".join([*words, noun])

    def _wrap(self, phrase: str, shown: list[int], said: list[int], rng: random.Random) -> str:
        draw = rng.random()
        if draw < 0.30:
            article = rng.choice(("", "", "a ", "the "))
            text = article + phrase
        elif draw < 0.42:
            text = " ".join(rng.choices(self.filler, k=rng.choice((1, 2, 3, 4, 4, 6, 8, 12, 16, 16)))) + " " + phrase
        elif draw < 0.58:
            text = rng.choice(_ENSEMBLE).replace("{}", phrase)
            if rng.random() < 0.5:
                text = text.rstrip(".")
        elif draw < 0.72 and any(shown[5:8]):
            which = rng.choice([k for k in (5, 6, 7) if shown[k]])
            said[which] = 1
            text = rng.choice({5: _DRAWN, 6: _CLUTTERED, 7: _BLURRED}[which]).replace("{}", phrase)
        else:
            text = rng.choice(_PLAIN).replace("{}", phrase)
        if shown[4] >= 0 and rng.random() < 0.06:
            said[4] = shown[4]
            text = f"{text} on a {_COLOUR_NAMES[shown[4]]} background"
        return text


def compact_ids(texts: Iterable[str], row_of: dict[int, int]) -> list[list[int]]:
    """Rows of the compact table for each text, start and end included.

    Raises KeyError for a token that the grammar cannot write.
    """
    start, end = row_of[bpe.encoder["<|startoftext|>"]], row_of[bpe.encoder["<|endoftext|>"]]
    return [[start, *(row_of[t] for t in encode(text)), end] for text in texts]
