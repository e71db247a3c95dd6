"""Makes results.json, the results and circumstances of one run, which is written last and atomically."""

from __future__ import annotations

import functools
import json
import platform
import resource
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from yacs.config import CfgNode

import clipkit
from dassl.data.datasets import DATASET_REGISTRY
from dassl.data.facts import list_facts
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import write_json
from interop.plugins.origin import provenance

from .about import about_run
from .named_files import named_files
from .same_data import data_record
from .settings import settings, settings_hash
from .tested_model import weights_hash

if TYPE_CHECKING:
    from dassl.protocols import Trainer

PACKAGES = ("torch", "torchvision", "clip-anytorch", "numpy", "pillow", "scikit-learn", "safetensors", "torchattacks")


def write_record(
    path: Path,
    cfg: CfgNode,
    args: Namespace,
    trainer: Trainer,
    seconds: float,
    tested: Mapping | None = None,
    kept: Mapping | None = None,
) -> None:
    """Write results.json atomically. `results` is None if the run tested nothing (TEST.NO_TEST).

    tested: {"accuracy"} returned by a plugin's `test()`, which is recorded if the evaluator has another value or none.
    kept: what `outputs.keep_outputs` returned.
    """
    found = settings(cfg, args)
    data = trainer.dm.dataset
    record = {
        "version": 1,
        **about_run(args),
        "trainer": cfg.TRAINER.NAME,
        "dataset": cfg.DATASET.NAME,
        "seed": cfg.SEED,
        "task": cfg.TASK,
        "mode": found["mode"],
        "model_dir": args.model_dir or None,
        "model_sha256": weights_hash(args.model_dir, args.load_epoch) if args.eval_only else None,
        "split": cfg.TEST.SPLIT,
        "subsample_classes": cfg.DATASET.SUBSAMPLE_CLASSES,
        "shots": cfg.DATASET.NUM_SHOTS,
        "backbone": backbone(trainer),
        "results": _results(trainer, tested or {}),
        "outputs": None,
        "scores": None,
        **(kept or {}),
        "plugins": _plugins(cfg, getattr(args, "taken_over", ())),
        **getattr(trainer, "record", {}),
        "learnable_numbers": sum(
            p.numel() for m in trainer._models.values() for p in m.parameters() if p.requires_grad
        ),
        "classnames": list(data.classnames),
        "noise": getattr(data, "noise", None),
        "adversarial": getattr(data, "adversarial", None),
        "corruption": getattr(data, "corruption", None),
        "image_tower": trainer.tower_accounts() if hasattr(trainer, "tower_accounts") else None,
        "items": {"train": list_facts(data.train_x), "test": list_facts(data.test)},
        "data": data_record(trainer),
        "files": named_files(found),
        "settings_hash": settings_hash(found),
        "config": _plain(cfg),
        **hardware(trainer),
        "versions": {"python": platform.python_version()} | versions(),
        "git": git_revision(),
        "command": sys.argv,
        "wall_seconds": round(seconds, 3),
        "peak_memory_bytes": peak_memory(trainer.device),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_json(record, str(path))


def _results(trainer: Trainer, tested: Mapping) -> dict | None:
    found = getattr(trainer.evaluator, "results", None) or {}
    same = "accuracy" not in tested or found.get("accuracy") == tested["accuracy"]
    return (found if same else dict(tested)) or None


def _plugins(cfg: CfgNode, taken_over: Iterable = ()) -> dict | None:
    """The origin of trainer and dataset if they are plugins', and what the checkout's train.py sets for this run."""
    kinds = {"trainer": TRAINER_REGISTRY.get(cfg.TRAINER.NAME), "dataset": DATASET_REGISTRY.get(cfg.DATASET.NAME)}
    found: dict[str, object] = {what: about for what, kind in kinds.items() if (about := provenance(kind))}
    if found and taken_over:
        found["train_py"] = [each.record() for each in taken_over]
    return found or None


def backbone(trainer: Trainer) -> dict:
    """Name, file and hash of the trainer's backbone."""
    node = trainer.cfg.MODEL.BACKBONE
    return {"name": node.NAME, "path": node.PATH, "sha256": _identity(trainer).get("backbone")}


def hardware(trainer: Trainer) -> dict:
    """The device and the precision of the computation, and whether its kernels were chosen by --deterministic."""
    name, fixed = clipkit.arithmetic(trainer.device), torch.are_deterministic_algorithms_enabled()
    return {"device": name, "precision": getattr(trainer, "precision", None), "deterministic": fixed}


def environment() -> str:
    """Versions, device and git revision as text, one in each line."""
    device = clipkit.arithmetic(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    facts = {"python": platform.python_version(), **versions(), "device": device, "git": git_revision()}
    return "\n".join(f"{k}: {v}" for k, v in facts.items())


@functools.cache
def versions() -> dict[str, str]:
    """The versions of this project and of the packages on which results depend."""
    found = {"robustprompt": clipkit.__version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "?"
    return found | {"torch": str(torch.__version__)}  # with the CUDA version that it was built for


@functools.cache
def git_revision() -> str | None:
    """The current commit, with "+changes" if tracked files differ from it; None outside git."""
    here = Path(__file__).parent
    try:
        run = functools.partial(subprocess.run, cwd=here, capture_output=True, text=True, check=True, timeout=10)
        commit = run(["git", "rev-parse", "HEAD"]).stdout.strip()
        changed = run(["git", "status", "--porcelain", "--untracked-files=no"]).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if changed else "")


def peak_memory(device: torch.device) -> int:
    """The peak memory in bytes: allocated on the GPU, or the resident set of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _identity(trainer: Trainer) -> dict:
    return trainer.run_identity() if hasattr(trainer, "run_identity") else {}


def _plain(cfg: CfgNode) -> dict:
    return {k: _plain(v) if isinstance(v, CfgNode) else json.loads(json.dumps(v, default=list)) for k, v in cfg.items()}
