"""ANPrompt's config keys, and lambda for each dataset. "A1" to "A26" are the entries of docs/anprompt.md."""

from dassl.config.domains import FILLED, NOT_NEGATIVE, SEED, SHARE, choice, list_of, whole
from language.features import CONFIG_DEFAULTS as LANGUAGE_DEFAULTS
from language.features import CONFIG_DOMAINS as LANGUAGE_DOMAINS

from ..shared.domains import declare
from .inserted_tokens import REG_WEIGHT_OF_DATASET

N = "TRAINER.ANPROMPT."
CASES = ("base", "new", "cd_source", "cd_target", "fs")  # see situation.py

CONFIG_DEFAULTS = {
    N + "PREC": "amp",
    N + "N_TOKENS": 5,  # T of Eq. 8
    N + "NOISE_DIM": 0,  # joint dimension; 0: the backbone's
    N + "IN_LAYERS": [6, 7, 8, 9, 10, 11, 12],  # injection blocks, counted from 1 (A5)
    N + "PROJ_PER_LAYER": True,  # one FC per block and tower, or one per tower (A6)
    N + "THETA": 0.7,  # weight of the alignment logits
    N + "ALPHA": 0.001,  # Eq. 2 (A9)
    N + "EPS": 0.1,  # Eq. 8 (A8)
    N + "SIM_W": 1.0,  # lambda of Eq. 3 (A20)
    N + "WA_W": 1.0,
    N + "WA_REF": "align",  # align | robust: the logits that l_W is compared with (A1)
    N + "WA_DIRECTION": "ref_to_w",  # ref_to_w | w_to_ref (A2)
    N + "WA_DETACH_GAMMA": False,
    N + "GAMMA_POWER": 1,  # 2: gamma of Eq. 3 and of Eq. 6 both applied (A3)
    N + "EPS0": 1e-6,  # Eq. 7 (A4)
    N + "ROBUST_LOGITS": "fv_fw",  # fv_fw | rep | none (A17)
    N + "CE_MODE": "fused",  # fused | separate (A18)
    N + "NRVPP_PROJ": "learned_from_clip",  # clip | learned_from_clip | learned_random (A19)
    N + "KMEANS_SET": "base",  # base: classes of the training run | all: every class of the dataset (A10)
    N + "KMEANS_SEED": -1,  # -1: cfg.SEED (A11)
    N + "KMEANS_NORMALIZE": False,
    N + "CACHE_MAIN": "main",  # a source of the language cache, or a JSON file as in docs/language.md (A13)
    N + "CACHE_NOISE": "noise",
    N + "SAMPLE_MODE": "per_class",  # per_class | shared_index (A14)
    N + "RESAMPLE": "once",  # once | epoch | step
    N + "TEXT_NOISE": True,  # the switches of the paper's Table 4
    N + "WA_LOSS": True,
    N + "ANTI_PROMPT": True,
    N + "TEST_LOGITS.base": "final",  # final | align | robust (A16)
    N + "TEST_LOGITS.new": "final",
    N + "TEST_LOGITS.cd_source": "final",
    N + "TEST_LOGITS.cd_target": "final",
    N + "TEST_LOGITS.fs": "final",
    **LANGUAGE_DEFAULTS,
}

CONFIG_DOMAINS = declare(
    CONFIG_DEFAULTS,
    {
        "N_TOKENS": whole(1),
        "NOISE_DIM": whole(0),
        "IN_LAYERS": list_of(whole(1), fewest=1),
        "THETA": SHARE,
        "ALPHA": NOT_NEGATIVE,
        "EPS": NOT_NEGATIVE,
        "SIM_W": NOT_NEGATIVE,
        "WA_W": NOT_NEGATIVE,
        "WA_REF": choice("align", "robust"),
        "WA_DIRECTION": choice("ref_to_w", "w_to_ref"),
        "GAMMA_POWER": choice(1, 2),
        "EPS0": NOT_NEGATIVE,
        "ROBUST_LOGITS": choice("fv_fw", "rep", "none"),
        "CE_MODE": choice("fused", "separate"),
        "NRVPP_PROJ": choice("clip", "learned_from_clip", "learned_random"),
        "KMEANS_SET": choice("base", "all"),
        "KMEANS_SEED": SEED,
        "CACHE_MAIN": FILLED,
        "CACHE_NOISE": FILLED,
        "SAMPLE_MODE": choice("per_class", "shared_index"),
        "RESAMPLE": choice("once", "epoch", "step"),
        **{f"TEST_LOGITS.{case}": choice("final", "align", "robust") for case in CASES},
        **LANGUAGE_DOMAINS,
    },
)

# lambda of Eq. 3 (A20)
SIM_W_OF_DATASET = REG_WEIGHT_OF_DATASET | {"EuroSAT": 0.001}
SIM_W_CROSS_DATASET = 0.2  # training on ImageNet for other datasets (A20)
