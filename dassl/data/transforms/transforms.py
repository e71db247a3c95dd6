"""`build_transform`: the chain of transforms that cfg.INPUT describes. Their order does not depend on the list."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from torchvision.transforms import (
    AutoAugment,
    AutoAugmentPolicy,
    CenterCrop,
    ColorJitter,
    Compose,
    GaussianBlur,
    InterpolationMode,
    RandAugment,
    RandomApply,
    RandomCrop,
    RandomGrayscale,
    RandomHorizontalFlip,
    Resize,
)
from yacs.config import CfgNode

from dassl.utils.errors import CheckError, InputError, UnsupportedError

from .custom import Cutout, GaussianNoise, InstanceNormalization, Random2DTranslation
from .quick import Normalize, RandomResizedCrop, ToTensor

__all__ = [
    "AVAI_CHOICES",
    "INTERPOLATION_MODES",
    "Cutout",
    "GaussianNoise",
    "InstanceNormalization",
    "Random2DTranslation",
    "build_transform",
]
logger = logging.getLogger(__name__)

AVAI_CHOICES = [
    "random_flip",
    "random_resized_crop",
    "normalize",
    "instance_norm",
    "random_crop",
    "random_translation",
    "center_crop",  # in the test chain anyway; no effect in training
    "cutout",
    "imagenet_policy",
    "cifar10_policy",
    "svhn_policy",
    "randaugment",
    "randaugment_fixmatch",
    "randaugment2",
    "gaussian_noise",
    "colorjitter",
    "randomgrayscale",
    "gaussian_blur",
]
UNSUPPORTED = ("randaugment_fixmatch", "randaugment2")
INTERPOLATION_MODES = {
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
    "nearest": InterpolationMode.NEAREST,
}


def build_transform(cfg: CfgNode, is_train: bool = True, choices: Sequence[str] | None = None) -> Compose | None:
    """Transforms from a PIL image to a tensor [3, H, W]; `choices` overrides cfg.INPUT.TRANSFORMS.

    None with INPUT.NO_TRANSFORM. Raises CheckError (an AssertionError) for an unknown name, UnsupportedError (a
    NotImplementedError) for one that only upstream has.
    """
    if cfg.INPUT.NO_TRANSFORM:
        logger.info("Note: no transform is applied!")
        return None
    choices = cfg.INPUT.TRANSFORMS if choices is None else choices
    for choice in choices:
        if choice not in AVAI_CHOICES:
            raise CheckError(f"transform {choice!r} is not known: INPUT.TRANSFORMS may hold {', '.join(AVAI_CHOICES)}")
        if choice in UNSUPPORTED:
            raise UnsupportedError(f"transform {choice!r} is not implemented here: use randaugment in its place")
    if cfg.INPUT.INTERPOLATION not in INTERPOLATION_MODES:
        known = ", ".join(INTERPOLATION_MODES)
        raise InputError(f"INPUT.INTERPOLATION must be one of {known}, not {cfg.INPUT.INTERPOLATION!r}")
    logger.info("Building transform_%s", "train" if is_train else "test")
    steps = _train_steps(cfg.INPUT, choices) if is_train else _test_steps(cfg.INPUT, choices)
    for text, _ in steps:
        logger.info("+ %s", text)
    return Compose([transform for _, transform in steps])


Step = tuple[str, Callable]  # (log line, transform)


def _train_steps(cfg: CfgNode, choices: Sequence[str]) -> list[Step]:
    height, width = size = tuple(cfg.SIZE)
    interpolation = INTERPOLATION_MODES[cfg.INTERPOLATION]
    steps: list[Step] = []

    def add(name: str, text: str, make: Callable[[], Callable]) -> None:
        if name in choices:
            steps.append((text, make()))

    if "random_crop" not in choices and "random_resized_crop" not in choices:
        steps.append((f"resize to {height}x{width}", Resize(size, interpolation=interpolation)))
    add("random_translation", "random translation", lambda: Random2DTranslation(height, width))
    add(
        "random_crop",
        f"random crop (padding={cfg.CROP_PADDING})",
        lambda: RandomCrop(size, padding=cfg.CROP_PADDING),
    )
    add(
        "random_resized_crop",
        f"random resized crop (size={size}, scale={tuple(cfg.RRCROP_SCALE)})",
        lambda: RandomResizedCrop(size, scale=cfg.RRCROP_SCALE, interpolation=interpolation),
    )
    add("random_flip", "random flip", RandomHorizontalFlip)
    for policy in ("imagenet", "cifar10", "svhn"):
        add(f"{policy}_policy", f"{policy} policy", partial(AutoAugment, AutoAugmentPolicy(policy)))
    n, m = cfg.RANDAUGMENT_N, cfg.RANDAUGMENT_M
    add("randaugment", f"randaugment (n={n}, m={m})", lambda: RandAugment(n, m))
    jitter = [cfg.COLORJITTER_B, cfg.COLORJITTER_C, cfg.COLORJITTER_S, cfg.COLORJITTER_H]
    add(
        "colorjitter",
        "color jitter (brightness={}, contrast={}, saturation={}, hue={})".format(*jitter),
        lambda: ColorJitter(*jitter),
    )
    add("randomgrayscale", f"random gray scale (p={cfg.RGS_P})", lambda: RandomGrayscale(p=cfg.RGS_P))
    add(
        "gaussian_blur",
        f"gaussian blur (kernel={cfg.GB_K}, p={cfg.GB_P})",
        lambda: RandomApply([GaussianBlur(cfg.GB_K)], p=cfg.GB_P),
    )
    steps.append(_to_tensor())
    add("cutout", f"cutout (n_holes={cfg.CUTOUT_N}, length={cfg.CUTOUT_LEN})", lambda: Cutout(cfg.CUTOUT_N, cfg.CUTOUT_LEN))
    add("normalize", *_normalize(cfg))
    add(
        "gaussian_noise",
        f"gaussian noise (mean={cfg.GN_MEAN}, std={cfg.GN_STD})",
        lambda: GaussianNoise(cfg.GN_MEAN, cfg.GN_STD),
    )
    add("instance_norm", "instance normalization", InstanceNormalization)
    return steps


def _test_steps(cfg: CfgNode, choices: Sequence[str]) -> list[Step]:
    height, width = size = tuple(cfg.SIZE)
    edge = max(size)
    resize = Resize(edge, interpolation=INTERPOLATION_MODES[cfg.INTERPOLATION])
    steps: list[Step] = [
        (f"resize the smaller edge to {edge}", resize),
        (f"{height}x{width} center crop", CenterCrop(size)),
    ]
    if cfg.get("RESIZE_MODE", "shortest") == "squash":  # `get`: configs of other projects lack this key
        squash = Resize(size, interpolation=INTERPOLATION_MODES[cfg.INTERPOLATION])
        steps = [(f"resize to {height}x{width}, without keeping the aspect ratio", squash)]
    steps.append(_to_tensor())
    if "normalize" in choices:
        text, make = _normalize(cfg)
        steps.append((text, make()))
    if "instance_norm" in choices:
        steps.append(("instance normalization", InstanceNormalization()))
    return steps


def _to_tensor() -> Step:
    return "to torch tensor of range [0, 1]", ToTensor()


def _normalize(cfg: CfgNode) -> tuple[str, Callable[[], Callable]]:
    mean, std = cfg.PIXEL_MEAN, cfg.PIXEL_STD
    return f"normalization (mean={mean}, std={std})", lambda: Normalize(mean=mean, std=std)
