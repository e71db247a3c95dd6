"""When to save: the regular checkpoints, and a rolling one so that an interrupted run loses little."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress

from dassl.protocols import Trainer

logger = logging.getLogger(__name__)


class RollingCheckpoint:
    """Saves a trainer's models after an epoch if that is due.

    Regular saves: each TRAIN.CHECKPOINT_FREQ epochs and after the last. Between them, if TRAIN.ROLLING_SECONDS have
    passed since the last save, the epoch is saved too, and the next save of either kind removes that file.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.start()

    def start(self) -> None:
        """Called when the training begins: the time of the first rolling save counts from now."""
        self.last_save = time.monotonic()
        self._saved = 0  # epochs done at the last save; 0: none yet

    def after_epoch(self) -> None:
        """Saves the epoch that has just ended if a regular or a rolling save is due."""
        waited = time.monotonic() - self.last_save >= self.trainer.cfg.TRAIN.get("ROLLING_SECONDS", 30)
        if self._regular() or waited:
            self.save()

    def _regular(self) -> bool:
        done, freq = self.trainer.epoch + 1, self.trainer.cfg.TRAIN.CHECKPOINT_FREQ
        return done == self.trainer.max_epoch or (freq > 0 and done % freq == 0)

    def save(self) -> None:
        """Save the epoch that has just ended, unless it is saved already."""
        trainer = self.trainer
        done = trainer.epoch + 1
        if self._saved == done:
            return
        name = f"model.pth.tar-{done}"
        previous = trainer.replace_next("" if self._regular() else name)
        trainer.save_model(trainer.epoch, trainer.output_dir)
        self.last_save, self._saved = time.monotonic(), done
        if previous and previous != name:
            # only now: until all models are saved the old file is what a resumed run needs
            for model in trainer.get_model_names():
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(trainer.output_dir, model, previous))
