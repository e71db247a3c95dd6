"""What happens to a file of each kind. A mutator: (rng, content) -> (other content, what was done)."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import odd
import torch
import yaml
from PIL import Image
from world import replace

Mutator = Callable[[Random, bytes], tuple[bytes, str]]


def as_json(rng: Random, content: bytes) -> tuple[bytes, str]:
    new, told = odd.tree(rng, json.loads(content))
    return json.dumps(new, default=str).encode(), told


def as_yaml(rng: Random, content: bytes) -> tuple[bytes, str]:
    head = b"".join(line for line in content.splitlines(keepends=True) if line.startswith(b"#"))  # config.yaml's
    new, told = odd.tree(rng, yaml.safe_load(content))
    return head + yaml.safe_dump(new, sort_keys=False, allow_unicode=True).encode(), told


def as_text(rng: Random, content: bytes) -> tuple[bytes, str]:
    lines, told = odd.text(rng, content.decode().splitlines())
    return "\n".join(lines).encode("utf-8", "surrogateescape") + b"\n", told


def as_checkpoint(rng: Random, content: bytes) -> tuple[bytes, str]:
    """An entry of the file is another; a tensor has other numbers, another type or shape."""
    state = torch.load(io.BytesIO(content), weights_only=True)
    paths = [path for path in odd.places(_lists(state)) if path]
    path = rng.choice(paths)
    parent = state
    for key in path[:-1]:
        parent = parent[key]
    old = parent[path[-1]]
    if isinstance(old, torch.Tensor):
        changes: dict[str, Callable] = {
            "not numbers": lambda x: x * float("nan"),
            "infinite": lambda x: x + float("inf"),
            "whole": lambda x: x.long(),
            "half": lambda x: x.half(),
            "twice": lambda x: torch.cat([x, x]) if x.dim() else x,
            "flat": lambda x: x.flatten(),
            "empty": lambda x: x[:0] if x.dim() else x,
            "a list": lambda x: x.tolist(),
            "scalar": lambda x: x.sum(),
        }
        told = rng.choice(sorted(changes))
        parent[path[-1]] = changes[told](old)
    else:
        parent[path[-1]] = odd.value(rng, old)
        told = f"{parent[path[-1]]!r:.60}"
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue(), f"{'.'.join(map(str, path))} becomes {told}"


def _lists(tree: object) -> object:
    return {key: _lists(child) for key, child in tree.items()} if isinstance(tree, dict) else tree


def as_image(rng: Random, content: bytes) -> tuple[bytes, str]:
    """Another mode, size or format of the picture, or one that is none."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    grey = np.asarray(image.convert("L"))
    kinds: dict[str, Callable[[], tuple[Image.Image, str]]] = {
        "16 bit": lambda: (Image.fromarray(grey.astype(np.uint16) * 257), "PNG"),
        "float": lambda: (Image.fromarray(grey.astype(np.float32) / 255), "TIFF"),
        "1": lambda: (image.convert("1"), "PNG"),
        "P": lambda: (image.convert("P"), "PNG"),
        "LA": lambda: (image.convert("LA"), "PNG"),
        "transparent": lambda: (image.convert("RGBA"), "PNG"),
        "CMYK": lambda: (image.convert("CMYK"), "JPEG"),
        "one pixel": lambda: (image.resize((1, 1)), "PNG"),
        "a line": lambda: (image.resize((400, 1)), "PNG"),
    }  # fmt: skip
    told = rng.choice(sorted(kinds))
    new, form = kinds[told]()
    file = io.BytesIO()
    new.save(file, form)
    return file.getvalue(), told


OF_ENDING: dict[str, Mutator] = {
    ".json": as_json,
    ".yaml": as_yaml,
    ".txt": as_text,
    ".png": as_image,
    ".tar-1": as_checkpoint,
    "checkpoint": as_text,
}


def mutate(rng: Random, file: Path) -> str:
    """Changes one file in place; says what was done."""
    content = file.read_bytes()
    own = next((mutator for ending, mutator in OF_ENDING.items() if file.name.endswith(ending)), odd.data)
    draw = rng.random()
    if draw < 0.04:
        file.unlink()
        return f"{file}: removed"
    if draw < 0.06:
        file.unlink()
        file.mkdir()
        return f"{file}: a folder in its place"
    try:
        new, told = (own if draw < 0.75 else odd.data)(rng, content)
    except Exception:  # a file that was changed before, and is of its kind no more
        new, told = odd.data(rng, content)
    replace(file, new)
    return f"{file}: {told}"
