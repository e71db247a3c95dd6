"""The methods' YAML files: every key exists, and what they say is what was published."""

from __future__ import annotations

from pathlib import Path

import pytest

import train
from dassl.engine import TRAINER_REGISTRY
from runs.config_names import METHODS, UNTRAINED

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
BY_STEP = ("CLIPLoRA", "TwoSFS", "TipAdapter", "TipAdapterF", "LPpp", "DeFT")  # without warm-up
HALF_CROPS = ("MMRL", "MMRLpp", "ANPrompt", "TipAdapter", "TipAdapterF", "LPpp")
TRAINERS = CONFIGS / "trainers"
FILES = sorted(TRAINERS.glob("*/*.yaml"))


def resolved(method: str, name: str):
    """The config of a run, as train.py makes it. Digits has no settings of its own in any method."""
    dataset, file = CONFIGS / "datasets" / "digits.yaml", TRAINERS / method / f"{name}.yaml"
    arguments = ["--trainer", method, "--dataset-config-file", str(dataset), "--config-file", str(file)]
    return train.setup_cfg(train.build_parser().parse_args(arguments))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_every_file_is_complete(file):
    cfg = resolved(file.parent.name, file.stem)
    embedded = file.stem == "embedded"
    assert tuple(cfg.INPUT.SIZE) == ((48, 48) if embedded else (224, 224))
    assert cfg.INPUT.INTERPOLATION == "bicubic" and "normalize" in cfg.INPUT.TRANSFORMS
    assert cfg.INPUT.PIXEL_MEAN == [0.48145466, 0.4578275, 0.40821073]
    assert cfg.INPUT.PIXEL_STD == [0.26862954, 0.26130258, 0.27577711]
    assert cfg.DATALOADER.TEST.BATCH_SIZE == 100
    assert (cfg.DATALOADER.NUM_WORKERS == 0) == embedded
    assert (cfg.MODEL.BACKBONE.NAME == "Embedded") == embedded
    away = file.stem.endswith(("cross_datasets", "crossdatasets"))
    task = "CD" if away else "FS" if file.stem.endswith("few_shot") else "B2N"
    assert task == cfg.TASK
    if file.parent.name not in UNTRAINED:
        assert cfg.OPTIM.LR_SCHEDULER == "cosine" and cfg.OPTIM.WARMUP_CONS_LR == 1e-5
        warm = (
            -1 if file.parent.name in BY_STEP or file.stem == "vit_b16_cross_datasets" else 1
        )  # MMRL's, MMRL++'s and ANPrompt's single epoch
        warm = 0 if file.parent.name == "MMA" else warm
        assert warm == cfg.OPTIM.WARMUP_EPOCH


