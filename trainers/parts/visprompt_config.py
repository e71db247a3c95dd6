"""VisPrompt's config keys: names and values of the visual settings are the authors'."""

from __future__ import annotations

from dassl.config.domains import NOT_NEGATIVE, POSITIVE, SHARE, choice, number, whole

from ..context import context_defaults
from ..label_noise.prompt_ot import COSTS
from ..label_noise.robust_losses import Q
from ..shared.domains import declare

NODE = "TRAINER.VISPROMPT"
N = NODE + "."

CONFIG_DEFAULTS = {
    **context_defaults(NODE),
    N + "USE_VISUAL_GUIDANCE": True,  # False: CoOp's context
    N + "VIS_SOURCE": "patch",  # patch: the image tower's last tokens | global: parts of its one feature
    N + "PROMPT_POOL_SIZE": 16,  # parts of the feature (VIS_SOURCE global)
    N + "USE_MULTI_SCALE": True,
    N + "VISUAL_HIDDEN_DIM": 512,
    N + "ATTENTION_HEADS": 8,
    N + "FILM": True,
    N
    + "GATE": "scalar",  # one strength per image | token: per prompt token | none | thresh: scalar, 0 below a threshold
    N + "RELIABILITY_THRESHOLD": 0.5,  # the threshold of GATE thresh
    N + "VISUAL_WEIGHT": 0.9,  # the highest strength
    N + "PROMPT_DROPOUT": 0.1,  # of Delta
    N + "REG_WEIGHT": 0.01,  # of |Delta|^2 / L
    N + "PURIFY": "ot_global",  # ot_batch: transport within each batch, as released | none: LOSS_ALL for all items
    N + "OT_EVERY": 1,  # epochs between two transports
    N + "OT_COST": "prob",  # prob: -p | logp: -log p, as in the released helper
    N + "REG_E": 0.01,
    N + "LOSS_NOISY": "gce",
    N + "LOSS_ALL": "ce",
    N + "GCE_Q": 0.7,
    N + "SCE_ALPHA": 0.5,
    N + "SCE_BETA": 1.0,
    N + "TEXT_CHUNK": 0,  # prompts per text pass, at least those of one image; 0: by memory
    N + "TOKEN_CACHE_MB": 1024,  # visual tokens of the training list that may stay in memory
    "TRAIN.WATCH_EVERY": 10,  # not each epoch, since a test needs C text passes per test image
}

CONFIG_DOMAINS = declare(
    CONFIG_DEFAULTS,
    {
        "VIS_SOURCE": choice("patch", "global"),
        "PROMPT_POOL_SIZE": whole(1),
        "VISUAL_HIDDEN_DIM": whole(1),
        "ATTENTION_HEADS": whole(1),
        "GATE": choice("scalar", "token", "none", "thresh"),
        "RELIABILITY_THRESHOLD": SHARE,
        "VISUAL_WEIGHT": NOT_NEGATIVE,
        "PROMPT_DROPOUT": number(0, below=1),
        "REG_WEIGHT": NOT_NEGATIVE,
        "PURIFY": choice("ot_global", "ot_batch", "none"),
        "OT_EVERY": whole(1),
        "OT_COST": choice(*COSTS),
        "REG_E": POSITIVE,
        "LOSS_NOISY": choice("gce", "sce", "mae"),
        "LOSS_ALL": choice("ce", "gce", "sce", "mae"),
        "GCE_Q": Q,
        "SCE_ALPHA": NOT_NEGATIVE,
        "SCE_BETA": NOT_NEGATIVE,
        "TEXT_CHUNK": whole(0),
        "TOKEN_CACHE_MB": whole(0),
    },
)

ARCHITECTURE = tuple(
    N + key
    for key in (
        *("N_CTX", "CTX_INIT", "CLASS_TOKEN_POSITION", "USE_VISUAL_GUIDANCE", "VIS_SOURCE", "PROMPT_POOL_SIZE"),
        *("USE_MULTI_SCALE", "VISUAL_HIDDEN_DIM", "ATTENTION_HEADS", "FILM", "GATE", "RELIABILITY_THRESHOLD"),
        "VISUAL_WEIGHT",
    )
)
