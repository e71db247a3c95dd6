"""Loads a learner from a checkpoint of this project (learnable tensors only) or of a reference (whole model)."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from torch import Tensor, nn

from clipkit import InputError
from dassl.engine.class_rows import by_label, check_classes, check_started
from dassl.utils import load_checkpoint, load_pretrained_weights
from dassl.utils.finite import check_weights
from dassl.utils.torch_file import entry, state_dict_in, unusable

from .class_evidence import same_class_names
from .foreign_prompts import says_its_backbone
from .known_classes import KnownClasses

logger = logging.getLogger(__name__)

# Buffers that belong to the class names of the training run; the model may be evaluated on others.
CLASS_BUFFERS = ("token_prefix", "token_suffix", "token_midfix", "prompt_embeddings")


def checkpoint_path(directory: str, name: str, epoch: int | None) -> Path:
    """The checkpoint file of the learner of that registered name: the epoch's, or the best one."""
    return Path(directory) / name / (f"model.pth.tar-{epoch}" if epoch is not None else "model-best.pth.tar")


def check_there(directory: str, name: str, epoch: int | None) -> Path:
    """`checkpoint_path`. Raises InputError if there is no such file; it lists the checkpoints that exist."""
    path = checkpoint_path(directory, name, epoch)
    if not os.path.isfile(path):
        raise InputError(f"There is no checkpoint at {path}{_what_is_there(path, directory)}.")
    return path


def load_learner(
    learner: nn.Module, directory: str, name: str, epoch: int | None, run: dict, lab2cname: dict[int, str]
) -> Path | None:
    """`load_file` of the epoch's checkpoint of the learner called `name`, or of the best one."""
    return load_file(learner, check_there(directory, name, epoch), name, run, lab2cname)


def start_learner(learner: nn.Module, path: str, lab2cname: dict[int, str]) -> Path | None:
    """Loads the fitting tensors of a checkpoint (MODEL.INIT_WEIGHTS), to train on from them. Raises InputError if none
    fits, for values that are not finite numbers, and for tensors with a row per class of other classes. Returns the
    path if the file does not say its backbone, else None."""
    checkpoint = load_checkpoint(path)
    state, own = state_dict_in(checkpoint, path), learner.state_dict()
    if not any(key in own and own[key].shape == value.shape for key, value in state.items()):
        raise InputError(
            f"No tensor of {path} (MODEL.INIT_WEIGHTS) fits this method with this config, which has "
            f"{', '.join(list(own)[:3])}; give another file, or leave it out."
        )
    load_pretrained_weights(learner, path)
    check_weights(learner, path, "its training has diverged, or the file is damaged")
    check_started(learner, path, lab2cname, lambda state: same_class_names(learner, state))
    return None if says_its_backbone(checkpoint) else Path(path)


def load_file(learner: nn.Module, path: Path, name: str, run: dict, lab2cname: dict[int, str]) -> Path | None:
    """Loads every tensor of `learner`; keys that it does not have (a reference's frozen CLIP) are left alone.

    `run` is the trainer's `run_identity()`: where the file names another method or backbone, it is refused.
    `lab2cname`: the run's classes, label -> name. Raises InputError for another method's or backbone's
    file, missing keys, other shapes, values that are not finite numbers, and other classes if the learner has a tensor
    with a row per class and is no `KnownClasses`, which has the file's classes afterwards. Returns the path if the file
    does not say its backbone, else None.
    """
    checkpoint = load_checkpoint(str(path))
    saved = entry(checkpoint, "run")
    for key, what in (("TRAINER.NAME", "method"), ("backbone", "backbone")):
        if key in saved and saved[key] != run[key]:
            shown = "MODEL.BACKBONE" if key == "backbone" else key
            raise InputError(
                f"{path} was trained with another {what} ({saved.get(shown)}) than this run's ({run[shown]}); "
                f"give the folder of a run that fits, or change the {what}."
            )
    if "SEED" in saved and saved["SEED"] != run.get("SEED", saved["SEED"]):
        text = (
            "Warning: %s was trained with seed %s, but this run has seed %s: its result does not count as another seed"
        )
        logger.warning(text, path, saved["SEED"], run["SEED"])
    whole = state_dict_in(checkpoint, path)
    state = {k: v for k, v in whole.items() if k.rpartition(".")[2] not in CLASS_BUFFERS}
    known = isinstance(learner, KnownClasses)
    if known:
        names = checkpoint.get("classnames")
        learner.take_shapes(state, names if isinstance(names, (list, tuple)) else None, str(path))
    wanted = learner.state_dict()
    if hasattr(learner, "fit_classes"):  # a head with a row per class, which is not used on other classes
        state = learner.fit_classes(state, checkpoint.get("classnames"), by_label(lab2cname))
    # TextRefiner's published files hold its cache beside the state dict
    state |= {k: checkpoint[k] for k in wanted if k not in state and isinstance(checkpoint.get(k), Tensor)}
    missing = [k for k in wanted if k not in state]
    if missing:
        raise InputError(
            f"{path} lacks {', '.join(missing[:3])}{' and more' if len(missing) > 3 else ''}: "
            f"it is not a checkpoint of {run['TRAINER.NAME']} with this config."
        )
    for key, tensor in wanted.items():
        if why := unusable(key, state[key], tensor):
            advice = "use the training run's config and backbone" if "shape" in why else "give another checkpoint"
            raise InputError(f"{path}: {why}; {advice}.")
    learner.load_state_dict({k: state[k] for k in wanted})
    if not known:
        check_classes(learner, checkpoint, lab2cname, str(path), same_class_names(learner, whole))
    logger.info('Loading weights to %s from "%s" (epoch = %s)', name, path, checkpoint.get("epoch"))
    return None if says_its_backbone(checkpoint) else path


def _what_is_there(path: Path, directory: str) -> str:
    """The end of the error message: which epochs exist, or that the folder does not."""
    if not os.path.isdir(directory):
        return f": the folder {directory} does not exist; train first or correct --model-dir"
    if not os.path.isdir(path.parent):
        others = sorted(p.name for p in Path(directory).iterdir() if (p / "checkpoint").is_file())
        return f": {directory} holds {', '.join(others) or 'no trained model'}, not {path.parent.name}"
    found = sorted(p.name for p in path.parent.glob("model*.tar*"))
    return f" (there are: {', '.join(found) or 'none'}); correct --load-epoch"
