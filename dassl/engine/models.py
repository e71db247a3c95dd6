"""The registered models of a trainer: modes, gradients, learning rates, updates."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from dassl.utils.finite import check_loss
from dassl.utils.tools import tolist_if_not

from .gradients import without_conflict


class ModelKeeper:
    """Registered models by name, each with its optimizer and scheduler (or None).

    Subclasses and user code read `_models`, `_optims`, `_scheds` directly.
    """

    def __init__(self) -> None:
        self._models: OrderedDict[str, nn.Module] = OrderedDict()
        self._optims: OrderedDict[str, Any] = OrderedDict()
        self._scheds: OrderedDict[str, Any] = OrderedDict()

    def register_model(
        self,
        name: str = "model",
        model: nn.Module | None = None,
        optim: Optimizer | None = None,
        sched: LRScheduler | None = None,
    ) -> None:
        """Make a model known for mode switches, optimisation and checkpoints (folder `name`)."""
        if "_models" not in self.__dict__:
            raise AttributeError("a model cannot be registered before super().__init__() is called")
        assert name not in self._models, f"a model called {name} is registered already"
        self._models[name] = model  # type: ignore[assignment]  # None is let in as upstream does
        self._optims[name] = optim
        self._scheds[name] = sched

    def get_model_names(self, names: str | list[str] | None = None) -> list[str]:
        """`names` as a list, after a check that they are registered; None: all."""
        if names is None:
            return list(self._models)
        names = tolist_if_not(names)
        for name in names:
            assert name in self._models, f"no model called {name} is registered"
        return names

    def set_model_mode(self, mode: str = "train", names: str | list[str] | None = None) -> None:
        """ "train", "test" or "eval" for the registered models; else KeyError."""
        if mode not in ("train", "test", "eval"):
            raise KeyError(f"mode {mode!r} is none of train, test, eval")
        for name in self.get_model_names(names):
            self._models[name].train(mode == "train")

    def update_lr(self, names: str | list[str] | None = None) -> None:
        """One step of the learning-rate schedules."""
        for name in self.get_model_names(names):
            if self._scheds[name] is not None:
                self._scheds[name].step()

    def get_current_lr(self, names: str | list[str] | None = None) -> float:
        """Rate of the first parameter group of the first of the models."""
        name = self.get_model_names(names)[0]
        return self._optims[name].param_groups[0]["lr"]

    def detect_anomaly(self, loss: Tensor) -> None:
        """Raises DivergedError, a FloatingPointError, for a loss that is infinite or NaN."""
        check_loss(self, loss)

    def model_zero_grad(self, names: str | list[str] | None = None) -> None:
        """Clears the gradients of the models' optimizers."""
        for name in self.get_model_names(names):
            if self._optims[name] is not None:
                self._optims[name].zero_grad()

    def model_backward(self, loss: Tensor) -> None:
        """Backward, unless the loss is infinite or NaN: DivergedError."""
        self.detect_anomaly(loss)
        loss.backward()

    def model_update(self, names: str | list[str] | None = None) -> None:
        """One step of the models' optimizers."""
        for name in self.get_model_names(names):
            if self._optims[name] is not None:
                self._optims[name].step()

    def model_backward_and_update(self, loss: Tensor, names: str | list[str] | None = None) -> None:
        """Clears gradients, computes those of `loss`, and steps the optimizers. Raises DivergedError as
        `model_backward`."""
        self.model_zero_grad(names)
        self.model_backward(loss)
        self.model_update(names)

    def prograd_backward_and_update(
        self, loss_a: Tensor, loss_b: Tensor, lambda_: float = 1, names: str | list[str] | None = None
    ) -> None:
        """ProGrad (Zhu et al., ICCV 2023): a step along the gradient of `loss_a`, without its part against `loss_b`'s.

        For each parameter whose gradients have a negative inner product, `lambda_` times the projection of the first on
        the second is subtracted.
        """
        params = [p for name in self.get_model_names(names) for p in self._models[name].parameters() if p.requires_grad]
        self.detect_anomaly(loss_b)
        self.detect_anomaly(loss_a)
        grads_b = torch.autograd.grad(loss_b, params, retain_graph=True, allow_unused=True)
        grads_a = torch.autograd.grad(loss_a, params, allow_unused=True)
        self.model_zero_grad(names)
        for p, a, b in zip(params, grads_a, grads_b, strict=True):
            p.grad = a if a is None or b is None else without_conflict(a, b, lambda_)
        self.model_update(names)
