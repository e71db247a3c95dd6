"""Whole commands on the device: the adaptive attack, and a suite with and without the bank of features."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from robustness.one_evaluation import evaluate
from robustness.run import Options

from .gpu_sizes import Row, Sizes
from .side_by_side import workspace

SUITE_METHODS = ("CoOp", "KgCoOp", "DPSEP")


def attack(sizes: Sizes) -> Iterator[Row]:
    """R-TPT under the attack that knows all of it, on Digits in pictures of the tower's size."""
    with workspace() as root:
        config = "embedded" if sizes.small else "vit_b16"
        settings = {
            "MODEL.BACKBONE.NAME": sizes.backbone, "INPUT.SIZE": (sizes.size, sizes.size), "DATASET.NUM_SHOTS": 1,
            "TRAINER.TTA.N_VIEWS": sizes.views, "ATTACK.MODE": "A", "ATTACK.NAME": "pgd", "ATTACK.EPS": 4,
            "ATTACK.STEPS": sizes.attack_steps, "ATTACK.SUBSET": sizes.attacked, "USE_CUDA": sizes.device == "cuda",
        }  # fmt: skip
        named = ["--root", f"{root}/data", "--seed", "1", "--trainer", "RTPT", "--output-dir", f"{root}/out"]
        named += ["--dataset-config-file", "configs/datasets/digits.yaml"]
        named += ["--config-file", f"configs/trainers/RTPT/{config}.yaml"]
        code = evaluate([*named, *(str(x) for pair in settings.items() for x in pair)], Options())
        if code:
            raise RuntimeError(f"the evaluation ended with exit code {code}")
        found = json.loads(Path(root, "out", "results.json").read_text())
        yield {
            "method": "RTPT", "images": sizes.attacked, "views": sizes.views, "steps": sizes.attack_steps,
            "attack, s an image": found["attack_seconds"] / sizes.attacked,
            "defence, images/s": found["images_per_second"], "defence, GFLOP an image": found["gflop_per_image"],
        }  # fmt: skip


def suite(sizes: Sizes) -> Iterator[Row]:
    """Runs a minute of the same suite, by the command line, each time in a folder and with a cache of its own."""
    none = ["TRAIN.FEATURE_BANK", "False", "TEST.FEATURE_BANK", "False"]
    ways: dict[str, tuple[list[str], list[str]]] = {"without the bank": (none, []), "bank": ([], [])}
    if sizes.seeds > 1 and "--stack" in told("run", "--help"):
        ways[f"bank, --stack {sizes.seeds}"] = [], ["--stack", str(sizes.seeds)]
    with workspace() as root:
        file = Path(root, "suite.yaml")
        block = {"protocol": "few_shot", "methods": list(SUITE_METHODS[: 1 if sizes.small else None])}
        block |= {"datasets": ["digits"], "seeds": list(range(1, sizes.seeds + 1)), "shots": [sizes.shots]}
        file.write_text(yaml.safe_dump({"name": "gpu", "blocks": [block]}))
        epochs = ["OPTIM.MAX_EPOCH", "2"] if sizes.small else ["OPTIM.MAX_EPOCH", "10"]
        command = "run", str(file), *epochs  # config pairs stand behind the file, options after them
        told("prepare", "digits", "--root", f"{root}/data", module="datasets")  # is made once, for all ways
        for number, (way, (pairs, options)) in enumerate(ways.items()):
            os.environ["ROBUSTPROMPT_CACHE"] = f"{root}/cache{number}"
            output = Path(root, f"out{number}")
            started = time.perf_counter()
            told(*command, *pairs, "--root", f"{root}/data", "--output", str(output), "--jobs", "1", *options)
            took = time.perf_counter() - started
            found = [json.loads(done.read_text()) for done in output.rglob("results.json")]
            encoded = sum(each["image_tower"]["images_encoded"] for each in found)
            yield {"way": way, "runs": len(found), "s": took, "runs a minute": 60 * len(found) / took,
                   "images through the tower": encoded}  # fmt: skip


def told(*words: str, module: str = "bench", **environment: str) -> str:
    """What `python -m bench` prints. Raises RuntimeError if it ends with another exit code than 0."""
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{module} {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout
