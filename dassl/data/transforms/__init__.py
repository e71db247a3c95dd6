"""Image transforms for training and test."""

from dassl.left_out import names_left_out

from .autoaugment import CIFAR10Policy, ImageNetPolicy, SVHNPolicy
from .custom import Cutout, GaussianNoise, InstanceNormalization, Random2DTranslation
from .randaugment import RandAugment
from .transforms import AVAI_CHOICES, INTERPOLATION_MODES, build_transform

__all__ = [
    "AVAI_CHOICES",
    "INTERPOLATION_MODES",
    "CIFAR10Policy",
    "Cutout",
    "GaussianNoise",
    "ImageNetPolicy",
    "InstanceNormalization",
    "RandAugment",
    "Random2DTranslation",
    "SVHNPolicy",
    "build_transform",
]
__getattr__ = names_left_out(__name__)
