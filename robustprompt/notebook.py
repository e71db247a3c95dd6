"""Runs from Python: `train`, `zero_shot`, `load`. Each is the command of the same arguments, in this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from dassl.utils import InputError
from dassl.utils.memory import keep_freed_memory
from runs.config_names import UNTRAINED, method_name
from runs.one_run import main
from runs.options import parse
from runs.protocols import plan
from runs.words import seed_of

from .inside import in_checkout, seen_from_checkout
from .trained import Run

PROTOCOLS = ("few_shot", "base2new_train", "xd_train")
WEIGHTS = (".pt", ".pth", ".safetensors", ".bin")


def train(
    method: str,
    dataset: str,
    *,
    shots: int = 16,
    seed: int = 1,
    backbone: str = "",
    config: Mapping[str, object] | None = None,
    protocol: str = "few_shot",
    data: str | Path = "",
    output: str | Path = "",
    log: bool = False,
) -> Run:
    """Train a method on a few images of a dataset, test it, and return the run. One that is finished is not repeated.

    The same as `SHOTS=16 bash scripts/coop/few_shot.sh digits 1`: same folder, files, numbers.

    method, dataset: as `python -m robustprompt list` has them. shots: training images a class. seed: of everything that
    is drawn. backbone: a name such as "Embedded" or "ViT-B/16", or a file of weights; default: that of the method's
    config. config: config keys with their values, {"OPTIM.MAX_EPOCH": 5}. protocol: few_shot (all classes),
    base2new_train (the first half of them) or xd_train (all, for tests on other datasets). data, output: folders of the
    datasets and of all runs; default: DATA and OUTPUT of the environment, or `data` and `output` of the checkout.
    log: show the log, which is in log.txt too.

    Raises InputError for an unknown name (with the nearest ones) or value, and if the folder holds a run with other
    settings.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol is {protocol!r}, but must be one of {', '.join(PROTOCOLS)}.")
    for name, value in (("method", method), ("dataset", dataset), ("backbone", backbone)):
        if not isinstance(value, str):
            raise InputError(f"{name} is {value!r}, but must be a name, such as {EXAMPLES[name]!r}.")
    if "," in dataset or dataset in ("all", "embedded"):
        raise InputError(f"dataset is {dataset!r}, but one call is one run: name a single dataset.")
    env = {name: os.environ[name] for name in ("DATA", "OUTPUT") if name in os.environ} | {"SHOTS": str(shots)}
    env |= {"DATA": seen_from_checkout(data, "data")} if str(data) else {}
    env |= {"OUTPUT": seen_from_checkout(output, "output")} if str(output) else {}
    pairs = [*_backbone(backbone), *(str(word) for pair in (config or {}).items() for word in pair)]
    keep_freed_memory()
    with in_checkout(log=log):
        (arguments,) = plan(protocol, method, dataset, seed_of(str(seed)), env, pairs)
        sys.argv = ["train.py", *arguments]  # recorded as the run's command
        main(parse(arguments))
        folder = Path(arguments[arguments.index("--output-dir") + 1]).absolute()
    return Run(folder)


def zero_shot(dataset: str, *, method: str = "ZeroshotCLIP", backbone: str = "", **more: object) -> Run:
    """Test CLIP as it is on all classes of a dataset, with the dataset's own prompt template. `more`: seed, config,
    data, output, log of `train`. method: another one that is not trained, such as "TPT".

    Raises InputError as `train` does, and for a method that is trained.
    """
    if method_name(method) not in UNTRAINED:
        raise InputError(f"{method} is trained: use rp.train. Without training are {', '.join(UNTRAINED)}.")
    return train(method, dataset, backbone=backbone, **more)  # type: ignore[arg-type]


def load(folder: str | Path) -> Run:
    """A run that was made before, by `train` or by a command: folder is its --output-dir.

    Raises InputError if it is no folder of a run, or its run is not finished.
    """
    if not str(folder):
        raise InputError("folder is empty; give the --output-dir of a run.")
    return Run(Path(folder).expanduser().absolute())


EXAMPLES = {"method": "CoOp", "dataset": "digits", "backbone": "Embedded"}


def _backbone(given: str) -> list[str]:
    """The config pair of a backbone's name or file."""
    if given.endswith(WEIGHTS):
        return ["MODEL.BACKBONE.PATH", str(Path(given).expanduser().absolute())]
    return ["MODEL.BACKBONE.NAME", given] if given else []
