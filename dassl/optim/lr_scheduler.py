"""`build_lr_scheduler`: step and cosine schedules with warm-up, stepped once per epoch."""

from __future__ import annotations

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR, StepLR
from yacs.config import CfgNode

from dassl.utils.errors import InputError

AVAI_SCHEDS = ["single_step", "multi_step", "cosine"]


class _WarmupScheduler(LRScheduler):
    """`warmup_epoch` epochs of warm-up, then `successor`, which starts at its own first step."""

    def __init__(
        self,
        optimizer: Optimizer,
        successor: LRScheduler,
        warmup_epoch: int,
        last_epoch: int = -1,
        verbose: bool = False,  # upstream's signature; torch has dropped it
    ) -> None:
        self.successor = successor
        self.warmup_epoch = warmup_epoch
        super().__init__(optimizer, last_epoch)

    def warmup_lr(self) -> list[float | Tensor]:
        raise NotImplementedError

    def get_lr(self) -> list[float | Tensor]:
        if self.last_epoch >= self.warmup_epoch:
            return self.successor.get_last_lr()
        return self.warmup_lr()

    def step(self, epoch: int | None = None) -> None:
        if self.last_epoch >= self.warmup_epoch:
            self.successor.step(epoch)
            self._last_lr = self.successor.get_last_lr()
        else:
            super().step(epoch)

    def state_dict(self) -> dict:
        """Plain values only; the successor's state is a nested dict, not the object that upstream stores."""
        return {**super().state_dict(), "successor": self.successor.state_dict()}

    def load_state_dict(self, state_dict: dict) -> None:
        """Takes the nested dict of `state_dict`, and upstream's form with an object as `successor`."""
        state = dict(state_dict)
        successor = state.pop("successor")
        if not isinstance(successor, dict):
            # Only its epoch and rates are read: the object itself would step the optimizer stored in it, not this one.
            keys = ("last_epoch", "_step_count", "base_lrs", "_last_lr")
            successor = {key: vars(successor)[key] for key in keys if key in vars(successor)}
        self.successor.load_state_dict(successor)
        super().load_state_dict(state)


class ConstantWarmupScheduler(_WarmupScheduler):
    """All parameter groups learn with `cons_lr` during the warm-up."""

    def __init__(
        self,
        optimizer: Optimizer,
        successor: LRScheduler,
        warmup_epoch: int,
        cons_lr: float,
        last_epoch: int = -1,
        verbose: bool = False,
    ) -> None:
        self.cons_lr = cons_lr
        super().__init__(optimizer, successor, warmup_epoch, last_epoch, verbose)

    def warmup_lr(self) -> list[float | Tensor]:
        return [self.cons_lr for _ in self.base_lrs]


class LinearWarmupScheduler(_WarmupScheduler):
    """`min_lr` in the first epoch, then base rate * epoch / warmup_epoch."""

    def __init__(
        self,
        optimizer: Optimizer,
        successor: LRScheduler,
        warmup_epoch: int,
        min_lr: float,
        last_epoch: int = -1,
        verbose: bool = False,
    ) -> None:
        self.min_lr = min_lr
        super().__init__(optimizer, successor, warmup_epoch, last_epoch, verbose)

    def warmup_lr(self) -> list[float | Tensor]:
        if self.last_epoch == 0:
            return [self.min_lr for _ in self.base_lrs]
        return [lr * self.last_epoch / self.warmup_epoch for lr in self.base_lrs]


def build_lr_scheduler(optimizer: Optimizer, optim_cfg: CfgNode) -> LRScheduler:
    """The schedule of cfg.OPTIM, to be stepped once per epoch.

    Cosine goes from LR to 0 in MAX_EPOCH steps. With a warm-up of W epochs it starts at epoch W and so stops W steps
    short; with WARMUP_RECOUNT False its next step is counted as step W + 1 instead of 1.
    """
    name = optim_cfg.LR_SCHEDULER
    if name not in AVAI_SCHEDS:
        raise InputError(f"scheduler {name!r} is not known: OPTIM.LR_SCHEDULER must be one of {', '.join(AVAI_SCHEDS)}")
    scheduler = _build_successor(name, optimizer, optim_cfg)
    if optim_cfg.WARMUP_EPOCH <= 0:
        return scheduler
    if not optim_cfg.WARMUP_RECOUNT:
        scheduler.last_epoch = optim_cfg.WARMUP_EPOCH
    if optim_cfg.WARMUP_TYPE == "constant":
        return ConstantWarmupScheduler(optimizer, scheduler, optim_cfg.WARMUP_EPOCH, optim_cfg.WARMUP_CONS_LR)
    if optim_cfg.WARMUP_TYPE == "linear":
        return LinearWarmupScheduler(optimizer, scheduler, optim_cfg.WARMUP_EPOCH, optim_cfg.WARMUP_MIN_LR)
    raise InputError(f"OPTIM.WARMUP_TYPE must be constant or linear, not {optim_cfg.WARMUP_TYPE!r}")


def _build_successor(name: str, optimizer: Optimizer, optim_cfg: CfgNode) -> LRScheduler:
    stepsize = optim_cfg.STEPSIZE
    if name == "cosine":
        return CosineAnnealingLR(optimizer, float(optim_cfg.MAX_EPOCH))  # type: ignore[arg-type]  # as upstream has it
    if name == "multi_step":
        if not isinstance(stepsize, (list, tuple)):
            raise TypeError(f"OPTIM.STEPSIZE must be a list of epochs for multi_step, not {stepsize!r}")
        return MultiStepLR(optimizer, milestones=list(stepsize), gamma=optim_cfg.GAMMA)
    last = stepsize[-1] if isinstance(stepsize, (list, tuple)) else stepsize
    if not isinstance(last, int):
        raise TypeError(f"OPTIM.STEPSIZE must be a whole number of epochs for single_step, not {last!r}")
    return StepLR(optimizer, step_size=last if last > 0 else optim_cfg.MAX_EPOCH, gamma=optim_cfg.GAMMA)
