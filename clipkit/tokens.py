"""Tokenizes texts, and checks for texts that are longer than the backbone reads."""

import logging
from collections.abc import Callable, Sequence

from torch import Tensor

from .errors import InputError
from .tokenizer import OPENAI_TOKENIZER, Tokenizer

logger = logging.getLogger(__name__)

TOO_LONG = ("refuse", "truncate")
SHORTEN = "shorten the sentence, or the class name in it"
SHOWN = 1000  # characters of a text in a message


def tokenize(
    texts: str | Sequence[str],
    what: str = "text",
    remedy: str | Callable[[int], str] = SHORTEN,
    too_long: str = "refuse",
    tokenizer: Tokenizer = OPENAI_TOKENIZER,
) -> Tensor:
    """Tokens [N, L] of N texts, L being the tokenizer's length: for OpenAI's 77, with SOS, BPE tokens, EOT and zeros.
    The other arguments are `check_length`'s."""
    texts = [texts] if isinstance(texts, str) else list(texts)
    for text in texts:
        if not isinstance(text, str):
            raise InputError(f"The {what} must be a string, not {type(text).__name__}: {text!r}")
    cut = check_length(texts, what, remedy, too_long, tokenizer)
    return tokenizer.ids(texts, truncate=cut)


def check_length(
    texts: Sequence[str],
    what: str = "text",
    remedy: str | Callable[[int], str] = "shorten it",
    too_long: str = "refuse",
    tokenizer: Tokenizer = OPENAI_TOKENIZER,
) -> bool:
    """Whether some of the texts have more tokens than the backbone reads (OpenAI's: 77); if so, an error or a warning.

    too_long: "refuse" raises InputError naming the first of them and its tokens; "truncate" warns with their count:
    their first tokens are then read (75 of OpenAI's, as with clip.tokenize(truncate=True)).
    what: the kind of text for the message ("prompt of a class"). remedy: advice, or a function of a text's index.
    """
    if too_long not in TOO_LONG:
        raise InputError(f"What to do with texts that are too long is one of {', '.join(TOO_LONG)}, not {too_long!r}")
    long = exceeding(texts, tokenizer)
    if long and too_long == "refuse":
        first, length = next(iter(long.items()))
        shown = repr(texts[first] if len(texts[first]) <= SHOWN else f"{texts[first][:SHOWN]} ...")
        others = f" (and {len(long) - 1} more of {len(texts)})" if len(long) > 1 else ""
        raise InputError(
            f"The {what} has {length} tokens with start and end, but CLIP reads at most {tokenizer.length}: {shown}"
            f"{others}; {remedy if isinstance(remedy, str) else remedy(first)}"
        )
    if long:
        text = "Warning: %d of %d texts (%s) have more than %d tokens and are truncated; the longest has %d"
        logger.warning(text, len(long), len(texts), what, tokenizer.length, max(long.values()))
    return bool(long)


def exceeding(texts: Sequence[str], tokenizer: Tokenizer = OPENAI_TOKENIZER) -> dict[int, int]:
    """{index: tokens with start and end} of the texts that do not fit into the backbone's context."""
    found = {}
    for i, text in enumerate(texts):
        if text.isascii() and len(text) + 2 <= tokenizer.length:  # a token has at least one character
            continue
        length = tokenizer.count(text) + tokenizer.added
        if length > tokenizer.length:
            found[i] = length
    return found
