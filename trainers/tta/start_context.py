"""A trained context as the start of test-time tuning, from any method whose prompts consist of a context alone."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from clipkit import InputError, TextEncoder
from dassl.utils import load_checkpoint
from dassl.utils.checkpoint import last_checkpoint_name
from dassl.utils.torch_file import entry, state_dict_in, unusable

from ..context import context_words
from ..shared.foreign_prompts import says_its_backbone

KEY = "TRAINER.TTA.CTX_FROM"
CONTEXTS = (
    "ctx",
    "ctx_pos",
)  # keys of contexts that are used in tests: CoOp and similar methods, DP-SEP's positive one
UNTESTED = ("ctx_neg",)  # DP-SEP's negative prompt, which is used in training only
BUFFERS = ("token_prefix", "token_midfix", "token_suffix", "tokenized_prompts")  # of class names, in references' files


def context_from(path: str, encoder: TextEncoder, backbone: str) -> tuple[Tensor, Path | None]:
    """fp32 [M, width], the context in a checkpoint file, or in the last one of a run's folder; and that file if it does
    not say its backbone, else None.

    backbone: fingerprint of the run's CLIP. Buffers of class names in the file are left alone. Raises InputError for a
    missing file, another backbone's, one without a context or with more than that (MaPLe, CoCoOp), one context a class
    (CSC), another width, a context that is not in front of the class name or not all of the words there, and values
    that are not finite numbers.
    """
    file = checkpoint_of(KEY, path, "prompt_learner")
    checkpoint = load_checkpoint(str(file))
    state = state_dict_in(checkpoint, file)
    ctx = next((v for k, v in state.items() if k.rpartition(".")[2] in CONTEXTS), None)
    if ctx is None:
        raise InputError(f"{file} ({KEY}) holds no context (ctx); give a checkpoint of CoOp or a similar method.")
    if more := [key for key in state if key.rpartition(".")[2] not in (*CONTEXTS, *UNTESTED, *BUFFERS)]:
        raise InputError(
            f"{file} ({KEY}) holds more than a context ({more[0]}), so its prompts are not made of the context alone; "
            "give a checkpoint of CoOp or a similar method."
        )
    if ctx.dim() != 2 or ctx.shape[1] != encoder.width or not len(ctx):
        what = "a context of its own for each class" if ctx.dim() == 3 else f"a context of shape {tuple(ctx.shape)}"
        raise InputError(f"{file} ({KEY}) holds {what}; this run needs one of [tokens, {encoder.width}].")
    if why := unusable("ctx", ctx, torch.empty(ctx.shape, device="meta")):
        raise InputError(f"{file} ({KEY}): {why}; give another checkpoint.")
    run = entry(checkpoint, "run")
    if run.get("backbone", backbone) != backbone:
        theirs = run.get("MODEL.BACKBONE")
        raise InputError(f"{file} ({KEY}) was trained on another backbone ({theirs}) than this run's.")
    made = {
        key.rpartition(".")[2]: value for key, value in entry(run, "architecture").items()
    }  # without the node's name
    words = context_words(made.get("CTX_INIT", ""))
    if encoder.tokenizer.count(words) > len(ctx):
        raise InputError(
            f"{file} ({KEY}) has {len(ctx)} learned tokens in front of fixed ones ({words!r}), which are not in the "
            "file; give a context without fixed words."
        )
    position = made.get("CLASS_TOKEN_POSITION", "end")
    if position != "end":
        raise InputError(f"{file} ({KEY}) has the class name in the {position}; only a name at the end can be taken.")
    return ctx.float(), None if says_its_backbone(checkpoint) else file


def checkpoint_of(key: str, given: str, *folders: str) -> Path:
    """The checkpoint that a config key names: a file, or the last one in the folder of a run, whose checkpoints lie in
    the first of these `folders` that is there. Raises InputError where there is none."""
    path = Path(given).expanduser()
    if os.path.isfile(path):
        return path
    folder = next((path / name for name in folders if (path / name).is_dir()), path)
    if not os.path.isfile(folder / "checkpoint"):
        raise InputError(f"{key} is {path}, where there is no checkpoint; give a file or the folder of a run.")
    return folder / last_checkpoint_name(str(folder))
