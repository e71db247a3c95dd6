"""Adversarial attacks on images in [0, 1], for any function from images to logits (docs/adversarial.md).

A "picture" here is what the test transform makes of an image before normalisation: the input that is attacked.
"""

from .eot import expectation
from .evaluation import evaluation
from .pgd import Found, fgsm, noise, pgd
from .pixel_model import PixelModel
from .quantise import quantise
from .settings import AttackSettings, add_attack_defaults
from .suite import Outcome, attack_pictures
from .surrogate import Surrogate

VERSION = 1  # to be raised when the result of any attack changes

__all__ = [
    "VERSION",
    "AttackSettings",
    "Found",
    "Outcome",
    "PixelModel",
    "Surrogate",
    "add_attack_defaults",
    "attack_pictures",
    "evaluation",
    "expectation",
    "fgsm",
    "noise",
    "pgd",
    "quantise",
]
