import os

import torch

from .model import build_model
from .simple_tokenizer import SimpleTokenizer as _Tokenizer

__all__ = ["available_models", "build_model", "tokenize"]
_tokenizer = _Tokenizer()

_MODELS = {"ViT-B/16": "https://example.invalid/clip/models/0000/ViT-B-16.pt"}


def _download(url: str, root: str = os.path.expanduser("~/.cache/clip")):
    raise RuntimeError(f"{url} cannot be had")


def available_models():
    return list(_MODELS.keys())


def tokenize(texts, context_length=77):
    texts = [texts] if isinstance(texts, str) else texts
    result = torch.zeros(len(texts), context_length, dtype=torch.long)
    for i, text in enumerate(texts):
        tokens = [49406, *_tokenizer.encode(text), 49407]
        result[i, : len(tokens)] = torch.tensor(tokens)
    return result
