"""What `speed.gpu` measures at full size on a GPU, and at a small size wherever it runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

import trainers  # noqa: F401  (registers the methods)
from dassl.engine import TRAINER_REGISTRY
from dassl.utils.registry import check_availability
from tests.plain import METHODS

Row = dict[str, object]
OURS = tuple(
    name for name in TRAINER_REGISTRY.registered_names() if TRAINER_REGISTRY.get(name).__module__[:9] == "trainers."
)


@dataclass(frozen=True)
class Sizes:
    """methods: of `agree`; plain: of `times`, the ones that say most first. backbone, size: of all but `agree`.
    precisions: what the tower is timed in. shots: training images a class of `loader`."""

    small: bool
    methods: tuple[str, ...]
    plain: tuple[str, ...]
    backbone: str = "random:ViT-B/16"
    size: int = 224
    classes: tuple[int, ...] = (100, 1000)
    batch: int = 0  # training images of a step; 0: as published
    test_batch: int = 100
    repeats: int = 3
    precisions: tuple[str, ...] = ("fp32", "amp", "fp16")
    views: int = 64
    attacked: int = 4  # images under attack
    attack_steps: int = 10
    shots: int = 16
    tower_batches: tuple[int, ...] = (32, 256)
    workers: tuple[int, ...] = (0, 4, 8)
    seeds: int = 4
    given: tuple[str, ...] = ()

    @classmethod
    def of(cls, small: bool, methods: tuple[str, ...] = ()) -> Sizes:
        """methods: in place of all. Raises InputError for one that there is not."""
        for name in methods:
            check_availability(name, OURS, "trainer")
        first = ("CoOp", "KgCoOp", "MaPLe", "PromptSRC", "TCP", "ANPrompt", "CoCoOp")
        known = (*first, *(name for name in METHODS if name not in (*first, "TipAdapter")))  # which trains nothing
        found = cls(small, methods or OURS, tuple(name for name in known if name in (methods or known)), given=methods)
        if not small:
            return found
        return replace(
            found, methods=methods or ("CoOp", "RTPT"), plain=methods or ("CoOp",), backbone="Embedded", size=48,
            classes=(3,), batch=2, test_batch=2, repeats=1, precisions=("fp32",), views=4, attacked=2, attack_steps=1,
            shots=1, tower_batches=(2,), workers=(0,), seeds=2,
        )  # fmt: skip

    def options(self) -> list[str]:
        """The command line's options for these sizes."""
        return [*(["--small"] if self.small else []), *(["--methods", *self.given] if self.given else [])]

    @property
    def device(self) -> str:
        return "cuda" if torch.cuda.is_available() else "cpu"
