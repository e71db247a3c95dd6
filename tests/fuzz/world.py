"""What every case starts from: a folder with images, a dataset, configs, trained runs, a suite and language files.

It is made once; a case works on a copy, with the copy as its working folder, so that whatever it writes stays there.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from pathlib import Path

import yaml
from helpers import NAMES, arguments, make_clip, make_tiny

ROOT = Path(__file__).resolve().parents[2]
RUN = "output/base2new/train_base/digits/shots_1/CoOp/fuzz/seed1"
TEST = "output/base2new/test_new/digits/shots_1/CoOp/fuzz/seed1"
# One epoch on one image a class.
SHORT = {"DATASET.NUM_SHOTS": 1, "OPTIM.MAX_EPOCH": 1, "DATALOADER.TRAIN_X.BATCH_SIZE": 3}


def train_arguments(output: str, method: str = "CoOp", flags: tuple = (), pairs: dict | None = None) -> list[str]:
    """train.py's, with paths from the case's folder."""
    return arguments(Path("data"), Path("clip.safetensors"), Path(output), method, flags, SHORT | (pairs or {}))


def make_world(folder: Path) -> Path:
    """Writes the world into an empty folder, and returns it."""
    make_tiny(folder / "data")
    for i, picture in enumerate(sorted((folder / "data" / "tiny" / "images").glob("*_train_*.png"))):
        place = folder / "data" / "pics" / NAMES[i % 4].replace(" ", "_")
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, place)
    make_clip(folder / "clip.safetensors")
    (folder / "configs").symlink_to(ROOT / "configs")
    for name in ("checkout", "fresh"):
        (folder / name).mkdir()
    (folder / "checkout" / "train.py").write_text("def extend_cfg(cfg):\n    pass\n")
    (folder / "names.txt").write_text("".join(f"{name}\n" for name in NAMES))
    roles = ("main", "noise")
    texts = {name: {role: [f"{role} of {name} {i}." for i in range(5)] for role in roles} for name in NAMES}
    cache = {"version": 1, "dataset": "tiny", "sources": dict.fromkeys(roles, {}), "classes": texts}
    (folder / "cache.json").write_text(json.dumps(cache))
    (folder / "novel.json").write_text(json.dumps([f"thing {i}" for i in range(210)]))
    with working_in(folder), contextlib.redirect_stdout(io.StringIO()):
        _runs(folder)
    return folder


def _runs(folder: Path) -> None:
    """A trained run, its test on the new classes, and the same again with another seed; config files; a suite."""
    from train import run

    words = train_arguments(RUN)
    pairs = words[words.index("DATASET.NAME") :]
    settings = dict(zip(pairs[::2], pairs[1::2], strict=True))
    (folder / "method.yaml").write_text(_as_yaml(settings, "INPUT", "OPTIM", "TRAIN", "DATALOADER"))
    (folder / "dataset.yaml").write_text(_as_yaml(settings, "DATASET"))
    for seed in ("1", "2"):
        place = [x.replace("seed1", f"seed{seed}") for x in (RUN, TEST)]
        named = [seed if words[i - 1] == "--seed" else x for i, x in enumerate(train_arguments(place[0]))]
        assert run(named) == 0
        flags = ("--eval-only", "--model-dir", place[0], "--load-epoch", 1)
        test = train_arguments(place[1], "CoOp", flags, {"DATASET.SUBSAMPLE_CLASSES": "new"})
        assert run([seed if test[i - 1] == "--seed" else x for i, x in enumerate(test)]) == 0
    suite = {
        "output": "suite_output",
        "seeds": [1, 2],
        "overrides": {key: value for key, value in settings.items() if "SUBSAMPLE" not in key and "SHOTS" not in key}
        | {"MODEL.BACKBONE.NAME": ""},
        "blocks": [{"protocol": "base2new", "methods": ["ZeroshotCLIP", "CoOp"], "datasets": ["digits"], "shots": 1}],
    }
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite, sort_keys=False))


def _as_yaml(settings: dict[str, str], *nodes: str) -> str:
    tree: dict = {}
    for key, value in settings.items():
        *path, leaf = key.split(".")
        if path[0] in nodes:
            node = tree
            for part in path:
                node = node.setdefault(part, {})
            node[leaf] = yaml.safe_load(value)
    return yaml.safe_dump(tree, sort_keys=False)


def copy_world(world: Path, place: Path) -> Path:
    """Files are the world's own until a case changes one: links, which `replace` breaks."""
    shutil.copytree(world, place, symlinks=True, copy_function=_link)
    return place


def _link(source: str, target: str) -> None:
    # what a run may append to is copied
    (shutil.copy2 if "output" in Path(source).parts else os.link)(source, target)


def replace(file: Path, content: bytes) -> None:
    file.unlink(missing_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


@contextlib.contextmanager
def working_in(folder: Path):
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
