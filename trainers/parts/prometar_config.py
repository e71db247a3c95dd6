"""ProMetaR's config keys."""

from dassl.config.domains import NOT_NEGATIVE, POSITIVE, whole

from ..shared.domains import declare

N = "TRAINER.PROMETAR."
CONFIG_DEFAULTS = {
    N + "N_CTX_VISION": 4,
    N + "N_CTX_TEXT": 4,
    N + "CTX_INIT": "a photo of a",
    N + "PREC": "fp16",
    N + "PROMPT_DEPTH_VISION": 9,
    N + "PROMPT_DEPTH_TEXT": 9,
    N + "ADAPT_LR": 5e-4,  # of the inner step
    N + "LR_RATIO": 5e-4,  # weight of the query loss
    N + "FAST_ADAPTATION": False,  # True: no second derivatives
    N + "MIXUP_ALPHA": 0.5,
    N + "MIXUP_BETA": 0.5,
    N + "DIM_RATE": 8,  # neighbouring values that share a weight
    N + "VNET_LR": 1e-6,  # the warm-up rate, at which the published code leaves it
}
CONFIG_DOMAINS = declare(
    CONFIG_DEFAULTS,
    {
        "N_CTX_VISION": whole(1),
        "N_CTX_TEXT": whole(1),
        "PROMPT_DEPTH_VISION": whole(1),
        "PROMPT_DEPTH_TEXT": whole(1),
        "ADAPT_LR": NOT_NEGATIVE,
        "LR_RATIO": NOT_NEGATIVE,
        "MIXUP_ALPHA": POSITIVE,
        "MIXUP_BETA": POSITIVE,
        "DIM_RATE": whole(1),
        "VNET_LR": NOT_NEGATIVE,
    },
)
