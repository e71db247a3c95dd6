"""TAC's config keys."""

from dassl.config.domains import FILLED, NOT_NEGATIVE, number, whole
from language.features import CONFIG_DEFAULTS as LANGUAGE_DEFAULTS
from language.features import CONFIG_DOMAINS as LANGUAGE_DOMAINS

from ..shared.domains import declare

N = "TRAINER.TAC."
CONFIG_DEFAULTS = LANGUAGE_DEFAULTS | {
    N + "N_CTX_VISION": 5,
    N + "N_CTX_TEXT": 5,  # also the number of clusters
    N + "CTX_INIT": "a photo of a",
    N + "PREC": "fp16",
    N + "PROMPT_DEPTH_VISION": 12,
    N + "PROMPT_DEPTH_TEXT": 12,
    N + "TEXT_LOSS_WEIGHT": 20.0,
    N + "IMAGE_LOSS_WEIGHT": 25.0,
    N + "DROPOUT": 0.3,  # of image features, in training
    N + "FROZEN_DROPOUT": False,  # True: also of the frozen target, as the published code has it
    N + "CACHE": "coprompt",  # source of the descriptions: main/coprompt, noise/hpt, or a file
}
CONFIG_DOMAINS = declare(
    CONFIG_DEFAULTS,
    {
        "N_CTX_VISION": whole(1),
        "N_CTX_TEXT": whole(1),
        "PROMPT_DEPTH_VISION": whole(1),
        "PROMPT_DEPTH_TEXT": whole(1),
        "TEXT_LOSS_WEIGHT": NOT_NEGATIVE,
        "IMAGE_LOSS_WEIGHT": NOT_NEGATIVE,
        "DROPOUT": number(least=0, below=1),
        "CACHE": FILLED,
        **LANGUAGE_DOMAINS,
    },
)
