"""A step is one planned run of train.py; a job is several steps, one after another."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import ClassVar

from runs.about import without_about
from runs.protocols import PROTOCOLS, Settings


@dataclass(frozen=True)
class Step:
    """One run of train.py."""

    program: ClassVar[str] = "python train.py"
    protocol: str  # a key of runs.protocols.PROTOCOLS
    method: str
    dataset: str
    seed: int
    settings: Settings

    def arguments(self) -> list[str]:
        """The arguments of train.py. Raises InputError for a test whose model is not trained."""
        settings = replace(self.settings, script=self.protocol)
        return PROTOCOLS[self.protocol](self.method, self.dataset, self.seed, settings)

    def run(self) -> int:
        """Run the step and return its exit code."""
        from runs.one_run import run

        return run(self.arguments())

    def planned(self, epoch: int) -> list[str]:
        """The arguments that the step will have when its model is trained for `epoch` epochs."""
        epochs = self.settings.load_epoch or str(epoch)
        return replace(self, settings=replace(self.settings, load_epoch=epochs)).arguments()

    def command(self, epoch: int) -> str:
        """The command of train.py for this step alone, in the project's folder.

        For reading and for finding errors: it lacks what the suite tells results.json (`runs/about.py`), so a run is
        repeated by `python -m bench run`.
        """
        return f"{self.program} {shlex.join(without_about(self.planned(epoch)))}"

    def __str__(self) -> str:
        shots = f" {self.settings.shots}-shot" if self.protocol == "few_shot" else ""
        return f"{self.protocol} {self.method} {self.dataset}{shots} seed {self.seed}"


Job = tuple[Step, ...]  # runs one after another in one process: the first trains the model that the others test
