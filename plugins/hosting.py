"""What surrounds a plugin's trainer while it is built, trains and answers: `with hosted(cfg):`."""

from __future__ import annotations

import io
import logging
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path

import torch

from clipkit.attention import twice_differentiable
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import InputError
from datasets.adversarial import AdversarialWrapper

from .clip_names import serving
from .cuda_free import OnCpu
from .loading import location
from .origin import is_plugin

logger = logging.getLogger("plugins")


def is_hosted(cfg) -> bool:
    """Is the trainer that `cfg` names a plugin's?"""
    name = cfg.TRAINER.NAME
    return name in TRAINER_REGISTRY and is_plugin(TRAINER_REGISTRY.get(name))


@contextmanager
def hosted(cfg, quiet: bool = False) -> Iterator[None]:
    """Nothing, for a trainer of ours. A plugin's finds the run's backbone in `clip`, and one GPU at most; without one a
    CPU that takes `.cuda()` and `.half()`. It may take second derivatives. Its usual complaints become InputErrors.

    quiet: without what it prints.
    """
    if not is_hosted(cfg):
        yield
        return
    on_cpu = not (torch.cuda.is_available() and cfg.USE_CUDA)
    if on_cpu and not quiet:
        logger.info("No GPU: what %s sends to one stays on the CPU, and its fp16 is fp32", cfg.TRAINER.NAME)
    with ExitStack() as stack:
        stack.enter_context(_told_kindly(cfg))
        if quiet:
            stack.enter_context(redirect_stdout(io.StringIO()))
        stack.enter_context(serving(cfg.MODEL.BACKBONE))
        stack.enter_context(twice_differentiable())
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", r".*torch\.cuda\.amp\.", FutureWarning)
        warnings.filterwarnings("ignore", ".*CUDA is not available")
        # they wrap their model in DataParallel where there are several, under which prompts in its blocks fail
        _stand_in(stack, "device_count", lambda: int(not on_cpu))
        if on_cpu:
            _stand_in(stack, "synchronize", lambda device=None: None)
            stack.enter_context(OnCpu())
        yield


def _stand_in(stack: ExitStack, name: str, function: Callable) -> None:
    stack.callback(setattr, torch.cuda, name, getattr(torch.cuda, name))
    setattr(torch.cuda, name, function)


@contextmanager
def _told_kindly(cfg) -> Iterator[None]:
    """A config key that is missing, a refused config, a missing checkpoint: one sentence, as from our own trainers."""
    try:
        yield
    except InputError:
        raise
    except (AttributeError, AssertionError, FileNotFoundError) as error:
        frames = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
        found, name = location(error), cfg.TRAINER.NAME
        if found is None:
            raise
        where, last = f"{found[0]}, line {found[1]}", frames[-1]
        if isinstance(error, AttributeError) and Path(last.co_filename).parts[-2:] == ("yacs", "config.py"):
            raise InputError(
                f"{where}: {name} reads a config key {error} that there is not; give the keys of its checkout with "
                "--plugin-cfg train.py, or a YAML file that has them."
            ) from error
        if isinstance(error, AssertionError) and last.co_name == "check_cfg":
            line = Path(found[0]).read_text(encoding="utf-8").splitlines()[found[1] - 1].strip()
            raise InputError(f"{where}: {name} refuses this config: {str(error) or line}.") from error
        if isinstance(error, FileNotFoundError) and last.co_name == "load_model":
            raise InputError(f"{where}: {error}; mend --model-dir or --load-epoch.") from error
        raise


def watch(trainer) -> dict[str, float]:
    """For a plugin's trainer that has just been built. {"accuracy": what its last `test()` gave}, filled as it tests.

    Raises InputError where it would miss the noise or the attack of its config: the record of a run must not name what
    its trainer has not met.
    """
    found: dict[str, float] = {}
    if not is_hosted(trainer.cfg):
        return found
    if getattr(getattr(trainer, "dm", None), "dataset", None) is None:
        raise InputError(
            f"{trainer.cfg.TRAINER.NAME} has no self.dm, whose dataset the record of a run is about; set it."
        )
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


def _check_noise(trainer) -> None:
    noise, data = trainer.cfg.DATASET.get("NOISE"), trainer.dm.dataset
    if noise is not None and (noise.TYPE or noise.MANIFEST) and getattr(data, "noise", None) is None:
        raise InputError(
            f"{trainer.cfg.TRAINER.NAME} makes its dataset without dassl's build_dataset, so DATASET.NOISE would have "
            "no effect; leave it out, or use dassl's DataManager."
        )


def _check_attack(trainer) -> None:
    cfg = trainer.cfg
    if not cfg.TEST.get("ADV_SET", ""):
        return
    loader = trainer.val_loader if cfg.TEST.SPLIT == "val" and trainer.dm.dataset.val else trainer.test_loader
    images = getattr(loader, "dataset", None)
    if not isinstance(getattr(images, "wrapped", images), AdversarialWrapper):
        raise InputError(
            f"{cfg.TRAINER.NAME} reads its test images by itself ({type(images).__name__}), so the pictures of "
            "TEST.ADV_SET would not be met; leave it out, or use build_data_loader of dassl.data.data_manager."
        )