# method, config: optimizer, learning rate, batch, epochs, precision (and further keys of the method's node)
SCHEDULES = {
    ("CoOp", "vit_b16_ctxv1"): ("sgd", 2e-3, 32, 200, "fp16"),
    ("CoOp", "vit_b16_ep50"): ("sgd", 2e-3, 32, 50, "fp16"),
    ("CoCoOp", "vit_b16_c4_ep10_batch1_ctxv1"): ("sgd", 2e-3, 1, 10, "fp16"),
    ("CoCoOp", "vit_b16_c16_ep10_batch1"): ("sgd", 2e-3, 1, 10, "fp16"),
    ("KgCoOp", "vit_b16_ep100_ctxv1"): ("sgd", 2e-3, 128, 100, "fp16"),
    ("ProGrad", "vit_b16_ep100"): ("sgd", 2e-3, 32, 100, "fp16"),
    ("ProGrad", "rn50"): ("sgd", 2e-3, 32, 200, "fp16"),
    ("VPT", "vit_b16_c2_ep5_batch4_4"): ("sgd", 2.5e-3, 4, 5, "fp32"),
    ("IVLP", "vit_b16_c2_ep5_batch4_2+2ctx"): ("sgd", 3.5e-3, 4, 5, "fp16"),
    ("IVLP", "vit_b16_c2_ep5_batch4_4ctx_language_only"): ("sgd", 2.5e-3, 4, 5, "fp16"),
    ("MaPLe", "vit_b16_c2_ep5_batch4_2ctx"): ("sgd", 3.5e-3, 4, 5, "fp16"),
    ("MaPLe", "vit_b16_c2_ep5_batch4_2ctx_cross_datasets"): ("sgd", 2.6e-3, 4, 2, "fp16"),
    ("PromptSRC", "vit_b16_c2_ep20_batch4_4+4ctx"): ("sgd", 2.5e-3, 4, 20, "fp16"),
    ("PromptSRC", "vit_b16_c2_ep20_batch4_4+4ctx_cross_datasets"): ("sgd", 2.5e-3, 4, 20, "fp16"),
    ("PromptSRC", "vit_b16_c2_ep50_batch4_4+4ctx_few_shot"): ("sgd", 2.5e-3, 4, 50, "fp16"),
    ("TCP", "vit_b16_ep100_ctxv1"): ("adam", 2e-3, 32, 50, "fp16"),
    ("CoPrompt", "coprompt"): ("sgd", 3.5e-3, 4, 8, "fp16"),
    ("MMRL", "vit_b16"): ("adamw", 1e-3, 4, 10, "amp"),
    ("MMRL", "vit_b16_imagenet"): ("adamw", 1e-3, 32, 5, "amp"),
    ("MMRL", "vit_b16_cross_datasets"): ("adamw", 1e-3, 32, 1, "amp"),
    ("MMRL", "vit_b16_few_shot"): ("adamw", 1e-3, 32, 50, "amp"),
    ("TextRefiner", "vit_b16"): ("sgd", 2e-3, 32, 10, "fp16"),
    ("CoOpDePT", "vit_b16_ep10_batch4"): ("sgd", 0.02275, 4, 10, "fp16"),
    ("KgCoOpDePT", "vit_b16_ep10_batch4"): ("sgd", 0.02275, 4, 10, "fp16"),
    ("MaPLeDePT", "vit_b16_ep10_batch4"): ("sgd", 0.02275, 4, 10, "fp16"),
    ("CoOpATPrompt", "vit_b16"): ("sgd", 2e-3, 32, 100, "fp16"),
    ("MaPLeATPrompt", "vit_b16"): ("sgd", 3.5e-3, 4, 5, "fp16"),
    ("ProMetaR", "vit_b16_c2_ep10_batch4_4+4ctx"): ("sgd", 2.5e-3, 4, 10, "fp16"),
    ("TAC", "basetonovel"): ("sgd", 2.5e-3, 8, 20, "fp16"),
    ("TAC", "crossdatasets"): ("sgd", 2.5e-3, 8, 5, "fp16"),
    ("MMRLpp", "vit_b16"): ("adamw", 1e-3, 4, 10, "amp"),
    ("MMRLpp", "vit_b16_few_shot"): ("adamw", 2e-3, 32, 100, "amp"),
    ("MMA", "vit_b16_ep5"): ("sgd", 1.5e-3, 16, 5, "amp"),
    ("MMA", "vit_b16_ep5_imnet"): ("sgd", 1.5e-3, 128, 5, "amp"),
    ("TextRefiner", "vit_b16_lr8e-4"): ("sgd", 8e-4, 32, 10, "fp16"),
    ("ANPrompt", "vit_b16"): ("adamw", 1e-3, 4, 10, "amp"),
    ("CLIPLoRA", "vit_b16"): ("adamw", 2e-4, 32, 10, "amp"),
    ("DeFT", "vit_b16"): ("sgd", 0.03, 64, 10, "fp16"),
    ("DeFT", "vit_b32"): ("sgd", 0.03, 64, 10, "fp16"),
    ("LPpp", "rn50"): ("sgd", 1.0, 32, 300, "fp16"),
    ("LPpp", "vit_b16"): ("sgd", 1.0, 32, 300, "fp16"),
    ("TipAdapter", "rn50"): ("adamw", 1e-3, 256, 1, "fp16"),
    ("TipAdapterF", "rn50"): ("adamw", 1e-3, 256, 20, "fp16"),
    ("TipAdapterF", "vit_b16"): ("adamw", 1e-3, 256, 20, "fp16"),
    ("TwoSFS", "vit_b16"): ("adamw", 2e-4, 32, 10, "amp"),
    ("TwoSFS", "vit_b32"): ("adamw", 2e-4, 32, 10, "amp"),
    ("CLIPLoRA", "vit_b32"): ("adamw", 2e-4, 32, 10, "amp"),
}
KEYS = {
    ("CoCoOp", "vit_b16_c4_ep10_batch1_ctxv1"): {"COCOOP.N_CTX": 4, "COCOOP.CTX_INIT": "a photo of a"},
    ("CoCoOp", "vit_b16_c16_ep10_batch1"): {"COCOOP.N_CTX": 16, "COCOOP.CTX_INIT": ""},
    ("KgCoOp", "vit_b16_ep100_ctxv1"): {"COOP.N_CTX": 4, "COOP.CTX_INIT": "a photo of a", "COOP.W": 8.0},
    ("ProGrad", "vit_b16_ep100"): {"PROGRAD.N_CTX": 16, "PROGRAD.T": 1.0, "PROGRAD.LAMBDA": 1.0},
    ("VPT", "vit_b16_c2_ep5_batch4_4"): {"VPT.N_CTX_VISION": 8, "VPT.PROMPT_DEPTH_VISION": 12},
    ("IVLP", "vit_b16_c2_ep5_batch4_2+2ctx"): {"IVLP.N_CTX_VISION": 2, "IVLP.N_CTX_TEXT": 2},
    ("IVLP", "vit_b16_c2_ep5_batch4_4ctx_language_only"): {"IVLP.N_CTX_VISION": 0, "IVLP.PROMPT_DEPTH_VISION": 0},
    ("MaPLe", "vit_b16_c2_ep5_batch4_2ctx"): {"MAPLE.N_CTX": 2, "MAPLE.PROMPT_DEPTH": 9},
    ("MaPLe", "vit_b16_c2_ep5_batch4_2ctx_cross_datasets"): {"MAPLE.PROMPT_DEPTH": 3},
    ("PromptSRC", "vit_b16_c2_ep20_batch4_4+4ctx"): {
        "PROMPTSRC.GPA_MEAN": 15, "PROMPTSRC.GPA_STD": 1, "PROMPTSRC.PROMPT_DEPTH_TEXT": 9,
        "PROMPTSRC.TEXT_LOSS_WEIGHT": 25, "PROMPTSRC.IMAGE_LOSS_WEIGHT": 10,
    },
    ("PromptSRC", "vit_b16_c2_ep20_batch4_4+4ctx_cross_datasets"): {
        "PROMPTSRC.GPA_MEAN": 6, "PROMPTSRC.GPA_STD": 10, "PROMPTSRC.PROMPT_DEPTH_VISION": 3,
    },
    ("PromptSRC", "vit_b16_c2_ep50_batch4_4+4ctx_few_shot"): {"PROMPTSRC.GPA_MEAN": 45, "PROMPTSRC.GPA_STD": 5},
    ("TCP", "vit_b16_ep100_ctxv1"): {"COOP.N_CTX": 4, "COOP.CTX_INIT": "", "TCP.LAYERS": [9], "TCP.KG_WEIGHT": 8.0},
    ("CoPrompt", "coprompt"): {"CoPrompt.N_CTX": 2, "CoPrompt.PROMPT_DEPTH": 9, "W": 1.0, "DISTILL": "cosine"},
    ("MMRL", "vit_b16"): {"MMRL.REP_LAYERS": [6, 7, 8, 9, 10, 11, 12], "MMRL.REP_DIM": 512, "MMRL.ALPHA": 0.7},
    ("MMRL", "vit_b16_cross_datasets"): {"MMRL.REG_WEIGHT": 0.2},
    ("TwoSFS", "vit_b16"): {"TWOSFS.ALPHA": 0.6, "TWOSFS.STEPS_PER_SHOT": 300},
    ("CLIPLoRA", "vit_b16"): {
        "CLIPLORA.R": 2, "CLIPLORA.ALPHA": 1.0, "CLIPLORA.DROPOUT": 0.25, "CLIPLORA.STEPS_PER_SHOT": 500,
    },
    ("KgCoOpDePT", "vit_b16_ep10_batch4"): {"COOP.W": 2.0, "LINEAR_PROBE.WEIGHT": 0.7, "COOP.CTX_INIT": "a photo of a"},
    ("CoOpATPrompt", "vit_b16"): {"COOP.N_CTX": 2, "ATPROMPT.ATT_NUM": 2, "ATPROMPT.ATT1_TEXT": "color"},
    ("ProMetaR", "vit_b16_c2_ep10_batch4_4+4ctx"): {"PROMETAR.ADAPT_LR": 5e-4, "PROMETAR.PROMPT_DEPTH_TEXT": 9},
    ("TAC", "basetonovel"): {"TAC.N_CTX_TEXT": 5, "TAC.PROMPT_DEPTH_VISION": 12, "TAC.IMAGE_LOSS_WEIGHT": 25},
    ("TAC", "crossdatasets"): {"TAC.N_CTX_TEXT": 10, "TAC.N_CTX_VISION": 10, "TAC.TEXT_LOSS_WEIGHT": 20},
    ("MMRLpp", "vit_b16_cross_datasets"): {"MMRLpp.REG_WEIGHT": 0.1, "MMRLpp.BETA": 0.9},
    ("MMA", "vit_b16_ep5"): {"MMADAPTER.ADAPTER_START": 5, "MMADAPTER.ADAPTER_END": 12, "MMADAPTER.ADAPTER_DIM": 32},
    ("TextRefiner", "vit_b16"): {"TF.MEMORY_SIZE": 25, "TF.ALPHA": 0.2, "TF.BALANCE": 50, "COOP.N_CTX": 4},
}  # fmt: skip


