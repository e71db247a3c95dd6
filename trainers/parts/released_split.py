"""NLPrompt's split and steps as its released code makes them (TRAINER.NLPROMPT.COMPAT released), for comparison.

It scores items as the training loader gives them: shuffled, under random crops, without the last partial batch, whose
items count as noisy. Each part then drops its own partial batch. If no item is clean, all are trained with
cross-entropy. Its transport does not use logarithms: where REG_E is so small that every number underflows, the plan is
zero, and the pseudo-label of every item is class 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clipkit import InputError

from ..label_noise.decisions import Decision
from ..label_noise.prompt_ot import ot_decision
from .deciding_trainer import DecidingTrainer


def released_decision(trainer: DecidingTrainer, reg: float, cost: str, budget: float) -> Decision:
    """The decision about all N items; items that were not scored count as noisy."""
    label = trainer.training_list.label
    clean, score = torch.zeros_like(label, dtype=torch.bool), torch.zeros_like(label, dtype=torch.float64)
    batches = full_batches(trainer, torch.ones_like(clean), "scored")
    if batches:
        prob, seen = scored(trainer, batches)
        if cost == "prob" and underflows(prob, reg):
            clean[seen] = label[seen] == 0
        else:
            found = ot_decision(prob, label[seen], reg, cost, budget)
            clean[seen], score[seen] = found.clean, found.score
    return Decision(clean, score)


def released_steps(trainer: DecidingTrainer, decision: Decision) -> list[tuple[str, list[int]]]:
    """One pass over each part in full batches. Raises InputError where neither part fills one."""
    parts = {"clean": decision.clean, "noisy": ~decision.clean}
    if not decision.clean.any():
        parts = {"clean": torch.ones_like(decision.clean)}
    steps = [(name, batch) for name, part in parts.items() for batch in full_batches(trainer, part, name)]
    if not steps:
        size = trainer.cfg.DATALOADER.TRAIN_X.BATCH_SIZE
        raise InputError(
            f"TRAINER.NLPROMPT.COMPAT released drops partial batches, and of {len(decision.clean)} training items "
            f"neither the clean nor the noisy ones fill a batch of {size}; lower DATALOADER.TRAIN_X.BATCH_SIZE."
        )
    return steps


def full_batches(trainer: DecidingTrainer, chosen: Tensor, name: str) -> list[list[int]]:
    """The items that the mask `chosen` [N] selects, shuffled, in batches; an incomplete last batch is dropped."""
    size = trainer.cfg.DATALOADER.TRAIN_X.BATCH_SIZE
    return [batch for batch in trainer.shuffled_batches(chosen, name, trainer.epoch) if len(batch) == size]


@torch.no_grad()
def scored(trainer: DecidingTrainer, batches: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Predictions [M, C] of the items in these batches under the training transform, and their indices [M]."""
    mode = "train" if trainer.model.training else "eval"
    trainer.set_model_mode("eval")
    try:
        loader = trainer.listed_batches.load(batches, trainer.epoch, "scored")
        logits = [trainer.model_inference(trainer.parse_batch_test(batch)[0]) for batch in loader]
    finally:
        trainer.set_model_mode(mode)
    return torch.cat(logits).double().softmax(dim=1), torch.tensor(sum(batches, []), device=trainer.device)


def underflows(prob: Tensor, reg: float) -> bool:
    """Whether exp(-M / reg) is zero throughout in double precision, M = -log softmax(p) the released cost."""
    return not (prob.double().log_softmax(dim=1) / reg).exp().any()
