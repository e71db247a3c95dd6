"""CoPrompt's config keys, and its published settings for each dataset."""

from dassl.config.domains import FILLED, NOT_NEGATIVE, choice, whole
from language.features import CONFIG_DEFAULTS as LANGUAGE_DEFAULTS
from language.features import CONFIG_DOMAINS as LANGUAGE_DOMAINS

from ..shared.domains import declare

CONFIG_DEFAULTS = {
    "TRAINER.CoPrompt.N_CTX": 2,
    "TRAINER.CoPrompt.CTX_INIT": "a photo of a",
    "TRAINER.CoPrompt.PREC": "fp16",
    "TRAINER.CoPrompt.PROMPT_DEPTH": 9,
    "TRAINER.CoPrompt.CACHE": "coprompt",  # source of the sentences: main/coprompt, noise/hpt, or a file
    "TRAINER.W": 1.0,  # lambda; the published value of a dataset where there is one
    "TRAINER.DISTILL": "cosine",
    **LANGUAGE_DEFAULTS,
}

CONFIG_DOMAINS = declare(
    CONFIG_DEFAULTS,
    {
        "PROMPT_DEPTH": whole(1),
        "CACHE": FILLED,
        "TRAINER.W": NOT_NEGATIVE,
        "TRAINER.DISTILL": choice("cosine", "mse"),
        **LANGUAGE_DOMAINS,
    },
)

# N_CTX, PROMPT_DEPTH, W, epochs
SETTINGS_OF_DATASET = {
    "ImageNet": (4, 12, 8.0, 8),
    "Caltech101": (4, 12, 4.0, 8),
    "OxfordPets": (2, 12, 0.1, 8),
    "StanfordCars": (4, 12, 4.0, 8),
    "OxfordFlowers": (4, 9, 8.0, 8),
    "Food101": (4, 9, 0.5, 5),
    "FGVCAircraft": (4, 9, 2.0, 8),
    "SUN397": (4, 12, 8.0, 8),
    "DescribableTextures": (2, 12, 8.0, 8),
    "EuroSAT": (2, 12, 0.1, 8),
    "UCF101": (4, 12, 2.0, 8),
}
