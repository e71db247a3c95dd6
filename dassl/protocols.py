"""Types (protocols) of the objects that functions take. A trainer need not derive from this engine's classes.

Nothing is checked when the program runs: `mypy` reads this (`bash scripts/test.sh`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.utils.data import DataLoader
    from yacs.config import CfgNode

T_co = TypeVar("T_co", covariant=True)


class SizedIterable(Protocol[T_co]):
    """An iterable with a length: a list, a loader, a sampler."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[T_co]: ...


class FeatureModule(Protocol):
    """A module whose output is a feature [B, out_features]."""

    out_features: int

    def __call__(self, x: Tensor) -> Tensor: ...


class Evaluator(Protocol):
    """Collects a model's outputs batch by batch, and computes the results."""

    def reset(self) -> None: ...
    def process(self, mo: Tensor, gt: Tensor) -> None: ...
    def evaluate(self) -> OrderedDict[str, float]: ...


class HasModels(Protocol):
    """A trainer's registered models by name, and the optimizer (or None) of each."""

    _models: OrderedDict[str, nn.Module]
    _optims: OrderedDict[str, Any]


class Trainer(HasModels, Protocol):
    """A trainer with its config, data and loaders, as `SimpleTrainer` makes it. Epochs count from 0.

    Upstream's trainers lack `run_identity`, `data_met`, `lists_met` and `save_to_stop`: code that takes them too asks
    by `hasattr`.
    """

    cfg: CfgNode
    device: torch.device
    dm: Any  # a DataManager, or what a method put in its place
    evaluator: Evaluator
    train_loader_x: DataLoader
    val_loader: DataLoader | None
    test_loader: DataLoader
    lab2cname: dict[int, str]
    start_epoch: int
    epoch: int
    max_epoch: int
    output_dir: str
    lists_met: dict[str, list[str]]

    def get_model_names(self, names: str | list[str] | None = None) -> list[str]: ...
    def save_model(
        self, epoch: int, directory: str, is_best: bool = False, val_result: float | None = None, model_name: str = ""
    ) -> None: ...
    def save_to_stop(self) -> None: ...
    def replace_next(self, file: str) -> str: ...
    def test(self, split: str | None = None) -> float: ...
    def set_model_mode(self, mode: str = "train", names: str | list[str] | None = None) -> None: ...
    def parse_batch_test(self, batch: Any) -> Any: ...
    def model_inference(self, input: Tensor) -> Tensor: ...
    def write_scalar(self, tag: str, value: float, global_step: int | None = None) -> None: ...
    def run_identity(self) -> dict: ...
    def data_met(self) -> dict: ...
