"""A run that is planned: what train.py is called with. A job is several, one after another."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

from runs.protocols import PROTOCOLS, Settings


@dataclass(frozen=True)
class Step:
    """One run of train.py."""

    protocol: str  # a key of runs.protocols.PROTOCOLS
    method: str
    dataset: str
    seed: int
    settings: Settings

    def arguments(self) -> list[str]:
        """train.py's. Raises InputError where it tests what is not trained."""
        settings = replace(self.settings, script=self.protocol)
        return PROTOCOLS[self.protocol](self.method, self.dataset, self.seed, settings)

    def run(self) -> int:
        """The exit code."""
        from runs.one_run import run

        return run(self.arguments())

    def planned(self, epoch: int) -> list[str]:
        """The arguments that it will have once what it tests is trained for so many epochs."""
        epochs = self.settings.load_epoch or str(epoch)
        return replace(self, settings=replace(self.settings, load_epoch=epochs)).arguments()

    def command(self, epoch: int) -> str:
        """What to type in the project's folder to run it alone."""
        return f"python train.py {shlex.join(self.planned(epoch))}"

    def __str__(self) -> str:
        shots = f" {self.settings.shots}-shot" if self.protocol == "few_shot" else ""
        return f"{self.protocol} {self.method} {self.dataset}{shots} seed {self.seed}"


Job = tuple[Step, ...]  # runs one after another in one process: the first trains what the others test
