"""The allowed values (domain) of every key of `defaults.py`. A test compares the choices with the code."""

from __future__ import annotations

from .defaults import DEFAULTS
from .domains import (
    FILLED,
    FLAG,
    NOT_NEGATIVE,
    OPTIONAL,
    POSITIVE,
    SEED,
    SHARE,
    TEXT,
    Domain,
    choice,
    list_of,
    number,
    whole,
)

SAMPLER = choice("RandomSampler", "SequentialSampler", "RandomDomainSampler", "SeqDomainSampler", "RandomClassSampler")
_SAMPLING = {"SAMPLER": SAMPLER, "BATCH_SIZE": whole(1), "N_DOMAIN": whole(), "N_INS": whole(1)}
_BELOW_ONE = number(0, below=1)


def of_type(value: object) -> Domain:
    """The domain of a key without a declaration: any value of the default's type."""
    if isinstance(value, (list, tuple)):
        return list_of(of_type(value[0]) if value else FILLED)
    return {bool: FLAG, int: whole(), float: number(), str: TEXT}[type(value)]


def domains(tree: dict, declared: dict, prefix: str = "") -> dict[str, Domain]:
    """{dotted key: Domain} of every leaf of `tree` (defaults): from `declared`, a tree like it, else `of_type`."""
    found: dict[str, Domain] = {}
    for name, value in tree.items():
        said = declared.get(name)
        if isinstance(value, dict):
            found |= domains(value, said or {}, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = said or of_type(value)
    return found


# Keys that are not listed (switches; keys of upstream's methods, which nothing reads here) have their type's domain.
_DECLARED = {
    "OUTPUT_DIR": FILLED,
    "RESUME": OPTIONAL,
    "SEED": SEED,
    "INPUT": {
        "SIZE": list_of(whole(1), 2),
        "INTERPOLATION": choice("bilinear", "bicubic", "nearest"),
        "TRANSFORMS": list_of(FILLED),  # the names are checked where the chain is built: plugins have further ones
        "PIXEL_MEAN": list_of(number(), 1, 3),
        "PIXEL_STD": list_of(POSITIVE, 1, 3),
        "CROP_PADDING": whole(0),
        "RRCROP_SCALE": list_of(number(above=0, most=1), 2, rising=True),
        "CUTOUT_N": whole(0),
        "CUTOUT_LEN": whole(0),
        "GN_STD": NOT_NEGATIVE,
        "RANDAUGMENT_N": whole(0),
        "RANDAUGMENT_M": whole(0, 30),
        "COLORJITTER_B": NOT_NEGATIVE,
        "COLORJITTER_C": NOT_NEGATIVE,
        "COLORJITTER_S": NOT_NEGATIVE,
        "COLORJITTER_H": number(0, 0.5),
        "RGS_P": SHARE,
        "GB_P": SHARE,
        "GB_K": whole(1, odd=True),
    },
    "DATASET": {
        "SOURCE_DOMAINS": list_of(FILLED),
        "TARGET_DOMAINS": list_of(FILLED),
        "SUBSAMPLE_CLASSES": choice("all", "base", "new"),
        "FEWSHOT_FILE": OPTIONAL,
        "VAL_PERCENT": SHARE,
        "CIFAR_C_TYPE": OPTIONAL,
    },
    "DATALOADER": {
        "NUM_WORKERS": whole(0),
        "K_TRANSFORMS": whole(1),
        "TRAIN_X": _SAMPLING,
        "TRAIN_U": _SAMPLING,
        "TEST": {"SAMPLER": SAMPLER, "BATCH_SIZE": whole(1)},
        "DECODED_CACHE_MB": whole(0),
    },
    "MODEL": {
        "INIT_WEIGHTS": OPTIONAL,
        "HEAD": {
            "NAME": OPTIONAL,
            "HIDDEN_LAYERS": list_of(whole(1)),
            "ACTIVATION": choice("relu", "leaky_relu"),
            "DROPOUT": _BELOW_ONE,
        },
    },
    "OPTIM": {
        "NAME": choice("adam", "amsgrad", "sgd", "rmsprop", "radam", "adamw"),
        "LR": NOT_NEGATIVE,
        "WEIGHT_DECAY": NOT_NEGATIVE,
        "MOMENTUM": SHARE,
        "SGD_DAMPNING": whole(0, 1),
        "RMSPROP_ALPHA": SHARE,
        "ADAM_BETA1": _BELOW_ONE,
        "ADAM_BETA2": _BELOW_ONE,
        "ADAM_EPS": NOT_NEGATIVE,
        "NEW_LAYERS": list_of(FILLED),
        "BASE_LR_MULT": NOT_NEGATIVE,
        "LR_SCHEDULER": choice("single_step", "multi_step", "cosine"),
        "STEPSIZE": list_of(whole(), fewest=1),
        "GAMMA": NOT_NEGATIVE,
        "MAX_EPOCH": whole(),  # a run that trains needs one; a test does not
        "WARMUP_TYPE": choice("constant", "linear"),
        "WARMUP_CONS_LR": NOT_NEGATIVE,
        "WARMUP_MIN_LR": NOT_NEGATIVE,
    },
    "TRAIN": {
        "PRINT_FREQ": whole(1),
        "COUNT_ITER": choice("train_x", "train_u", "smaller_one"),
        "TRACKERS": list_of(choice("wandb", "mlflow")),
    },
    "TEST": {
        "EVALUATOR": FILLED,
        "SPLIT": choice("test", "val"),
        "FINAL_MODEL": choice("last_step", "best_val"),
        "OUTPUTS": choice("none", "top5", "logits"),
    },
}
ENGINE: dict[str, Domain] = domains(DEFAULTS, _DECLARED)
# Keys whose choices a plugin may extend. The code that uses such a key refuses unknown values itself.
OPEN = frozenset((
    "INPUT.INTERPOLATION", "DATASET.SUBSAMPLE_CLASSES", "OPTIM.NAME", "OPTIM.LR_SCHEDULER", "OPTIM.WARMUP_TYPE",
    "DATALOADER.TRAIN_X.SAMPLER", "DATALOADER.TRAIN_U.SAMPLER", "DATALOADER.TEST.SAMPLER", "MODEL.HEAD.ACTIVATION",
))  # fmt: skip
