"""Every method's steps and answers on the device in each precision, beside fp32 on the CPU, on the embedded CLIP."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dassl.engine import TRAINER_REGISTRY, build_trainer
from dassl.engine.guards import learns
from dassl.utils import InputError
from runs.config_names import CONFIG_FOLDER
from runs.options import build_parser
from runs.setup import setup_cfg
from trainers.base import PromptTrainer

from .gpu_sizes import Row, Sizes
from .side_by_side import workspace

STEPS, IMAGES = 2, 8
PRECISIONS = ("fp32", "amp", "fp16")
# Largest difference of a logit, as a share of the largest logit: fp32 adds in another order; half has three digits.
NEAR = {"fp32": 2e-3, "amp": 0.1, "fp16": 0.1}


def agree(sizes: Sizes) -> Iterator[Row]:
    with workspace() as root:
        for name in sizes.methods:
            try:
                expected = answers(name, root, "fp32", "cpu", sizes)
            except Exception as error:  # the other methods are still to be seen
                yield {"method": name, "precision": "fp32", "verdict": "fails on the CPU", "said": told(error)}
                continue
            for precision in PRECISIONS if sizes.device == "cuda" else PRECISIONS[:1]:
                yield {"method": name, "precision": precision} | compared(name, root, precision, sizes, expected)


def compared(name: str, root: str, precision: str, sizes: Sizes, expected: tuple[Tensor, list[float]]) -> Row:
    """The verdict on one method in one precision: ok, apart, refused (by a sentence of its own), or an error."""
    try:
        logits, losses = answers(name, root, precision, sizes.device, sizes)
    except InputError as error:
        return {"verdict": "refused", "said": told(error)}
    except Exception as error:
        return {"verdict": type(error).__name__, "said": told(error)}
    apart = ((logits - expected[0]).abs().max() / expected[0].abs().max()).item()
    loss = max((abs(a - b) / max(1.0, abs(b)) for a, b in zip(losses, expected[1], strict=True)), default=0.0)
    same = (logits.argmax(1) == expected[0].argmax(1)).float().mean().item()
    good = apart <= NEAR[precision] and loss <= NEAR[precision]
    return {"verdict": "ok" if good else "apart", "logits apart": apart, "losses apart": loss, "same classes": same}


def answers(name: str, root: str, precision: str, device: str, sizes: Sizes) -> tuple[Tensor, list[float]]:
    """Logits [8, C] of test images after two training steps, on the CPU in fp32; and the losses of the steps."""
    trainer = built(name, root, precision, device, sizes)
    losses = steps(trainer) if learns(trainer) else []
    trainer.set_model_mode("eval")
    image = next(iter(trainer.test_loader))["img"][:IMAGES].to(trainer.device)
    with torch.no_grad(), trainer.test_draws():
        return trainer.model_inference(image).float().cpu(), losses


def built(name: str, root: str, precision: str, device: str, sizes: Sizes) -> PromptTrainer:
    """The method with its settings of the embedded suite, on Digits."""
    settings = {
        f"{TRAINER_REGISTRY.get(name).node}.PREC": precision, "USE_CUDA": device == "cuda", "VERBOSE": False,
        "DATASET.NUM_SHOTS": 16, "DATALOADER.NUM_WORKERS": 0, "TRAINER.TTA.N_VIEWS": 4 if sizes.small else 16,
        "TRAIN_ATTACK.STEPS": 2, "DATALOADER.TEST.BATCH_SIZE": IMAGES,
    }  # fmt: skip
    named = ["--root", f"{root}/data", "--seed", "1", "--trainer", name, "--output-dir", f"{root}/out"]
    named += ["--dataset-config-file", "configs/datasets/digits.yaml"]
    named += ["--config-file", f"configs/trainers/{CONFIG_FOLDER.get(name, name)}/embedded.yaml"]
    pairs = [str(x) for pair in settings.items() for x in pair]
    return build_trainer(setup_cfg(build_parser().parse_args(named + pairs)))


def steps(trainer: PromptTrainer) -> list[float]:
    """The losses of the first steps of a training, on what it trains on (features, where these are enough)."""
    trainer.before_train()
    trainer.epoch = trainer.batch_idx = 0
    trainer.before_epoch()
    trainer.set_model_mode("train")
    batches = trainer._batches()
    losses = []
    for _ in range(STEPS):
        (batch,) = next(batches)
        trainer.num_batches = 10**6  # so that no epoch ends
        losses.append(float(trainer.forward_backward(batch)["loss"]))
    return losses


def told(error: BaseException) -> str:
    """The error's first line, cut to what a table has room for."""
    return (str(error).strip() or type(error).__name__).partition("\n")[0][:160]
