"""The context of a trained CoOp as a start for methods that tune at test time."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from clipkit import InputError, TextEncoder
from dassl.utils import load_checkpoint

KEY = "TRAINER.TTA.CTX_FROM"


def context_from(path: str, encoder: TextEncoder, backbone: str) -> Tensor:
    """fp32 [M, width]: the context in a checkpoint file, or in the last one of a run's folder.

    backbone: fingerprint of the run's CLIP. Buffers of class names in the file are left alone. Raises InputError for a
    missing file, another backbone's, one without a context, one context a class (CSC), another width, and a context
    that is not in front of the class name.
    """
    file = _file(Path(path).expanduser())
    checkpoint = load_checkpoint(str(file))
    ctx = next((v for k, v in checkpoint["state_dict"].items() if k.rpartition(".")[2] == "ctx"), None)
    if ctx is None:
        raise InputError(f"{file} ({KEY}) holds no context (ctx); give a checkpoint of CoOp.")
    if ctx.dim() != 2 or ctx.shape[1] != encoder.width:
        what = "a context of its own for each class" if ctx.dim() == 3 else f"a context of shape {tuple(ctx.shape)}"
        raise InputError(f"{file} ({KEY}) holds {what}; this run needs one of [tokens, {encoder.width}].")
    run = checkpoint.get("run") or {}
    if run.get("backbone", backbone) != backbone:
        theirs = run.get("MODEL.BACKBONE")
        raise InputError(f"{file} ({KEY}) was trained on another backbone ({theirs}) than this run's.")
    position = (run.get("architecture") or {}).get("TRAINER.COOP.CLASS_TOKEN_POSITION", "end")
    if position != "end":
        raise InputError(f"{file} ({KEY}) has the class name in the {position}; only a name at the end can be taken.")
    return ctx.float()


def _file(path: Path) -> Path:
    if path.is_file():
        return path
    folder = path / "prompt_learner" if (path / "prompt_learner").is_dir() else path
    last = folder / "checkpoint"
    if not last.is_file():
        raise InputError(f"{KEY} is {path}, where there is no checkpoint; give a file or the folder of a CoOp run.")
    return folder / last.read_text().strip()
