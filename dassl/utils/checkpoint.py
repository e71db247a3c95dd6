"""Checkpoints: upstream's layout and keys, written atomically, read without running code from the file."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import torch

from .errors import InputError, MissingFileError
from .files import atomic_path, mkdir_if_missing

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


class StoredObject:
    """Stands in for a scheduler or optimizer object in an upstream checkpoint; holds its attributes, does nothing."""


# Upstream's warm-up scheduler stores the scheduler that it wraps as an object, and within it an optimizer.
_STORED_CLASSES = [
    *(f"torch.optim.lr_scheduler.{name}" for name in ("CosineAnnealingLR", "MultiStepLR", "StepLR")),
    *(f"dassl.optim.lr_scheduler.{name}" for name in ("ConstantWarmupScheduler", "LinearWarmupScheduler")),
    *("torch.optim.sgd.SGD", "torch.optim.adam.Adam", "torch.optim.adamw.AdamW", "torch.optim.rmsprop.RMSprop"),
    *("torch.optim.radam.RAdam", "dassl.optim.radam.RAdam"),
]


def _plain_dict(*_) -> dict:
    """In place of a defaultdict, which weights-only loading cannot fill."""
    return {}


def _allowed_globals() -> list:
    """What may occur in a checkpoint beside tensors and plain containers. None of it runs code from the file."""
    scalar = np._core.multiarray.scalar  # a validation result may be a numpy number
    numbers = [np.dtype, *(type(np.dtype(kind)) for kind in ("float64", "float32", "int64"))]
    numbers += [(scalar, "numpy._core.multiarray.scalar"), (scalar, "numpy.core.multiarray.scalar")]
    stored = [(StoredObject, name) for name in _STORED_CLASSES]
    return [*numbers, *stored, StoredObject, _plain_dict, (_plain_dict, "collections.defaultdict"), dict]


def load_checkpoint(fpath: str) -> dict:
    """Read a checkpoint; tensors go to the CPU if there is no GPU.

    Nothing in the file is executed (`weights_only`): beside tensors and plain containers only the scheduler and
    optimizer objects that upstream stores are let in, as inert `StoredObject`s.

    Raises:
        ValueError: `fpath` is None.
        MissingFileError: a FileNotFoundError; no such file.
        InputError: the file is truncated, no checkpoint, or holds other objects.
    """
    if fpath is None:
        raise InputError("no checkpoint file is given (the path is None)")
    if not os.path.isfile(fpath):
        raise MissingFileError(f'checkpoint file not found at "{fpath}"')
    try:
        with torch.serialization.safe_globals(_allowed_globals()):
            checkpoint = torch.load(fpath, map_location=None if torch.cuda.is_available() else "cpu", weights_only=True)
    except pickle.UnpicklingError as exc:
        logger.info('Unable to load checkpoint from "%s"', fpath)
        reason = str(exc).split("GLOBAL ")[-1].split(" was not")[0] if "GLOBAL " in str(exc) else ""
        what = f"holds an object of type {reason}, which is not read" if reason else "is damaged or no checkpoint"
        raise InputError(f"{fpath} {what}: give a checkpoint written by torch.save with tensors in it") from exc
    except (RuntimeError, EOFError, KeyError, ValueError, AttributeError, OSError, IndexError) as exc:
        logger.info('Unable to load checkpoint from "%s"', fpath)
        raise InputError(
            f"{fpath} is damaged or no checkpoint (it has {os.path.getsize(fpath):,} bytes; an interrupted copy?): "
            "delete it or put an intact copy there"
        ) from exc
    if not isinstance(checkpoint, Mapping):
        raise InputError(f"{fpath} holds a {type(checkpoint).__name__}, not a checkpoint (a dict with state_dict)")
    return checkpoint


def load_model_state(model: torch.nn.Module, checkpoint: Mapping, fpath: str, advice: str) -> None:
    """Load `checkpoint["state_dict"]`: every learnable parameter must be there, nothing unknown may be.

    Frozen parameters and buffers may be missing, since checkpoints of the learnable part alone are common.
    Raises InputError with the first differences and `advice`.
    """
    if "state_dict" not in checkpoint:
        raise InputError(f"{fpath} is no checkpoint: it has no entry state_dict (it has {', '.join(checkpoint)})")
    state = strip_module(checkpoint["state_dict"])
    own = model.state_dict()
    learnable = {name for name, p in model.named_parameters() if p.requires_grad}
    wrong = [f"{k} is missing" for k in own if k in learnable and k not in state]
    wrong += [f"{k} is unknown here" for k in state if k not in own]
    wrong += [
        f"{k} has shape {tuple(state[k].shape)} instead of {tuple(own[k].shape)}"
        for k in own
        if k in state and state[k].shape != own[k].shape
    ]
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


def resume_state(fpath: str, model, optimizer=None, scheduler=None) -> dict:
    """Put model, optimizer and scheduler into the state of the file; returns the whole checkpoint."""
    logger.info('Loading checkpoint from "%s"', fpath)
    checkpoint = load_checkpoint(fpath)
    advice = "To train something else use another output folder; to start again delete this one"
    load_model_state(model, checkpoint, fpath, advice)
    logger.info("Loaded model weights")
    for name, part in (("optimizer", optimizer), ("scheduler", scheduler)):
        if part is not None and checkpoint.get(name) is not None:
            try:
                part.load_state_dict(checkpoint[name])
            except (ValueError, KeyError, TypeError) as exc:
                raise InputError(f"the {name} state in {fpath} does not fit this run ({exc}). {advice}") from exc
            logger.info("Loaded %s", name)
        elif part is not None:
            logger.info(
                "%s has no %s state (a finished run keeps none): going on from here starts it anew", fpath, name
            )
    logger.info("Previous epoch: %s", checkpoint.get("epoch"))
    return checkpoint


def resume_from_checkpoint(fdir: str, model, optimizer=None, scheduler=None) -> int:
    """Resume from the last checkpoint of a folder; returns the number of finished epochs, where to go on."""
    return resume_state(os.path.join(fdir, last_checkpoint_name(fdir)), model, optimizer, scheduler)["epoch"]
