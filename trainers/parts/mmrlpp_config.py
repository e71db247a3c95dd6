"""MMRL++'s config keys, and its published settings for each dataset."""

from dassl.config.domains import NOT_NEGATIVE, SHARE, list_of, whole

from ..shared.domains import declare

N = "TRAINER.MMRLpp."
CONFIG_DEFAULTS = {
    N + "ALPHA": 0.7,  # weight of the class feature's branch
    N + "BETA": 0.9,  # share of new tokens in the later blocks
    N + "REG_WEIGHT": 1.0,  # lambda; the published value of a dataset where there is one
    N + "REP_LAYERS": [6, 7, 8, 9, 10, 11, 12],  # counted from 1
    N + "REP_DIM": 512,  # d_r
    N + "N_REP_TOKENS": 5,  # K
    N + "PROJ_LORA_DIM": 64,
    N + "RES_LORA_DIM": 4,
    N + "TARGET_BETA": False,  # True: across datasets, the BETA published for the target: chosen on its test images
    N + "FIXED_SCALE": False,  # True: logits are 100 times the cosine on every backbone, as in the published code
    N + "PREC": "amp",
}
CONFIG_DOMAINS = declare(
    CONFIG_DEFAULTS,
    {
        "ALPHA": SHARE,
        "BETA": SHARE,
        "REG_WEIGHT": NOT_NEGATIVE,
        "REP_LAYERS": list_of(whole(1), fewest=1),
        "REP_DIM": whole(1),
        "N_REP_TOKENS": whole(1),
        "PROJ_LORA_DIM": whole(1),
        "RES_LORA_DIM": whole(1),
    },
)
# BETA and lambda of base-to-new and few-shot training
SETTINGS_OF_DATASET = {
    "ImageNet": (0.9, 0.2),
    "FGVCAircraft": (0.9, 2.0),
    "UCF101": (0.9, 3.0),
    "DescribableTextures": (0.9, 7.0),
    "OxfordPets": (0.7, 0.01),
    "StanfordCars": (0.7, 6.0),
    "Caltech101": (0.6, 3.0),
    "SUN397": (0.5, 3.0),
    "OxfordFlowers": (0.4, 7.0),
    "EuroSAT": (0.2, 0.01),
    "Food101": (0.1, 1.0),
}
CROSS_DATASET = (0.9, 0.1)  # of training on ImageNet for other datasets
# BETA of the published results on each target dataset, with weights that were trained with 0.9
BETA_OF_TARGET = {
    "ImageNet": 0.9,
    "FGVCAircraft": 0.9,
    "UCF101": 0.9,
    "DescribableTextures": 0.5,
    "OxfordPets": 0.6,
    "StanfordCars": 0.3,
    "Caltech101": 0.6,
    "SUN397": 0.7,
    "OxfordFlowers": 0.4,
    "EuroSAT": 0.3,
    "Food101": 0.3,
    "ImageNetV2": 0.9,
    "ImageNetR": 0.9,
    "ImageNetA": 0.8,
    "ImageNetSketch": 0.7,
}
