"""Checkpoints: upstream's layout and keys, written atomically, read without running code from the file."""

from __future__ import annotations

import logging
import os
import shutil
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from .errors import InputError, MissingFileError
from .files import atomic_path, mkdir_if_missing
from .state_kinds import misfit
from .torch_file import read_torch_file, state_dict_in, unusable

logger = logging.getLogger(__name__)
BEST_NAME = "model-best.pth.tar"


def save_checkpoint(
    state: dict,
    save_dir: str,
    is_best: bool = False,
    remove_module_from_keys: bool = True,
    model_name: str = "",
) -> None:
    """Write `state` to `save_dir`/model.pth.tar-<epoch> (or `model_name`), and that name to `save_dir`/checkpoint.

    `state` has `state_dict` and `epoch` (number of finished epochs), usually also `optimizer`, `scheduler`,
    `val_result`. A leading `module.` is stripped from the keys. `is_best`: a copy goes to model-best.pth.tar.
    """
    mkdir_if_missing(save_dir)
    if remove_module_from_keys:
        state = {**state, "state_dict": strip_module(state["state_dict"])}
    name = model_name or f"model.pth.tar-{state['epoch']}"
    path = os.path.join(save_dir, name)
    with atomic_path(path) as temporary:
        torch.save(state, temporary)
    logger.info("Checkpoint saved to %s", path)
    with (
        atomic_path(os.path.join(save_dir, "checkpoint")) as temporary,
        open(temporary, "w", encoding="utf-8") as f,
    ):
        f.write(f"{name}\n")
    if is_best:
        best = os.path.join(save_dir, BEST_NAME)
        with atomic_path(best) as temporary:
            shutil.copy(path, temporary)
        logger.info("Best checkpoint saved to %s", best)


def strip_module(state_dict: Mapping) -> OrderedDict:
    """The same tensors with `module.` cut from the front of the keys (left there by DataParallel)."""
    return OrderedDict((key.removeprefix("module."), value) for key, value in state_dict.items())


def load_checkpoint(fpath: str) -> dict:
    """Read a checkpoint; tensors go to the CPU if there is no GPU.

    Nothing in the file is executed: objects that are neither tensors, numbers nor plain containers (an upstream
    scheduler, the arguments of a run) are inert records of their attributes, see `inert.py`.

    Raises:
        ValueError: `fpath` is None.
        MissingFileError: a FileNotFoundError; no such file.
        InputError: the file is damaged or no checkpoint.
    """
    if fpath is None:
        raise InputError("no checkpoint file is given (the path is None)")
    if not os.path.exists(fpath):
        raise MissingFileError(f'checkpoint file not found at "{fpath}"')
    try:
        checkpoint = read_torch_file(fpath, None if torch.cuda.is_available() else "cpu")
    except InputError:
        logger.info('Unable to load checkpoint from "%s"', fpath)
        raise
    if isinstance(checkpoint, dict) and isinstance(checkpoint.get("state_dict", {}), Mapping):
        return checkpoint
    return state_dict_in(checkpoint, fpath)  # raises an error that says what the file holds


def load_model_state(model: nn.Module, checkpoint: Mapping, fpath: str, advice: str) -> None:
    """Load the tensors of `checkpoint`. It must have every learnable parameter, and no unknown name.

    Frozen parameters and buffers may be missing, since checkpoints of the learnable part alone are common.
    Raises InputError with the first differences and `advice`; also for learnable values that are not finite numbers.
    """
    state = state_dict_in(checkpoint, fpath)
    own = model.state_dict()
    learnable = {name for name, p in model.named_parameters() if p.requires_grad}
    wrong = [f"{k} is missing" for k in own if k in learnable and k not in state]
    wrong += [f"{k} is unknown here" for k in state if k not in own]
    for k in own:
        if k in learnable and k in state:
            wrong += [why] if (why := unusable(k, state[k], own[k])) else []
        elif k in state and state[k].shape != own[k].shape:
            wrong.append(f"{k} has shape {tuple(state[k].shape)} instead of {tuple(own[k].shape)}")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise InputError(f"{fpath} does not fit the model: {'; '.join(wrong[:3])}{more}. {advice}")
    model.load_state_dict(state, strict=False)


