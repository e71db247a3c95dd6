"""A tiny CLIP and a tiny dataset, so that whole runs take a second or two."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import clip
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from dassl.data.datasets import DATASET_REGISTRY
from datasets.base import SplitDataset

NAMES = ["striped circle", "dotted star", "checkered house", "plain tree", "speckled fish"]

# What lets a method run on a backbone of three blocks.
FITTING = {
    "ANPrompt": {"TRAINER.ANPROMPT.IN_LAYERS": [2, 3], "TRAINER.ANPROMPT.N_TOKENS": 3, "OPTIM.LR": 0.01},
    "CLIPLoRA": {"TRAINER.CLIPLORA.STEPS": 9, "TRAINER.CLIPLORA.DROPOUT": 0.1},
    "CoPrompt": {"TRAINER.CoPrompt.PROMPT_DEPTH": 3, "DATALOADER.K_TRANSFORMS": 2},
    "FAP": {"TRAINER.FAP.PROMPT_DEPTH": 3},
    "IVLP": {"TRAINER.IVLP.PROMPT_DEPTH_VISION": 3, "TRAINER.IVLP.PROMPT_DEPTH_TEXT": 3},
    "MaPLe": {"TRAINER.MAPLE.PROMPT_DEPTH": 3},
    "MMRL": {"TRAINER.MMRL.REP_LAYERS": [2, 3], "TRAINER.MMRL.REP_DIM": 24, "TRAINER.MMRL.N_REP_TOKENS": 3},
    "PromptSRC": {
        "TRAINER.PROMPTSRC.PROMPT_DEPTH_VISION": 3,
        "TRAINER.PROMPTSRC.PROMPT_DEPTH_TEXT": 3,
        "TRAINER.PROMPTSRC.GPA_MEAN": 2.0,
    },
    "MMA": {"TRAINER.MMADAPTER.ADAPTER_START": 2, "TRAINER.MMADAPTER.ADAPTER_END": 3},
    "MMRLpp": {"TRAINER.MMRLpp.REP_LAYERS": [2, 3], "TRAINER.MMRLpp.REP_DIM": 24, "TRAINER.MMRLpp.N_REP_TOKENS": 3},
    "ProMetaR": {"TRAINER.PROMETAR.PROMPT_DEPTH_VISION": 3, "TRAINER.PROMETAR.PROMPT_DEPTH_TEXT": 3},
    "TAC": {
        "TRAINER.TAC.N_CTX_VISION": 2,
        "TRAINER.TAC.N_CTX_TEXT": 2,
        "TRAINER.TAC.PROMPT_DEPTH_VISION": 3,
        "TRAINER.TAC.PROMPT_DEPTH_TEXT": 3,
        "DATALOADER.RETURN_IMG0": True,
        "DATALOADER.K_TRANSFORMS": 2,
    },
    "TCP": {"TRAINER.TCP.LAYERS": [2]},
    "TipAdapterF": {"OPTIM.NAME": "adamw", "OPTIM.LR": 0.01},
    "TwoSFS": {"TRAINER.TWOSFS.STEPS": 9},
    "VisPrompt": {"TRAINER.VISPROMPT.VISUAL_HIDDEN_DIM": 32, "TRAINER.VISPROMPT.ATTENTION_HEADS": 4},
    "DeFT": {"TRAINER.DEFT.PROMPT_DEPTH_VISION": 3, "TRAINER.DEFT.N_CTX_VISION": 3},
    "VPT": {"TRAINER.VPT.PROMPT_DEPTH_VISION": 3},
}
FITTING["MaPLeDePT"] = FITTING["MaPLe"]
FITTING["AdvMaPLe"] = FITTING["FAP"]
FITTING["CoOpATPrompt"] = {"TRAINER.ATPROMPT.ATT_NUM": 3, "TRAINER.ATPROMPT.ATT3_TEXT": "size"}  # all contexts learn
FITTING["MaPLeATPrompt"] = FITTING["MaPLe"] | FITTING["CoOpATPrompt"]
FITTING["PromptSRCDePT"] = FITTING["PromptSRC"]
METHODS = (
    "CoOp",
    "CoCoOp",
    "KgCoOp",
    "ProGrad",
    "VPT",
    "IVLP",
    "MaPLe",
    "PromptSRC",
    "TCP",
    "CoPrompt",
    "MMRL",
    "ANPrompt",
    "NLPrompt",
    "JoAPR",
    "VisPrompt",
    "CLIPLoRA",
    "TextRefiner",
    "TwoSFS",
    "TAC",
    "MMRLpp",
    "MMA",
    "TipAdapterF",
    "ProMetaR",
    "DeFT",
    "KgCoOpDePT",
    "CoOpATPrompt",
    "MaPLeATPrompt",
    "MaPLeDePT",
)


@DATASET_REGISTRY.register()
class Tiny(SplitDataset):
    """Five classes of one-coloured noise, 6 training, 2 validation and 4 test images each."""

    dataset_dir = "tiny"
    image_dir = "images"
    split_file = "split_zhou_Tiny.json"


def make_tiny(root: Path) -> Path:
    """Writes the dataset's folder under `root` and returns it."""
    folder = root / "tiny"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    split: dict[str, list] = {"train": [], "val": [], "test": []}
    for label, name in enumerate(NAMES):
        for part, count in (("train", 6), ("val", 2), ("test", 4)):
            for i in range(count):
                file = f"{label}_{part}_{i}.png"
                pixels = rng.integers(0, 90, (20, 24, 3)) + 30 * np.array([label, 5 - label, label % 2])
                Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / file)
                split[part].append([file, label, name])
    (folder / "split_zhou_Tiny.json").write_text(json.dumps(split))
    return folder


