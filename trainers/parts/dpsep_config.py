"""DP-SEP's config keys. Where the paper's text is unclear or contradicts itself, a key chooses the reading."""

from __future__ import annotations

from dassl.config.domains import NOT_NEGATIVE, SHARE, choice, number, whole

from ..shared.domains import declare

NODE = "TRAINER.DPSEP"
N = NODE + "."

CONFIG_DEFAULTS = {
    N + "N_CTX": 16,
    N + "N_CTX_NEG": 0,  # 0: as N_CTX
    N + "CTX_INIT": "",
    N + "PREC": "fp16",
    N + "MU_POS": 0.9,  # threshold of Eq. 2
    N + "MU_NEG": 0.5,  # margin of Eq. 3
    N + "ALPHA_MIN": 0.1,  # alpha of Eq. 6 in the first epochs; it grows to 1
    N + "BETA": 1.0,
    N + "SEP_LAMBDA": 0.5,
    N + "SEP_SIGMA": 0.05,
    N + "SEP_SIGN": "printed",  # printed: + lambda H | intent: - lambda H, as the paper's words have it
    N + "SEP_FORM": "dist",  # dist: over all classes | label: the given label's probability alone
    N + "DELTA_SHAPE": "elementwise",
    N + "DETACH_P": False,
    N + "PI_MODE": "iter",  # a new pairing each iteration | epoch | fixed | shift: the next class
    N + "SIM_SCALE": 0.0,  # scale of the cosines in Eq. 2 to 4; 0: CLIP's
    N + "SIM_NORM": "class",
    N + "MC_SIM": "prob",
    N + "REDUCTION": "mean",
    N + "PAR_WEIGHT": 1.0,  # a common factor on the three alignment terms
    N + "USE_APOS": True,  # the switches of Table 4
    N + "USE_ANEG": True,
    N + "USE_MC": True,
    N + "USE_SEP": True,
    N + "INFER": "pos",
}

CONFIG_DOMAINS = declare(
    CONFIG_DEFAULTS,
    {
        "N_CTX_NEG": whole(0),
        "MU_POS": number(),
        "MU_NEG": number(),
        "ALPHA_MIN": SHARE,
        "BETA": NOT_NEGATIVE,
        "SEP_LAMBDA": NOT_NEGATIVE,
        "SEP_SIGMA": NOT_NEGATIVE,
        "SEP_SIGN": choice("printed", "intent"),
        "SEP_FORM": choice("dist", "label"),
        "DELTA_SHAPE": choice("elementwise", "scalar"),
        "PI_MODE": choice("iter", "epoch", "fixed", "shift"),
        "SIM_SCALE": NOT_NEGATIVE,
        "SIM_NORM": choice("class", "pair"),
        "MC_SIM": choice("prob", "cosine"),
        "REDUCTION": choice("mean", "sum"),
        "PAR_WEIGHT": NOT_NEGATIVE,
        "INFER": choice("pos", "pos_minus_neg"),
    },
)

ARCHITECTURE = tuple(N + key for key in ("N_CTX", "N_CTX_NEG", "CTX_INIT"))
