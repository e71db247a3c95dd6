"""Attacks on pictures in [0, 1], for any function from pictures to logits. docs/adversarial.md says more."""

from .eot import expectation
from .evaluation import evaluation
from .pgd import Found, fgsm, noise, pgd
from .pixel_model import PixelModel
from .quantise import quantise
from .settings import AttackSettings, add_attack_defaults
from .suite import Outcome, attack_pictures
from .surrogate import Surrogate

VERSION = 1  # counts up when an attack's pictures change

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
