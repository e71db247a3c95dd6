"""Checkpoints in the form that the reference implementations save, made from a tiny CLIP: every key of every method.

Sizes: text width and vision width as the CLIP's; the table follows the methods' published configs with depths cut to
the tiny CLIP's three blocks.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR

D_T, D_V, JOINT, DEPTH = 64, 64, 32, 3  # tests/helpers.py's tiny CLIP
CLASSES = 5  # of the training run in the file; evaluated are others

Shapes = dict[str, tuple[int, ...]]


def _deep(tower: str, n: int, width: int, blocks: range) -> Shapes:
    return {f"{tower}.transformer.resblocks.{b}.VPT_shallow": (n, width) for b in blocks}


def _linear(name: str, d_in: int, d_out: int) -> Shapes:
    return {f"{name}.weight": (d_out, d_in), f"{name}.bias": (d_out,)}


def _maple(n: int, depth: int) -> Shapes:
    p = "prompt_learner."
    shapes = {p + "ctx": (n, D_T), **_linear(p + "proj", D_T, D_V)}
    for i in range(depth - 1):
        shapes[f"{p}compound_prompts_text.{i}"] = (n, D_T)
        shapes |= _linear(f"{p}compound_prompt_projections.{i}", D_T, D_V)
    return shapes


def _fap(n: int, depth: int) -> Shapes:
    """FAP and AdvMaPLe: the deep prompts are the image tower's, and their maps lead to the text."""
    p = "prompt_learner."
    shapes = {p + "ctx": (n, D_T), **_linear(p + "proj", D_T, D_V)}
    for i in range(depth - 1):
        shapes[f"{p}compound_prompts_image.{i}"] = (n, D_V)
        shapes |= _linear(f"{p}compound_prompt_projections.{i}", D_V, D_T)
    return shapes


def _mmrl(tokens: int, dim: int, layers: int) -> Shapes:
    p = "representation_learner.compound_rep_tokens"
    shapes: Shapes = {p: (tokens, dim), "image_encoder.proj_rep": (D_V, JOINT)}
    for i in range(layers):
        shapes |= _linear(f"{p}_r2vproj.{i}", dim, D_V) | _linear(f"{p}_r2tproj.{i}", dim, D_T)
    return shapes


