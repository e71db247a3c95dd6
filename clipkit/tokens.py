"""Text to token ids."""

from collections.abc import Sequence

from torch import LongTensor, Tensor

from . import openai_clip
from .errors import InputError

CONTEXT_LENGTH = 77


def tokenize(texts: str | Sequence[str], what: str = "text") -> LongTensor:
    """CLIP's tokens [N, 77] of N texts: SOS, BPE tokens, EOT, zeros.

    `what` says in the error message what the texts are (for example "prompt of a class").
    Raises InputError naming the first text that does not fit into 77 tokens.
    """
    texts = [texts] if isinstance(texts, str) else list(texts)
    for text in texts:
        if not isinstance(text, str):
            raise InputError(f"The {what} must be a string, not {type(text).__name__}: {text!r}")
    try:
        return openai_clip.tokenize(texts, context_length=CONTEXT_LENGTH).long()
    except RuntimeError:
        for text in texts:
            length = token_count(text) + 2
            if length > CONTEXT_LENGTH:
                raise InputError(
                    f"The {what} has {length} tokens with start and end, CLIP reads at most {CONTEXT_LENGTH}: "
                    f"shorten {text!r}"
                ) from None
        raise


def token_count(text: str) -> int:
    """Number of BPE tokens of `text`, without start and end."""
    return len(openai_clip.tokenizer.encode(text))


def eot_positions(tokens: Tensor) -> Tensor:
    """[N, L] token ids -> [N] position of EOT, which has the highest id."""
    return tokens.argmax(dim=-1)
