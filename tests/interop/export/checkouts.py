"""A checkout in CoOp's manner, Dassl by its description, and how they are run: in processes of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from helpers import FITTING, NAMES, make_tiny

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PETS = ("abyssinian", "house_tiger", "beagle", "bengal", "birman")  # there are descriptions of all but one


def make_checkout(folder: Path) -> Path:
    """A copy of the checkout, to be changed."""
    return shutil.copytree(HERE / "checkout", folder, ignore=shutil.ignore_patterns("__pycache__"))


def make_pets(root: Path) -> Path:
    """The tiny data set under the name and in the layout of OxfordPets; returns `root`."""
    folder = make_tiny(root).rename(root / "oxford_pets")
    text = (folder / "split_zhou_Tiny.json").read_text()
    for name, pet in zip(NAMES, PETS, strict=True):
        text = text.replace(f'"{name}"', f'"{pet}"')
    (folder / "split_zhou_OxfordPets.json").write_text(text)
    return root


def make_contract_dassl(folder: Path) -> Path:
    """Upstream's Dassl as far as its description goes: the folder for PYTHONPATH."""
    shutil.copytree(HERE / "contract", folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (ROOT / "dassl").rglob("*.py"):
        copy = folder / "hidden_engine" / file.relative_to(ROOT / "dassl")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(re.sub(r"\bdassl\b", "hidden_engine", file.read_text()))
    return folder


def python(arguments: list, cwd: Path, path: Path, cache: Path) -> subprocess.CompletedProcess:
    """`python ARGUMENTS` in `cwd`, with PYTHONPATH `path` alone."""
    env = {**os.environ, "PYTHONPATH": str(path), "ROBUSTPROMPT_CACHE": str(cache), "DASSL_ENV_INFO": "short"}
    env |= {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=1200)


def arguments(root: Path, output: Path, trainer: str, clip: Path | None = None, flags: tuple = (), **more) -> list[str]:
    """train.py's arguments, for ours with the tiny CLIP in `clip`, else for the checkout's own trainer."""
    named = ["--root", root, "--seed", 1, "--trainer", trainer, "--output-dir", output, *flags]
    named += ["--dataset-config-file", "configs/datasets/oxford_pets.yaml"]
    named += ["--config-file", "configs/trainers/CoOp/vit_b16.yaml"]
    pairs = {"DATASET.NUM_SHOTS": 4, "DATASET.SUBSAMPLE_CLASSES": "base"}
    if clip is not None:
        pairs |= {"MODEL.BACKBONE.PATH": clip, "MODEL.BACKBONE.NAME": ""} | FITTING.get(trainer, {})
    pairs |= {key.replace("__", "."): value for key, value in more.items()}
    return [str(x) for x in (*named, *(x for pair in pairs.items() for x in pair))]


def accuracy(output: Path) -> str:
    """The last accuracy in a run's log."""
    return re.findall(r"\* accuracy: ([\d.]+)%", (output / "log.txt").read_text())[-1]


def our_methods() -> list[str]:
    """Names of all methods that a module of the tree defines; other tests may have registered more."""
    import trainers  # noqa: F401
    from dassl.engine import TRAINER_REGISTRY

    known = {name: TRAINER_REGISTRY.get(name) for name in TRAINER_REGISTRY.registered_names()}
    return [name for name, method in known.items() if method.__module__.startswith("trainers.")
            and vars(sys.modules[method.__module__]).get(name) is method]  # fmt: skip
