"""Inputs of the noise models: pixels or CLIP features of images, and similarities of class names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from dassl.utils import InputError, read_image

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's
SIDE = 64
NOISE_CLIP = "ViT-B/32"  # one model for all runs, so that the noise does not depend on the backbone under test


def image_features(paths: Sequence[str], feature: str) -> np.ndarray:
    """[N, m] fp32. pixel64: 64 x 64 pixels, normalised as CLIP's, flattened (m = 12288); clip_vitb32: its features."""
    if feature == "pixel64":
        return np.stack([pixels(path) for path in paths])
    if feature == "clip_vitb32":
        return _clip_features(paths)
    raise InputError(f"DATASET.NOISE.IDN.FEATURE is {feature!r}, but must be pixel64 or clip_vitb32.")


def pixels(path: str) -> np.ndarray:
    """[12288] fp32: the whole image at 64 x 64, antialiased bilinear, less CLIP's mean, over its deviation."""
    image = read_image(path).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    values = np.asarray(image, dtype=np.float32) / 255
    return ((values - np.float32(MEAN)) / np.float32(STD)).ravel()


def _clip_features(paths: Sequence[str]) -> np.ndarray:
    import torch
    from torchvision.transforms.functional import center_crop, normalize, resize, to_tensor

    from clipkit import ImageEncoder, load_clip

    encoder = ImageEncoder(load_clip(NOISE_CLIP))

    def prepare(path: str) -> torch.Tensor:
        image = center_crop(resize(read_image(path), encoder.input_size, interpolation=3), encoder.input_size)
        return normalize(to_tensor(image), MEAN, STD)

    with torch.no_grad():
        batches = [paths[i : i + 64] for i in range(0, len(paths), 64)]
        features = torch.cat([encoder(torch.stack([prepare(p) for p in batch])) for batch in batches])
    return torch.nn.functional.normalize(features.float(), dim=-1).numpy()


def class_similarity(classnames: Sequence[str]) -> np.ndarray:
    """[C, C] cosine similarities of "a photo of a <name>." under one fixed CLIP."""
    from clipkit import TextEncoder, load_clip

    encoder = TextEncoder(load_clip(NOISE_CLIP))
    features = encoder.encode_texts([f"a photo of a {name.replace('_', ' ')}." for name in classnames])
    return (features @ features.T).numpy()
