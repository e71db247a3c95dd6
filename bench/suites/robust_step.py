"""A step of a job that is an evaluation under attack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from runs.config_names import ONLINE, TEST_TIME, UNTRAINED
from runs.robust_protocol import MODES, default_mode, robust

from .step import Step

DRAWN = ("pgd", "fgsm", "noise", "square")  # attacks that work on randomised methods


class RobustStep(Step):
    """An evaluation under attack. The pairs of its settings begin with eps, steps and mode."""

    program: ClassVar[str] = "python -m robustness"

    def arguments(self) -> list[str]:
        return robust(self.method, self.dataset, self.seed, self.settings)

    def run(self) -> int:
        from robustness.one_evaluation import evaluate
        from robustness.run import Options

        return evaluate(self.arguments(), Options())

    def __str__(self) -> str:
        eps, steps, mode, _, name = self.settings.pairs[:5]
        return f"{self.method} {self.dataset} {MODES[mode]} {name} eps {eps} steps {steps} seed {self.seed}"

    @property
    def mode(self) -> str:
        """The mode: transfer, white-box or adaptive."""
        return MODES[self.settings.pairs[2]]


def mode_of(method: str, attack: str, modes: Sequence[str]) -> str | None:
    """The mode of a method's one evaluation under an attack: W or A, which measure transfer too, or T; None for none.

    AutoAttack's attacks assume a deterministic model, so for a randomised method they are transfer attacks only.
    """
    own = default_mode(method)
    if own in modes and not (own == "A" and attack not in DRAWN):
        return own
    return "T" if "T" in modes else None


def seeds_of(method: str, seeds: Sequence[int], protocol: str = "") -> Sequence[int]:
    """The seeds of a method: only the first for zero-shot CLIP, whose results do not depend on the seed unless the text
    that it reads does."""
    fixed = method in UNTRAINED and method not in (*TEST_TIME, *ONLINE)
    return seeds[:1] if protocol != "text_noise" and fixed else seeds


def without_attack(pairs: Sequence[str], groups: tuple[str, ...] = ("ATTACK.",)) -> tuple[str, ...]:
    """The config pairs without those of the attack, or of other groups of keys, for a training run."""
    kept = [(k, v) for k, v in zip(pairs[::2], pairs[1::2], strict=True) if not k.startswith(groups)]
    return tuple(x for pair in kept for x in pair)