def make_clip(file: Path, width: int = 64, depth: int = 3, seed: int = 0) -> Path:
    """A randomly initialised ViT CLIP of 16-pixel images, saved as safetensors that state their structure."""
    torch.manual_seed(seed)
    model = clip.model.CLIP(32, 16, depth, width, 8, 77, 49408, 64, 1, depth)
    with torch.no_grad():
        model.logit_scale.fill_(np.log(20.0))
    weights = {k: v.half().contiguous() for k, v in model.state_dict().items()}
    save_file(weights, file, metadata={"clip_structure": "openai"})
    return file


def arguments(
    root: Path, backbone: Path, output: Path, trainer: str = "CoOp", flags: tuple = (), pairs: dict | None = None
) -> list[str]:
    """train.py's arguments for a short run on the tiny dataset; `pairs` are config pairs that win over these."""
    settings = {
        "DATASET.NAME": "Tiny", "DATASET.NUM_SHOTS": 4, "DATASET.SUBSAMPLE_CLASSES": "base",
        "MODEL.BACKBONE.PATH": backbone, "INPUT.SIZE": (16, 16),
        "INPUT.TRANSFORMS": ("random_resized_crop", "random_flip", "normalize"),
        "DATALOADER.NUM_WORKERS": 0, "DATALOADER.TRAIN_X.BATCH_SIZE": 4, "DATALOADER.TEST.BATCH_SIZE": 5,
        "OPTIM.NAME": "sgd", "OPTIM.LR": 0.05, "OPTIM.MAX_EPOCH": 3, "OPTIM.LR_SCHEDULER": "cosine",
        "OPTIM.WARMUP_EPOCH": 1, "TRAIN.PRINT_FREQ": 1, "TRAIN.TENSORBOARD": False,
    }  # fmt: skip
    settings |= FITTING.get(trainer, {}) | (pairs or {})
    named = ["--root", root, "--seed", 1, "--trainer", trainer, "--output-dir", output, *flags]
    return [str(x) for x in (*named, *(x for pair in settings.items() for x in pair))]


def cleanlab_stand_in(monkeypatch, wrong: tuple[int, ...]) -> list:
    """In place of the package `cleanlab` one that finds the labels of these indices wrong; what it is asked fills the
    list."""
    asked: list = []

    def find_label_issues(labels, pred_probs, **kwargs):
        asked.append((labels, pred_probs))
        return np.isin(np.arange(len(labels)), wrong)

    package = types.ModuleType("cleanlab")
    package.filter, package.rank = types.ModuleType("cleanlab.filter"), types.ModuleType("cleanlab.rank")
    package.filter.find_label_issues = find_label_issues
    package.rank.get_label_quality_scores = lambda labels, pred_probs: pred_probs[np.arange(len(labels)), labels]
    for name in ("cleanlab", "cleanlab.filter", "cleanlab.rank"):
        monkeypatch.setitem(sys.modules, name, package if name == "cleanlab" else getattr(package, name[9:]))
    return asked


def saved_weights(folder: Path, epoch: int = 3) -> dict[str, torch.Tensor]:
    """The tensors of a run's checkpoints of that epoch; TextRefiner has two files."""
    files = list(folder.glob(f"*/model.pth.tar-{epoch}"))
    assert files
    return {key: x for file in files for key, x in torch.load(file, weights_only=True)["state_dict"].items()}


def outputs_rows(folder: Path, name: str = "outputs.npz") -> list[dict[str, str]]:
    """The outputs of a test, a row for each image, as text; columns with several values an image are left out."""
    with np.load(folder / name, allow_pickle=False) as stored:
        columns = {key: stored[key] for key in stored.files if stored[key].shape == stored["label"].shape}
    shown = {
        key: [f"{x:.6f}" for x in column.tolist()] if column.dtype.kind == "f" else [str(x) for x in column.tolist()]
        for key, column in columns.items()
    }
    return [dict(zip(shown, values, strict=True)) for values in zip(*shown.values(), strict=True)]


def locked(monkeypatch, *names: str) -> None:
    """Files of these names may not be opened, for a user who is not root."""
    import builtins
    import io

    real = io.open

    def opened(file, *words, **more):
        if str(file).endswith(names):
            raise PermissionError(13, "Permission denied", str(file))
        return real(file, *words, **more)

    monkeypatch.setattr(builtins, "open", opened)
    monkeypatch.setattr(io, "open", opened)
