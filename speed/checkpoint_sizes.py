"""Compares the size of a method's last checkpoint at ViT-B/16 size with that of the published implementation.

python -m speed.checkpoint_sizes            # every method, 100 classes

Ours is the file that `save_model` writes after the last epoch. The published size is that of a `torch.save` of the
tensors that the published trainer registers: the prompt learner with its token buffers, and for most methods CLIP, in
the precision in which the trainer holds it. Optimizer state, which published files contain too, is not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from clip.model import convert_weights
from tabulate import tabulate
from torch import Tensor, nn

from dassl.utils.ends import one_sentence
from dassl.utils.screen import Screen
from runs.protocols import config_name
from trainers.base import PromptTrainer

from .side_by_side import full_size_trainer, noise_images, workspace

PROMPTS_ONLY = ("CoOp", "CoCoOp", "KgCoOp", "ProGrad", "TCP")  # their trainers register the prompt learner alone
KEPT_IN_FP32 = ("VPT", "MMRL")  # their trainers call clip_model.float()
SECOND_COPY = {"PromptSRC": "visual.", "CoPrompt": ""}  # prefix of the tensors of a second CLIP that are registered too
METHODS = (*PROMPTS_ONLY, "VPT", "IVLP", "MaPLe", "PromptSRC", "CoPrompt", "MMRL")


class Counter(io.RawIOBase):
    """A file that counts the bytes written to it and does not keep them."""

    size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | memoryview) -> int:
        self.size += len(data)
        return len(data)


def published_tensors(
    name: str, learner: Mapping[str, Tensor], clip_model: nn.Module, classes: int
) -> dict[str, Tensor]:
    """The state dict that the published trainer saves: learnable tensors, token buffers, frozen weights.

    clip_model: CLIP in the published precision. Its token embedding is not registered.
    """
    frozen = {k: v for k, v in clip_model.state_dict().items() if not k.startswith("token_embedding")}
    dtype, width = clip_model.visual.conv1.weight.dtype, clip_model.transformer.width
    like = {"dtype": dtype, "device": clip_model.positional_embedding.device}
    saved = {key: tensor.to(**like) for key, tensor in learner.items()}
    ctx = next((tensor for key, tensor in learner.items() if key.rpartition(".")[2] == "ctx"), None)
    if ctx is not None:
        saved["token_prefix"] = torch.empty(classes, 1, width, **like)
        saved["token_suffix"] = torch.empty(classes, 77 - 1 - ctx.shape[-2], width, **like)
    if name == "KgCoOp":  # it saves a network and a bias that it does not use
        saved |= {"meta_net.linear1.weight": torch.empty(width, width, **like)}
        saved |= {"meta_net.linear1.bias": torch.empty(width, **like), "bias_vectors": torch.empty(1, width, **like)}
    if name == "MMRL":
        saved["prompt_embeddings"] = torch.empty(classes, 77, width, **like)
    if name not in PROMPTS_ONLY:
        saved |= frozen
    if name in SECOND_COPY:
        prefix = SECOND_COPY[name]
        second = {k: v for k, v in clip_model.state_dict().items() if k.startswith(prefix)}
        saved |= {f"second.{key}": tensor.clone() for key, tensor in second.items()}
    return saved


def published_bytes(name: str, trainer: PromptTrainer) -> int:
    """The size in bytes of a checkpoint with `published_tensors`."""
    kept = copy.deepcopy(trainer.clip).cpu()
    if name not in KEPT_IN_FP32:
        convert_weights(kept)
    state = {k: v.cpu() for k, v in trainer.model.state_dict().items()}
    file = Counter()
    torch.save({"state_dict": published_tensors(name, state, kept, len(trainer.classnames))}, file)
    return file.size


def our_bytes(trainer: PromptTrainer) -> int:
    """The size in bytes of the checkpoint that is written after the last epoch."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        trainer.epoch = trainer.max_epoch - 1
        trainer.save_model(trainer.epoch, folder)
        return sum(file.stat().st_size for file in Path(folder).glob("*/model*.tar*"))


@one_sentence()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Screen)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, metavar="METHOD")
    parser.add_argument("--classes", type=int, choices=range(1, 101), default=100, metavar="1..100")
    parser.add_argument("--backbone", default="random:ViT-B/16", help="a name, or the file of a CLIP")
    args = parser.parse_args()
    rows = []
    with workspace() as root:
        images = noise_images(f"{root}/images", 2)
        for name in args.methods:
            config = config_name(name, "caltech101")
            trainer = full_size_trainer(name, config, images, args.classes, {"USE_CUDA": False}, args.backbone)
            ours, published = our_bytes(trainer), published_bytes(name, trainer)
            rows.append([name, ours / 2**20, published / 2**20, published / ours])
    print(f"{args.backbone}, {args.classes} classes, after the last epoch\n")
    headers = ["method", "ours, MB", "published content, MB", "times smaller"]
    print(tabulate(rows, headers, tablefmt="github", floatfmt=("", ".3f", ".3f", ".1f")))


if __name__ == "__main__":
    sys.exit(main())
