"""Every configuration key with its default value, whose type is the key's type (yacs refuses another one)."""

from __future__ import annotations

_SAMPLING = {
    "BATCH_SIZE": 32,
    "N_DOMAIN": 0,  # domains per batch (RandomDomainSampler, SeqDomainSampler); 0 = all
    "N_INS": 16,  # images per class in a batch (RandomClassSampler)
}

# Nodes of upstream's domain-adaptation and semi-supervised methods. The methods are not here; the keys are,
# because published YAML files and command lines may set them.
_UPSTREAM_METHODS = {
    "MCD": {"N_STEP_F": 4},
    "MME": {"LMDA": 0.1},
    "CDAC": {
        "CLASS_LR_MULTI": 10,
        "RAMPUP_COEF": 30,
        "RAMPUP_ITRS": 1000,
        "TOPK_MATCH": 5,
        "P_THRESH": 0.95,
        "STRONG_TRANSFORMS": (),
    },
    "SE": {"EMA_ALPHA": 0.999, "CONF_THRE": 0.95, "RAMPUP": 300},
    "M3SDA": {"LMDA": 0.5, "N_STEP_F": 4},
    "DAEL": {"WEIGHT_U": 0.5, "CONF_THRE": 0.95, "STRONG_TRANSFORMS": ()},
    "CROSSGRAD": {"EPS_F": 1.0, "EPS_D": 1.0, "ALPHA_F": 0.5, "ALPHA_D": 0.5},
    "DDAIG": {
        "G_ARCH": "",
        "LMDA": 0.3,
        "CLAMP": False,
        "CLAMP_MIN": -1.0,
        "CLAMP_MAX": 1.0,
        "WARMUP": 0,
        "ALPHA": 0.5,
    },
    "DAELDG": {"WEIGHT_U": 0.5, "CONF_THRE": 0.95, "STRONG_TRANSFORMS": ()},
    "DOMAINMIX": {"TYPE": "crossdomain", "ALPHA": 1.0, "BETA": 1.0},
    "ENTMIN": {"LMDA": 1e-3},
    "MEANTEACHER": {"WEIGHT_U": 1.0, "EMA_ALPHA": 0.999, "RAMPUP": 5},
    "MIXMATCH": {"WEIGHT_U": 100.0, "TEMP": 2.0, "MIXUP_BETA": 0.75, "RAMPUP": 20000},
    "FIXMATCH": {"WEIGHT_U": 1.0, "CONF_THRE": 0.95, "STRONG_TRANSFORMS": ()},
}

