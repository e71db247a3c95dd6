"""What is in a checkpoint, as a text: its record, its tensors, and which of them are learned."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tabulate import tabulate
from torch import Tensor

from .checkpoint_file import FROZEN_KIND, kinds, read_checkpoint, record


def describe(path: str | Path, every_key: bool = False) -> str:
    """A table of the checkpoint in `path`. Frozen weights are grouped by their first name, unless `every_key`.

    Raises InputError when the file is no checkpoint.
    """
    checkpoint = read_checkpoint(path)
    state = checkpoint["state_dict"]
    of_kind = kinds(state)
    rows: list[list[str]] = []
    groups: dict[str, list[Tensor]] = {}
    for key, value in state.items():
        if of_kind[key] == FROZEN_KIND and not every_key:
            groups.setdefault(key.partition(".")[0], []).append(value)
        else:
            shape = " x ".join(map(str, value.shape)) or "scalar"
            rows.append([key, of_kind[key], shape, _types([value]), f"{value.numel():,}"])
    for name, tensors in groups.items():
        many = f"{len(tensors)} tensors" if len(tensors) > 1 else " x ".join(map(str, tensors[0].shape)) or "scalar"
        rows.append(
            [f"{name}.*" if len(tensors) > 1 else name, FROZEN_KIND, many, _types(tensors), f"{_numbers(tensors):,}"]
        )
    table = tabulate(rows, ["key", "kind", "shape", "type", "numbers"], colalign=("left",) * 4 + ("right",))
    return "\n".join([_head(path, state), *_facts(checkpoint), "", table])


def _head(path: str | Path, state: dict[str, Tensor]) -> str:
    size = Path(path).stat().st_size
    return f"{path}: {size:,} bytes, {len(state)} tensors, {_numbers(state.values()):,} numbers"


def _facts(checkpoint: dict) -> list[str]:
    """One line a fact; a long list (the class names) by its length and its ends."""
    lines = []
    for key, value in record(checkpoint).items():
        facts = value if isinstance(value, dict) else {key: value}
        for name, fact in facts.items():
            if isinstance(fact, (list, tuple)) and len(fact) > 6:
                fact = f"{len(fact)}: {', '.join(map(str, fact[:3]))}, ..., {fact[-1]}"
            lines.append(f"{name}: {fact}")
    return lines


def _numbers(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def _types(tensors: Iterable[Tensor]) -> str:
    return ", ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors}))
