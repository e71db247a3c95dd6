"""When to save: the regular checkpoints, and a rolling one so that an interrupted run loses little."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress

logger = logging.getLogger(__name__)


class RollingCheckpoint:
    """Saves a trainer's models after an epoch if that is due.

    Regular saves: each TRAIN.CHECKPOINT_FREQ epochs and after the last. Between them, if TRAIN.ROLLING_SECONDS have
    passed since the last save, the epoch is saved too, and the next save of either kind removes that file.
    """

    def __init__(self, trainer) -> None:
        self.trainer = trainer
        self.last_save = time.monotonic()

    def after_epoch(self) -> None:
        trainer, cfg = self.trainer, self.trainer.cfg.TRAIN
        done = trainer.epoch + 1
        regular = done == trainer.max_epoch or (cfg.CHECKPOINT_FREQ > 0 and done % cfg.CHECKPOINT_FREQ == 0)
        if not regular and time.monotonic() - self.last_save < cfg.get("ROLLING_SECONDS", 30):
            return
        previous, name = trainer._rolling_file, f"model.pth.tar-{done}"
        trainer._rolling_file = "" if regular else name
        trainer.save_model(trainer.epoch, trainer.output_dir)
        self.last_save = time.monotonic()
        if previous and previous != name:
            # only now: until all models are saved the old file is what a resumed run needs
            for model in trainer.get_model_names():
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(trainer.output_dir, model, previous))
