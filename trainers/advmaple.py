"""AdvMaPLe: adversarial training of prompts in both towers, the baseline of FAP (Zhou et al., NeurIPS 2024)."""

from __future__ import annotations

from dassl.engine import TRAINER_REGISTRY

from .adversarial import Adversarial
from .fap import ImageToText
from .parts.image_to_text import DEFAULTS, DOMAINS
from .parts.training_attack import CONFIG_DEFAULTS, CONFIG_DOMAINS


@TRAINER_REGISTRY.register()
class AdvMaPLe(Adversarial, ImageToText):
    """FAP's prompts, learned by the cross-entropy of attacked pictures alone, which the attack ascends."""

    host = ImageToText
    preset = "advmaple"
    config_defaults = {**DEFAULTS, **CONFIG_DEFAULTS}
    config_domains = {**DOMAINS, **CONFIG_DOMAINS}
