"""Settings that determine a learner's shape are saved in its checkpoint, and a test reads them from there: the settings
per dataset are those of the training dataset, not of the tested one."""

from __future__ import annotations

import logging
import os

from dassl.engine import TRAINER_REGISTRY
from dassl.utils import load_checkpoint
from dassl.utils.torch_file import entry, state_dict_in

from .checkpoints import checkpoint_path

logger = logging.getLogger(__name__)


def saved_architecture(method: str, directory: str, epoch: int | None) -> dict:
    """{dotted key: value} of a trained model: recorded in its checkpoint, or else derived from its tensors.

    Empty where there is no checkpoint (loading it will say so), or the trainer declares nothing.
    """
    if method not in TRAINER_REGISTRY.registered_names():
        return {}
    trainer = TRAINER_REGISTRY.get(method)
    keys = getattr(trainer, "architecture", ())
    if not keys:
        return {}
    path = checkpoint_path(directory, trainer.registered_name, epoch)
    if not os.path.isfile(path):
        return {}
    checkpoint = load_checkpoint(str(path))
    run = entry(checkpoint, "run")
    if run.get("TRAINER.NAME", method) != method:
        return {}  # another method's file: loading it is refused, with the reason
    found = entry(run, "architecture")
    if not found:
        found = trainer.architecture_of(state_dict_in(checkpoint, path))
        found |= trainer.architecture_in(entry(checkpoint, "metadata"))
    return {key: value for key, value in found.items() if key in keys}
