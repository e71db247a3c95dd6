"""Tokenizers: OpenAI's, and those of the Hugging Face hub that other backbones were trained with.

Each gives ids of the backbone's full length, and says at which position a text starts and whose output is read.
"""

from __future__ import annotations

import html
import os
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from . import openai_clip
from .backbone_spec import BPE, TextSpec
from .errors import InputError

CONTEXT_LENGTH = 77
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model")
FILLERS = ("X", "a", "the")
EXTRA = "pip install open_clip_torch timm transformers"


class Tokenizer(Protocol):
    """length: ids per text, with start, end and padding. first: position of a text's first own token. added: number of
    start and end tokens. filler: a word of one token, the placeholder for a token of a learned context."""

    length: int
    first: int
    added: int

    @property
    def filler(self) -> str: ...

    def ids(self, texts: Sequence[str], truncate: bool = False) -> Tensor:
        """Ids [N, length], int64, padded at the end. Too long texts are cut with `truncate`; else they are an error."""

    def count(self, text: str) -> int:
        """Number of the text's own tokens."""

    def eot(self, ids: Tensor) -> Tensor:
        """[N] from ids [N, L]: the position whose output is read; in a tower that masks padding, that of the last token
        before the padding."""


class OpenAITokenizer:
    """OpenAI's byte-pair encoding: start, the text, end (the highest id), zeros."""

    first, added, filler = 1, 2, "X"

    def __init__(self, length: int = CONTEXT_LENGTH, pool: str = "argmax") -> None:
        self.length, self._pool = length, pool

    def ids(self, texts: Sequence[str], truncate: bool = False) -> Tensor:
        return openai_clip.tokenize(list(texts), context_length=self.length, truncate=truncate).long()

    def count(self, text: str) -> int:
        return len(openai_clip.tokenizer.encode(text))

    def save(self, folder: Path) -> None:
        """Writes nothing: this tokenizer comes with the `clip` package."""

    def eot(self, ids: Tensor) -> Tensor:
        if self._pool == "last":
            return torch.full_like(ids[:, 0], ids.shape[1] - 1)
        return ids.argmax(dim=-1)


class HFTokenizer:
    """A tokenizer of transformers, loaded from `source`: a folder with its files, or a name of the hub.

    Raises InputError without transformers, and for a tokenizer that cannot be loaded (a name, without internet).
    """

    def __init__(self, source: str, spec: TextSpec) -> None:
        self._spec, self.length = spec, spec.length
        self._tokenizer = _load(source)
        inner = self._tokenizer("a").input_ids
        special = set(self._tokenizer.all_special_ids)
        self.first = next((i for i, token in enumerate(inner) if token not in special), 0)
        self.added = len(inner) - self.count("a")
        self.pad_id: int = self._tokenizer.pad_token_id

    @property
    def filler(self) -> str:
        for word in FILLERS:
            if self.count(f"{word} {word} {word}") == 3:
                return word
        raise InputError(
            f"None of the words {', '.join(FILLERS)} is a single token of this backbone, so prompts with a learned "
            "context cannot be built: choose another backbone"
        )

    def ids(self, texts: Sequence[str], truncate: bool = False) -> Tensor:
        if not texts:
            return torch.zeros(0, self.length, dtype=torch.long)
        options: dict[str, Any] = {"max_length": self.length, "padding": "max_length", "truncation": truncate}
        found = self._tokenizer([clean(text, self._spec.clean) for text in texts], **options).input_ids
        for text, row in zip(texts, found, strict=True):
            if len(row) > self.length:
                raise InputError(f"Input {text!r} is too long for context length {self.length}")
        return torch.tensor(found, dtype=torch.long)

    def count(self, text: str) -> int:
        return len(self._tokenizer(clean(text, self._spec.clean), add_special_tokens=False).input_ids)

    def save(self, folder: Path) -> None:
        """Writes the tokenizer's files into `folder`."""
        self._tokenizer.save_pretrained(str(folder))

    def eot(self, ids: Tensor) -> Tensor:
        spec = self._spec
        if spec.mask == "padding":
            return (ids != self.pad_id).sum(dim=-1) - 1
        if spec.pool == "last":
            return torch.full_like(ids[:, 0], ids.shape[1] - 1)
        if spec.pool == "eos":
            return (ids == spec.eos_id).int().argmax(dim=-1)
        return ids.argmax(dim=-1)


OPENAI_TOKENIZER = OpenAITokenizer()


def make_tokenizer(spec: TextSpec, folder: Path | None = None) -> OpenAITokenizer | HFTokenizer:
    """The tokenizer of a text tower. folder: where its files are looked for first; then the hub (or its cache) is asked
    for the spec's name."""
    if spec.tokenizer == BPE:
        return OpenAITokenizer(spec.length, spec.pool)
    here = folder is not None and any(os.path.isfile(folder / file) for file in TOKENIZER_FILES)
    return HFTokenizer(str(folder) if here else spec.tokenizer, spec)


def tokenizer_of(clip_model: nn.Module) -> Tokenizer:
    """The tokenizer that a loaded backbone carries; OpenAI's for a bare `clip.model.CLIP`."""
    return getattr(clip_model, "clipkit_tokenizer", OPENAI_TOKENIZER)


def _load(source: str) -> Any:
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise InputError(f"This backbone's tokenizer needs transformers: {EXTRA}") from error
    try:
        return AutoTokenizer.from_pretrained(source)
    except Exception as error:  # transformers raises many kinds: not found, no network, not readable
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"The tokenizer {source} cannot be loaded ({type(error).__name__}: {reason[:200]}): without internet put "
            "its files into the folder of the weights"
        ) from error


def clean(text: str, how: str) -> str:
    """The text as open_clip cleans it before a tokenizer. how: "whitespace" (repaired encoding, single blanks), "lower"
    (that, and lower case) or "canonicalize" (that, without punctuation, underscores as blanks)."""
    import ftfy

    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    if how == "canonicalize":
        text = text.replace("_", " ").translate(str.maketrans("", "", string.punctuation))
    if how in ("canonicalize", "lower"):
        text = text.lower()
    return " ".join(text.split())
