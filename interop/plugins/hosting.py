"""`with hosted(cfg):` is the context in which a plugin's trainer is built, trained and tested."""

from __future__ import annotations

import argparse
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from yacs.config import CfgNode

from clipkit.attention import twice_differentiable
from dassl.config.shown import of_run, trainer_name
from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY
from dassl.evaluation import EVALUATOR_REGISTRY
from dassl.utils import InputError
from datasets.adversarial import AdversarialWrapper

from .checkout_files import reading_from_checkouts
from .clip_names import serving
from .config_keys import files_for
from .cuda_free import OnCpu
from .failures import told_kindly
from .origin import is_plugin, root_of

if TYPE_CHECKING:
    from dassl.protocols import Trainer

logger = logging.getLogger("plugins")


def is_hosted(cfg: CfgNode) -> bool:
    """Whether the trainer that `cfg` names comes from a plugin."""
    name = trainer_name(cfg)
    return name in TRAINER_REGISTRY and is_plugin(TRAINER_REGISTRY.get(name))


def plugins_of(cfg: CfgNode) -> list[type]:
    """Those of the run's trainer, dataset and evaluator classes that come from plugins."""
    named = ((TRAINER_REGISTRY, trainer_name(cfg)), (DATASET_REGISTRY, of_run(cfg).DATASET.NAME),
             (EVALUATOR_REGISTRY, cfg.TEST.EVALUATOR))  # fmt: skip
    kinds = [registry.get(name) for registry, name in named if name in registry]
    return [kind for kind in kinds if is_plugin(kind)]


def files_of(cfg: CfgNode, args: argparse.Namespace) -> list[str]:
    """The --plugin-cfg files for the run's trainer; none if it is not a plugin."""
    if not is_hosted(cfg):
        return []
    return files_for(args.plugin_cfg, root_of(TRAINER_REGISTRY.get(trainer_name(cfg))), args.plugin)


@contextmanager
def hosted(cfg: CfgNode, quiet: bool = False, model_dir: str = "") -> Iterator[None]:
    """The context of everything that a run does with its trainer. It has no effect if no part is a plugin's.

    Files that a plugin reads by a relative path are also looked for in its checkout, except those of the run (its
    output, `model_dir`). Errors of plugins are raised as InputErrors. A plugin's trainer finds the run's backbone in
    `clip` and sees one GPU at most; without a GPU, `.cuda()` and `.half()` leave tensors on the CPU in fp32. quiet:
    suppress the plugin's output.
    """
    if not plugins_of(cfg):
        yield
        return
    log = Path(cfg.OUTPUT_DIR) / "log.txt" if cfg.OUTPUT_DIR and not quiet else None
    with told_kindly(cfg, log), reading_from_checkouts([cfg.OUTPUT_DIR, cfg.RESUME, model_dir, cfg.DATASET.ROOT]):
        if is_hosted(cfg):
            with _trainer_hosted(cfg, quiet):
                yield
        else:
            yield


@contextmanager
def _trainer_hosted(cfg: CfgNode, quiet: bool) -> Iterator[None]:
    on_cpu = not (torch.cuda.is_available() and cfg.USE_CUDA)
    if on_cpu and not quiet:
        logger.info("No GPU: tensors that %s sends to one stay on the CPU, and its fp16 is fp32", trainer_name(cfg))
    with ExitStack() as stack:
        if quiet:
            stack.enter_context(redirect_stdout(io.StringIO()))
        stack.enter_context(serving(cfg.MODEL.BACKBONE))
        stack.enter_context(twice_differentiable())
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", r".*torch\.cuda\.amp\.", FutureWarning)
        warnings.filterwarnings("ignore", ".*CUDA is not available")
        # with several GPUs plugins wrap their model in DataParallel, where prompts in its blocks fail
        _stand_in(stack, "device_count", lambda: int(not on_cpu))
        if on_cpu:
            _stand_in(stack, "synchronize", lambda device=None: None)
            stack.enter_context(OnCpu())
        yield


def _stand_in(stack: ExitStack, name: str, function: Callable) -> None:
    stack.callback(setattr, torch.cuda, name, getattr(torch.cuda, name))
    setattr(torch.cuda, name, function)


def watch(trainer: Trainer) -> dict[str, float]:
    """Check a plugin's trainer that has just been built, and note its accuracy.

    Returns {"accuracy": result of the last `test()`}, which is filled when the trainer tests. Raises InputError if the
    trainer would not use the dataset, noise or attack of its config, which results.json would then name wrongly.
    """
    found: dict[str, float] = {}
    if not is_hosted(trainer.cfg):
        return found
    if getattr(getattr(trainer, "dm", None), "dataset", None) is None:
        raise InputError(
            f"{trainer.cfg.TRAINER.NAME} has no self.dm, whose dataset the record of a run is about; set it."
        )
    _check_data(trainer)
    _check_noise(trainer)
    _check_attack(trainer)
    test = trainer.test

    def noting(*args, **kwargs):
        result = test(*args, **kwargs)
        found.clear()
        if isinstance(result, (int, float)) or (isinstance(result, torch.Tensor) and result.numel() == 1):
            found["accuracy"] = float(result)
        return result

    trainer.test = noting
    return found


def _check_data(trainer: Trainer) -> None:
    """Raises InputError if the trainer loaded DATASET.STAND_IN, which is only a name for its tables, as its dataset."""
    name, cfg = of_run(trainer.cfg).DATASET.NAME, trainer.cfg
    if name != cfg.DATASET.NAME and not isinstance(trainer.dm.dataset, DATASET_REGISTRY.get(name)):
        raise InputError(
            f"{trainer_name(cfg)} builds its dataset itself, and took {cfg.DATASET.NAME} instead of {name}; "
            "it can be used neither with DATASET.STAND_IN nor with a dataset NAME@LABEL."
        )


def _check_noise(trainer: Trainer) -> None:
    noise, data = trainer.cfg.DATASET.get("NOISE"), trainer.dm.dataset
    if noise is not None and (noise.TYPE or noise.MANIFEST) and getattr(data, "noise", None) is None:
        raise InputError(
            f"{trainer.cfg.TRAINER.NAME} makes its dataset without dassl's build_dataset, so DATASET.NOISE would have "
            "no effect; leave it out, or use dassl's DataManager."
        )


def _check_attack(trainer: Trainer) -> None:
    cfg = trainer.cfg
    key = "TEST.ADV_SET" if cfg.TEST.get("ADV_SET", "") else "TEST.CORRUPTION"
    if key == "TEST.CORRUPTION" and not cfg.TEST.get("CORRUPTION", {}).get("NAME", ""):
        return
    loader = trainer.val_loader if cfg.TEST.SPLIT == "val" and trainer.dm.dataset.val else trainer.test_loader
    images = getattr(loader, "dataset", None)
    if not isinstance(getattr(images, "wrapped", images), AdversarialWrapper):
        raise InputError(
            f"{cfg.TRAINER.NAME} reads its test images itself ({type(images).__name__}), so the pictures of "
            f"{key} would not be used; leave it out, or use build_data_loader of dassl.data.data_manager."
        )