DEFAULTS = {
    "VERSION": 1,
    "OUTPUT_DIR": "./output",
    "RESUME": "",  # a run's output folder to resume from; empty: OUTPUT_DIR itself
    "SEED": -1,  # negative: a seed is drawn from the operating system and logged
    "USE_CUDA": True,
    "VERBOSE": True,
    "INPUT": {
        "SIZE": (224, 224),  # height, width
        "INTERPOLATION": "bilinear",
        "TRANSFORMS": (),
        "NO_TRANSFORM": False,
        "PIXEL_MEAN": [0.485, 0.456, 0.406],
        "PIXEL_STD": [0.229, 0.224, 0.225],
        "CROP_PADDING": 4,
        "RRCROP_SCALE": (0.08, 1.0),
        "CUTOUT_N": 1,
        "CUTOUT_LEN": 16,
        "GN_MEAN": 0.0,
        "GN_STD": 0.15,
        "RANDAUGMENT_N": 2,
        "RANDAUGMENT_M": 10,
        "COLORJITTER_B": 0.4,
        "COLORJITTER_C": 0.4,
        "COLORJITTER_S": 0.4,
        "COLORJITTER_H": 0.1,
        "RGS_P": 0.2,
        "GB_P": 0.5,
        "GB_K": 21,
    },
    "DATASET": {
        "ROOT": "",
        "NAME": "",
        "SOURCE_DOMAINS": (),
        "TARGET_DOMAINS": (),
        "NUM_LABELED": -1,
        "NUM_SHOTS": -1,  # images per class for training; below 1: all
        "SUBSAMPLE_CLASSES": "all",  # all, base, new (not in upstream, where entry points add it)
        "FEWSHOT_FILE": "",  # a list of the training images, in place of a draw (not in upstream)
        "VAL_PERCENT": 0.1,
        "STL10_FOLD": -1,
        "CIFAR_C_TYPE": "",
        "CIFAR_C_LEVEL": 1,
        "ALL_AS_UNLABELED": False,
    },
    "DATALOADER": {
        "NUM_WORKERS": 4,
        "K_TRANSFORMS": 1,
        "RETURN_IMG0": False,
        "TRAIN_X": {"SAMPLER": "RandomSampler", **_SAMPLING},
        "TRAIN_U": {"SAME_AS_X": True, "SAMPLER": "RandomSampler", **_SAMPLING},
        "TEST": {"SAMPLER": "SequentialSampler", "BATCH_SIZE": 32},
        # Not in upstream. True: plain torch loaders with upstream's random draws, which depend on NUM_WORKERS.
        "UPSTREAM_RNG": False,
        # Not in upstream. Keep worker processes from one epoch to the next (they restart when the data set changed).
        "PERSISTENT_WORKERS": True,
        # Not in upstream. Decoded training images are kept in memory up to this size, over all workers; 0: none.
        "DECODED_CACHE_MB": 1024,
    },
    "MODEL": {
        "INIT_WEIGHTS": "",
        "BACKBONE": {"NAME": "", "PRETRAINED": True},
        "HEAD": {"NAME": "", "HIDDEN_LAYERS": (), "ACTIVATION": "relu", "BN": True, "DROPOUT": 0.0},
    },
    "OPTIM": {
        "NAME": "adam",
        "LR": 3e-4,
        "WEIGHT_DECAY": 5e-4,
        "MOMENTUM": 0.9,
        "SGD_DAMPNING": 0,
        "SGD_NESTEROV": False,
        "RMSPROP_ALPHA": 0.99,
        "ADAM_BETA1": 0.9,
        "ADAM_BETA2": 0.999,
        "ADAM_EPS": 1e-8,  # not in upstream, whose Adam has torch's default
        "STAGED_LR": False,
        "NEW_LAYERS": (),
        "BASE_LR_MULT": 0.1,
        "LR_SCHEDULER": "single_step",
        "STEPSIZE": (-1,),
        "GAMMA": 0.1,
        "MAX_EPOCH": 10,
        "WARMUP_EPOCH": -1,
        "WARMUP_TYPE": "linear",
        "WARMUP_CONS_LR": 1e-5,
        "WARMUP_MIN_LR": 1e-5,
        "WARMUP_RECOUNT": True,
    },
    "TRAIN": {
        "CHECKPOINT_FREQ": 0,  # epochs; 0: only after the last one
        "PRINT_FREQ": 10,  # batches
        "COUNT_ITER": "train_x",  # train_x, train_u, smaller_one (TrainerXU)
        # Not in upstream. Seconds after which a finished epoch is saved, so that an interrupted run resumes there.
        "ROLLING_SECONDS": 30,
        # Not in upstream. False: no event files are written, and tensorboard is not imported.
        "TENSORBOARD": True,
        # Not in upstream. Where curves and configuration are written beside it: wandb, mlflow.
        "TRACKERS": (),
    },
    "TEST": {
        "EVALUATOR": "Classification",
        "PER_CLASS_RESULT": False,
        "COMPUTE_CMAT": False,
        "NO_TEST": False,
        "SPLIT": "test",
        "FINAL_MODEL": "last_step",  # last_step or best_val
        # Not in upstream. What a test keeps of each image (docs/outputs.md): none; top5; logits, for all classes.
        "OUTPUTS": "top5",
    },
    "TRAINER": {"NAME": "", **_UPSTREAM_METHODS},
}