@pytest.mark.parametrize("which", SCHEDULES, ids="/".join)
def test_published_schedules(which):
    method, _ = which
    cfg = resolved(*which)
    node = TRAINER_REGISTRY.get(method).node.partition(".")[2]
    found = (cfg.OPTIM.NAME, cfg.OPTIM.LR, cfg.DATALOADER.TRAIN_X.BATCH_SIZE, cfg.OPTIM.MAX_EPOCH)
    assert (*found, cfg.TRAINER[node].PREC) == SCHEDULES[which]
    for key, value in KEYS.get(which, {}).items():
        place = cfg.TRAINER
        for part in key.split("."):
            place = place[part]
        assert place == value, key
    assert "random_resized_crop" in cfg.INPUT.TRANSFORMS or method == "CoPrompt"
    half = (0.5, 1.0) if method in HALF_CROPS else (0.08, 1.0)
    assert tuple(cfg.INPUT.RRCROP_SCALE) == {"basetonovel": (0.4, 1.0), "crossdatasets": (0.8, 1.0)}.get(which[1], half)


def test_what_is_particular():
    assert resolved("TCP", "vit_b16_ep100_ctxv1").OPTIM.ADAM_EPS == 1e-3
    assert resolved("CoOp", "vit_b16").OPTIM.ADAM_EPS == 1e-8
    cfg = resolved("CoPrompt", "coprompt")
    assert cfg.DATALOADER.K_TRANSFORMS == 2 and tuple(cfg.INPUT.TRANSFORMS) == ("randaugment", "normalize")


@pytest.mark.parametrize("method", [m for m in METHODS if m != "ZeroshotCLIP"])
def test_embedded_depths_fit_four_blocks(method):
    cfg = resolved(method, "embedded")
    nodes = {key.split(".")[1] for key in TRAINER_REGISTRY.get(method).config_defaults if key.count(".") == 2}
    nodes -= {"SAR"}
    found = {
        k: v
        for node in nodes
        for k, v in cfg.TRAINER[node].items()
        if "DEPTH" in k or "LAYERS" in k or "ADAPTER_END" in k
    }
    for key, value in found.items():
        assert max(value) <= 4 if isinstance(value, (list, tuple)) else value <= 4, key
    assert found or method in ("CoOp", "CoCoOp", "KgCoOp", "ProGrad", "TextRefiner")