# method -> (folder, learnable shapes)
LEARNED: dict[str, tuple[str, Shapes]] = {
    "CoOp": ("prompt_learner", {"ctx": (16, D_T)}),
    "CoCoOp": (
        "prompt_learner",
        {"ctx": (4, D_T), **_linear("meta_net.linear1", JOINT, JOINT // 16), **_linear("meta_net.linear2", 2, D_T)},
    ),
    "KgCoOp": ("prompt_learner", {"ctx": (4, D_T)}),
    "ProGrad": ("prompt_learner", {"ctx": (16, D_T)}),
    "TCP": (
        "prompt_learner",
        {
            "ctx": (4, D_T),
            **_linear("meta_net.linear1", JOINT, JOINT // 4),
            **_linear("meta_net.linear2", JOINT // 4, 4 * D_T),
        },
    ),
    "VPT": (
        "prompt_learner",
        {"image_encoder.VPT": (8, D_V), **_deep("image_encoder", 8, D_V, range(1, DEPTH))},
    ),
    "IVLP": (
        "VLPromptLearner",
        {
            "prompt_learner.ctx": (2, D_T),
            "image_encoder.VPT": (2, D_V),
            **_deep("image_encoder", 2, D_V, range(1, DEPTH)),
            **_deep("text_encoder", 2, D_T, range(1, DEPTH)),
        },
    ),
    "MaPLe": ("MultiModalPromptLearner", _maple(2, DEPTH)),
    "PromptSRC": (
        "VLPromptLearner",
        {
            "prompt_learner.ctx": (4, D_T),
            "image_encoder.VPT": (4, D_V),
            **_deep("image_encoder", 4, D_V, range(1, DEPTH)),
            **_deep("text_encoder", 4, D_T, range(1, DEPTH)),
        },
    ),
    "CoPrompt": (
        "MultiModalPromptLearner",
        {
            **_maple(2, DEPTH),
            **{f"adapter_{t}.fc.{i}.weight": s for t in ("image", "text") for i, s in ((0, (8, 32)), (2, (32, 8)))},
        },
    ),
    "MMRL": ("MultiModalRepresentationLearner", _mmrl(5, 24, 2)),
    "APT": ("prompt_learner", {"ctx": (16, D_T)}),
    "FAP": ("MultiModalPromptLearner", _fap(2, DEPTH)),
    "AdvMaPLe": ("MultiModalPromptLearner", _fap(2, DEPTH)),
}


def learned(method: str, seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Random values for the method's learnable tensors."""
    generator = torch.Generator().manual_seed(seed)
    _, shapes = LEARNED[method]
    return {key: (0.05 * torch.randn(shape, generator=generator)).to(dtype) for key, shape in shapes.items()}


def frozen(method: str, clip_model: nn.Module) -> dict[str, Tensor]:
    """What the reference saves besides: the CLIP, class-name buffers of other classes, and what is never read."""
    state = {key: value.clone() for key, value in clip_model.state_dict().items()}
    shapes = LEARNED[method][1]
    extra: dict[str, Tensor] = {}
    for key, shape in shapes.items():
        if key.rpartition(".")[2] == "ctx":
            prefix, kind = key.removesuffix("ctx"), clip_model.dtype
            extra[prefix + "token_prefix"] = torch.randn(CLASSES, 1, D_T, dtype=kind)
            extra[prefix + "token_suffix"] = torch.randn(CLASSES, 76 - shape[0], D_T, dtype=kind)
    if method in ("CoOp", "CoCoOp", "ProGrad", "TCP", "APT"):
        return extra
    if method == "KgCoOp":
        unused = {"bias_vectors": torch.randn(1, D_T), "meta_net.linear1.weight": torch.randn(D_T, D_T)}
        return extra | unused | {"meta_net.linear1.bias": torch.randn(D_T)}
    for key, value in state.items():
        if key.startswith("visual."):
            extra["image_encoder." + key.removeprefix("visual.")] = value
        elif key not in ("token_embedding.weight", "logit_scale"):
            extra["text_encoder." + key] = value
    if method == "MMRL":
        return extra | {"representation_learner.prompt_embeddings": torch.randn(CLASSES, 77, D_T)}
    extra["logit_scale"] = state["logit_scale"]
    if method == "PromptSRC":
        visual = {key: value for key, value in state.items() if key.startswith("visual.")}
        extra |= {"prompt_learner.ZS_image_encoder." + k.removeprefix("visual."): v for k, v in visual.items()}
    if method == "CoPrompt":
        extra |= {f"model_distill.{key}": value for key, value in state.items()}
    return extra


def save_reference(
    folder: Path, method: str, clip_model: nn.Module, epoch: int = 5, dtype: torch.dtype = torch.float32
) -> Path:
    """Writes `<folder>/<registered name>/model.pth.tar-<epoch>` as the reference does, scheduler objects included."""
    values = learned(method, dtype=dtype)
    file = folder / LEARNED[method][0] / f"model.pth.tar-{epoch}"
    file.parent.mkdir(parents=True)
    optimizer = SGD([nn.Parameter(value.float()) for value in values.values()], lr=0.1, momentum=0.9)
    schedule = CosineAnnealingLR(optimizer, 10)
    torch.save(
        {
            "state_dict": values | frozen(method, clip_model),
            "epoch": epoch,
            "optimizer": optimizer.state_dict(),
            "scheduler": {"last_epoch": 3, "successor": schedule},  # an object, as the warm-up scheduler keeps it
            "val_result": None,
        },
        file,
    )
    return file
