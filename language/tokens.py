"""Length of a sentence in CLIP's tokens. The tokenizer is loaded only when a sentence is long enough to need it."""

from __future__ import annotations

import warnings

CONTEXT_LENGTH = 77  # with the start and the end token


def count_tokens(text: str) -> int:
    """Tokens of `clip.tokenize`, start and end included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import of pkg_resources warns on every start
        from clip.clip import _tokenizer

    return len(_tokenizer.encode(text)) + 2


def shorten(text: str) -> str:
    """The text if it fits CLIP's context, else its longest beginning of whole words that does."""
    if len(text.encode()) + 2 <= CONTEXT_LENGTH:  # a token holds at least one byte
        return text
    if count_tokens(text) <= CONTEXT_LENGTH:
        return text
    words = text.split()
    low, high = 0, len(words)  # words[:low] fits, words[:high] does not
    while high - low > 1:
        middle = (low + high) // 2
        if count_tokens(" ".join(words[:middle])) <= CONTEXT_LENGTH:
            low = middle
        else:
            high = middle
    return " ".join(words[:low])
