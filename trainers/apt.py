"""APT: One Prompt Word is Enough to Boost Adversarial Robustness for Pre-trained Vision-Language Models (Li et al.,
CVPR 2024)."""

from __future__ import annotations

from dassl.engine import TRAINER_REGISTRY

from .adversarial import Adversarial
from .coop import CoOp
from .parts.training_attack import CONFIG_DEFAULTS, CONFIG_DOMAINS


@TRAINER_REGISTRY.register()
class APT(Adversarial, CoOp):
    """CoOp's context, learned on pictures attacked in each step: min_v max_delta CE(x + delta; v), |delta| <= eps.

    PGD of three steps, alpha = 2/3 eps, from a uniform start. TRAIN_ATTACK.PROMPT says which prompt it attacks:
        current    the learned prompt as it is now (the paper: on the fly)
        fixed      "a photo of a NAME", independent of what was learned (the paper: constant)
        perturbed  the learned prompt, which ascends the loss by PROMPT_STEP with the pictures, and is then restored

    The robust tower it stands on is MODEL.BACKBONE.VISUAL_WEIGHTS, fine-tuned at the same eps: another one is a
    warning. Keys and shapes of checkpoints are CoOp's.
    """

    host = CoOp
    config_defaults = {**CoOp.config_defaults, **CONFIG_DEFAULTS}
    config_domains = {**CoOp.config_domains, **CONFIG_DOMAINS}
