"""SAR's config keys, and its published lambda for a host and dataset."""

from __future__ import annotations

from dassl.config.domains import NOT_NEGATIVE, OPTIONAL, SEED, choice, whole
from language.features import CONFIG_DEFAULTS as LANGUAGE_DEFAULTS
from language.features import CONFIG_DOMAINS as LANGUAGE_DOMAINS

from ..shared.domains import declare

N = "TRAINER.SAR."
CONFIG_DEFAULTS = LANGUAGE_DEFAULTS | {
    N + "ENABLED": False,  # True with a host's name is the same as the method <Host>SAR
    N + "LAMBDA": 0.1,  # of Eq. 6; the published value of a host and dataset where there is one
    N + "NOVEL_SOURCE": "llm",  # llm: this repository's list | file | wordnet | oracle
    N + "NOVEL_FILE": "",
    N + "NUM_NOVEL": 200,
    N + "SAMPLE_SIZE": 64,  # s of Eq. 4
    N + "RANDOM_SAMPLING": True,  # False: each row over all other classes (Eq. 3)
    N + "ENSEMBLE": True,  # targets from the prompts of TEMPLATES; False: from the dataset's own alone
    N + "TEMPLATES": "select+custom",  # the paper's 8 | select: without the dataset's own | full80: CLIP's for ImageNet
    N + "TAU": 0.0,  # temperature of Eq. 3 and 4; 0: CLIP's
    N + "DIRECTION": "target_to_learned",  # target_to_learned: KL(P || P~) | learned_to_target
    N + "PRE_ADAPTER": False,  # CoPrompt: align its text features before the adapter
    N + "SEED": -1,  # of novel names and index sets; negative: the run's
    N + "CHUNK": 0,  # novel names whose activations are in memory at a time; 0: all, in one batch with the classes
}
CONFIG_DOMAINS = declare(
    CONFIG_DEFAULTS,
    {
        "LAMBDA": NOT_NEGATIVE,
        "NOVEL_SOURCE": choice("llm", "file", "wordnet", "oracle"),
        "NOVEL_FILE": OPTIONAL,
        "NUM_NOVEL": whole(0),
        "SAMPLE_SIZE": whole(1),
        "TEMPLATES": choice("select+custom", "select", "full80", "custom"),
        "TAU": NOT_NEGATIVE,
        "DIRECTION": choice("target_to_learned", "learned_to_target"),
        "SEED": SEED,
        "CHUNK": whole(0),
        **LANGUAGE_DOMAINS,
    },
)
# lambda where it is not 0.1
LAMBDA_OF_DATASET = {
    "CoOp": {"DescribableTextures": 0.5, "UCF101": 0.5, "EuroSAT": 0.5, "FGVCAircraft": 0.5},
    "MaPLe": {"DescribableTextures": 0.5, "UCF101": 0.5, "EuroSAT": 0.75, "FGVCAircraft": 0.75},
    "CoPrompt": {"DescribableTextures": 0.5, "UCF101": 0.5, "EuroSAT": 0.75, "FGVCAircraft": 0.8},
}