def last_checkpoint_name(fdir: str) -> str:
    """The file named in `fdir`/checkpoint. Raises InputError if that cannot be read or names a missing file."""
    pointer = os.path.join(fdir, "checkpoint")
    if not os.path.isfile(pointer):
        raise MissingFileError(f"{fdir} cannot be resumed from: it has no file called checkpoint")
    with open(pointer, encoding="utf-8", errors="replace") as f:
        name = f.readline().strip()
    if not name or not os.path.isfile(os.path.join(fdir, name)):
        raise MissingFileError(
            f"{pointer} names the file {name!r}, which is not there: write the name of a model.pth.tar file of that "
            "folder into it, or delete the folder to train from scratch"
        )
    return name


def resume_state(
    fpath: str, model: nn.Module, optimizer: Optimizer | None = None, scheduler: LRScheduler | None = None
) -> dict:
    """Load the file's state into model, optimizer and scheduler; returns the whole checkpoint."""
    logger.info('Loading checkpoint from "%s"', fpath)
    checkpoint = load_checkpoint(fpath)
    advice = "To train something else use another output folder; to start again delete this one"
    _check_progress(checkpoint, fpath, advice)
    load_model_state(model, checkpoint, fpath, advice)
    logger.info("Loaded model weights")
    parts: tuple[tuple[str, Optimizer | LRScheduler | None], ...] = (("optimizer", optimizer), ("scheduler", scheduler))
    for name, part in parts:
        if part is not None and checkpoint.get(name) is not None:
            if wrong := misfit(part, checkpoint[name]):
                raise InputError(f"the {name} state in {fpath} does not fit this run: {wrong}. {advice}")
            try:
                part.load_state_dict(checkpoint[name])
            except (ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError) as exc:
                raise InputError(f"the {name} state in {fpath} does not fit this run ({exc}). {advice}") from exc
            logger.info("Loaded %s", name)
        elif part is not None:
            logger.info("%s has no %s state (a finished run keeps none): it starts anew", fpath, name)
    logger.info("Previous epoch: %s", checkpoint.get("epoch"))
    return checkpoint


# Entries of a checkpoint that a resumed run reads beside its tensors, with their types. They may be None or missing.
PROGRESS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "run": (Mapping, "a dict"),
    "extra": (Mapping, "a dict"),
    "data": (Mapping, "a dict"),
    "best_result": ((int, float, np.number), "a number"),
    "rolling_file": (str, "a file name"),
}


def _check_progress(checkpoint: Mapping, fpath: str, advice: str) -> None:
    """Raises InputError unless `epoch` and the entries of PROGRESS are of their types."""
    epoch = checkpoint.get("epoch")
    if isinstance(epoch, bool) or not isinstance(epoch, (int, np.integer)) or epoch < 0:
        raise InputError(
            f"{fpath} cannot be resumed from: its epoch is {epoch!r}, not the number of finished epochs. {advice}"
        )
    for key, (kinds, what) in PROGRESS.items():
        value = checkpoint.get(key)
        if value is not None and not isinstance(value, kinds):
            name = type(value).__name__
            raise InputError(f"{fpath} cannot be resumed from: its {key} is of type {name}, not {what}. {advice}")


def resume_from_checkpoint(
    fdir: str, model: nn.Module, optimizer: Optimizer | None = None, scheduler: LRScheduler | None = None
) -> int:
    """Resume from the last checkpoint of a folder; returns the number of finished epochs, where to go on."""
    return resume_state(os.path.join(fdir, last_checkpoint_name(fdir)), model, optimizer, scheduler)["epoch"]
