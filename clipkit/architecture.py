"""The architectures of CLIP models: OpenAI's nine, and those that the shapes of a state dict show."""

import difflib
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from .errors import InputError

EMBEDDED = "Embedded"
RANDOM = "random:"
FILE_ENDINGS = (".pt", ".pth", ".safetensors", ".bin", ".tar", ".ckpt")

# Weights of other models that users give by mistake: (prefixes of their keys, what the file holds, what to do instead).
STRANGERS = (
    (("text_model.", "vision_model."), "a CLIP under the names of Hugging Face's transformers, which are not read here",
     "give OpenAI's archive, or open_clip's weights of the same model"),
    (("visual.trunk.", "text.transformer.", "text."), "a model of another family of open_clip (SigLIP, EVA, CoCa ...)",
     "give a CLIP of OpenAI's structure"),
    (("prompt_learner.", "ctx", "image_encoder.", "representation_learner."), "the checkpoint of a prompt-learning run",
     "that goes to --model-dir, and MODEL.BACKBONE.PATH takes the CLIP under it"),
    (("conv1.", "class_embedding", "ln_pre."), "an image tower alone", "that goes to MODEL.BACKBONE.VISUAL_WEIGHTS"),
)  # fmt: skip


class Architecture(NamedTuple):
    """Arguments of `clip.model.CLIP`, in its order. `vision_layers` are four numbers for ResNets, `patch` None."""

    embed_dim: int
    image_size: int
    vision_layers: int | tuple[int, ...]
    vision_width: int
    patch: int | None
    context_length: int
    vocab_size: int
    text_width: int
    text_heads: int
    text_layers: int


def _resnet(embed_dim: int, size: int, layers: tuple[int, int, int, int], width: int, text_width: int) -> Architecture:
    return Architecture(embed_dim, size, layers, width, None, 77, 49408, text_width, text_width // 64, 12)


def _vit(embed_dim: int, size: int, layers: int, width: int, patch: int, text_width: int) -> Architecture:
    return Architecture(embed_dim, size, layers, width, patch, 77, 49408, text_width, text_width // 64, 12)


OPENAI: dict[str, Architecture] = {
    "RN50": _resnet(1024, 224, (3, 4, 6, 3), 64, 512),
    "RN101": _resnet(512, 224, (3, 4, 23, 3), 64, 512),
    "RN50x4": _resnet(640, 288, (4, 6, 10, 6), 80, 640),
    "RN50x16": _resnet(768, 384, (6, 8, 18, 8), 96, 768),
    "RN50x64": _resnet(1024, 448, (3, 15, 36, 10), 128, 1024),
    "ViT-B/32": _vit(512, 224, 12, 768, 32, 512),
    "ViT-B/16": _vit(512, 224, 12, 768, 16, 512),
    "ViT-L/14": _vit(768, 224, 24, 1024, 14, 768),
    "ViT-L/14@336px": _vit(768, 336, 24, 1024, 14, 768),
}


def available_backbones() -> list[str]:
    """Names for `load_clip`: OpenAI's list, and the small CLIP that comes with this package."""
    return [*OPENAI, EMBEDDED]


def looks_like_a_file(name: str) -> bool:
    """Whether a name that is no backbone's was meant as the path of a file."""
    named = ("ViT-", "RN", RANDOM, "open_clip:", "hf-hub:", "local-dir:")  # ViT-B/16 has a slash too
    folder = "/" in name and not name.startswith(named)
    return folder or name.lower().endswith(FILE_ENDINGS)


def check_name(name: str) -> None:
    """Raises InputError, which lists the known names from the most similar on, for a name that is not available."""
    if name in available_backbones():
        return
    if looks_like_a_file(name):
        raise InputError(f"{name!r} is no name of a backbone (MODEL.BACKBONE.NAME): a file goes to MODEL.BACKBONE.PATH")

    def likeness(known: str) -> float:
        return difflib.SequenceMatcher(None, known.lower(), str(name).lower()).ratio()

    known = ", ".join(sorted(available_backbones(), key=likeness, reverse=True))
    raise InputError(f"Unknown backbone {name!r} (MODEL.BACKBONE.NAME): choose one of {known}, or open_clip:MODEL:TAG")


def read_architecture(weights: Mapping[str, Tensor], source: str) -> Architecture:
    """The architecture of the CLIP that a state dict was saved from, by the shapes of its tensors.
    source: the file, for messages. Raises InputError if the keys are not those of OpenAI's CLIP."""
    try:
        return _read(weights)
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        for beginnings, what, advice in STRANGERS:
            if any(key.startswith(beginnings) for key in weights):
                raise InputError(f"{source} (MODEL.BACKBONE.PATH) holds {what}: {advice}") from error
        raise InputError(
            f"{source} does not hold the weights of an OpenAI CLIP ({type(error).__name__} at {error}): "
            "give an archive of OpenAI's, its state dict, or that as .safetensors"
        ) from error


def _read(weights: Mapping[str, Tensor]) -> Architecture:
    embed_dim = weights["text_projection"].shape[1]
    length, vocabulary, width, layers = text_sizes(weights)
    return Architecture(embed_dim, *image_sizes(weights), length, vocabulary, width, width // 64, layers)


def text_sizes(weights: Mapping[str, Tensor]) -> tuple[int, int, int, int]:
    """(context length, vocabulary, width, layers) of a text tower of OpenAI's layout."""
    width = weights["ln_final.weight"].shape[0]
    length, vocabulary = weights["positional_embedding"].shape[0], weights["token_embedding.weight"].shape[0]
    return length, vocabulary, width, _children(weights, "transformer.resblocks.")


def image_sizes(weights: Mapping[str, Tensor]) -> tuple[int, int | tuple[int, ...], int, int | None]:
    """(image size, layers, width, patch size) of an image tower of OpenAI's layout; of a ResNet the last is None."""
    if "visual.proj" in weights:
        width, _, _, patch = weights["visual.conv1.weight"].shape
        side = round((weights["visual.positional_embedding"].shape[0] - 1) ** 0.5)
        return patch * side, _children(weights, "visual.transformer.resblocks."), width, patch
    width = weights["visual.layer1.0.conv1.weight"].shape[0]
    side = round((weights["visual.attnpool.positional_embedding"].shape[0] - 1) ** 0.5)
    return 32 * side, tuple(_children(weights, f"visual.layer{i}.") for i in (1, 2, 3, 4)), width, None


def _children(weights: Mapping[str, Tensor], prefix: str) -> int:
    return len({key[len(prefix) :].split(".")[0] for key in weights if key.startswith(prefix)})
