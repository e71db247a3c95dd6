"""The one place that imports the `clip` package (OpenAI's code, from PyPI as clip-anytorch)."""

import warnings

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import of pkg_resources warns on every start
        import clip
        from clip import model
except ModuleNotFoundError as error:
    if error.name == "pkg_resources":
        raise ImportError(
            "clip-anytorch imports pkg_resources, which setuptools 82 dropped: pip install 'setuptools<82'"
        ) from error
    raise

URLS: dict[str, str] = dict(clip.clip._MODELS)
CLIP = model.CLIP
ModifiedResNet = model.ModifiedResNet
ResidualAttentionBlock = model.ResidualAttentionBlock
Transformer = model.Transformer
VisionTransformer = model.VisionTransformer
convert_weights = model.convert_weights
download = clip.clip._download
tokenizer = clip.clip._tokenizer
tokenize = clip.tokenize

__all__ = [
    "CLIP",
    "URLS",
    "ModifiedResNet",
    "ResidualAttentionBlock",
    "Transformer",
    "VisionTransformer",
    "convert_weights",
    "download",
    "tokenize",
    "tokenizer",
]
