"""Reads files of weights in any format, or raises an error that says what the file is instead.

`dassl/utils` and `clipkit` each have this file, letter for letter: neither package may import the other.
"""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import InputError
from .inert import PICKLE_MODULE, Inert

# (first bytes of a file, what it is, what to do): intact files that are no weights.
FOREIGN = (
    (
        b"version https://git-lfs",
        "a git-LFS pointer, not the file that it stands for",
        "fetch it by `git lfs pull`",
    ),
    (b"<!doctype html", "a web page (HTML), not a file of weights", "download the file that the page offers"),
    (b"<html", "a web page (HTML), not a file of weights", "download the file that the page offers"),
    (b"<?xml", "an XML text, such as a server's error, not a file of weights", "download the file again"),
    (b"\x1f\x8b", "a gzip archive", "unpack it and give the file in it"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it and give the file in it"),
    (b"Rar!", "a RAR archive", "unpack it and give the file in it"),
    (b"\x89HDF", "an HDF5 file", "give the weights as PyTorch saves them (torch.save)"),
    (b"\x93NUMPY", "a NumPy array", "give the weights as PyTorch saves them (torch.save)"),
    (b"\x89PNG", "a picture", "give a file of weights"),
    (b"\xff\xd8\xff", "a picture", "give a file of weights"),
    (b"%PDF", "a PDF", "give a file of weights"),
)


def read_torch_file(path: str | Path, device: str | None = "cpu", scripts: bool = False) -> object:
    """The content of a file of `torch.save`, safetensors or, with `scripts`, TorchScript, with any file extension.

    Nothing in the file is executed: `torch.load(weights_only=True)` comes first, and a file that it refuses is read
    with inert records for all that is neither tensor, number nor plain container (`inert.py`). Of a TorchScript
    archive the state dict is read. device: where tensors go; None: where they were.

    Raises InputError naming the file, where it is missing, damaged, or something else.
    """
    path = Path(path)
    if not os.path.isfile(path):
        what = "is a folder, not a file" if os.path.isdir(path) else "does not exist"
        raise InputError(f"{path} {what}: give the path of a file of weights")
    try:
        if is_safetensors(path):
            import safetensors.torch

            return safetensors.torch.load_file(path)
        if _is_torchscript(path):
            if scripts:
                return dict(_quietly(torch.jit.load, str(path), map_location="cpu").state_dict())
            raise InputError(f"{path} is a TorchScript archive, not a checkpoint: save the state_dict() of its model")
        try:
            return _quietly(torch.load, path, map_location=device, weights_only=True)
        except Exception:  # other objects beside the tensors, or damage: the second reader decides
            options = {"map_location": device, "weights_only": False, "pickle_module": PICKLE_MODULE}
            return _quietly(torch.load, path, **options)
    except InputError:
        raise
    except Exception as error:  # the readers raise many kinds; all mean that the file is unusable
        raise InputError(f"{path} {_what_it_is(path)}") from error


def _quietly(function: Callable[..., Any], *args: object, **options: object) -> Any:
    """Call `function` without warnings, such as those about old formats."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **options)


def state_dict_in(found: object, path: str | Path) -> dict[str, Tensor]:
    """The names and tensors in what a file holds: its `state_dict`, or all of it; without a leading "module.". Of a
    file with nested `weights` (CLIP-LoRA's) the names along the way are joined by dots.

    Raises InputError naming the file, and what it holds instead.
    """
    state, what = found, "it"
    if isinstance(found, Mapping) and "state_dict" in found:
        state, what = found["state_dict"], "its state_dict"
    elif isinstance(found, Mapping) and isinstance(found.get("weights"), Mapping):
        state, what = flat(found["weights"]), "its weights"
    if isinstance(state, Inert):
        raise InputError(
            f"{path} holds a pickled object ({state.origin}), whose code would have to be run to read it: "
            "save the state_dict() of its model there instead"
        )
    refusal = f"{path} holds no state dict (tensors by name): "
    if not isinstance(state, Mapping):
        raise InputError(f"{refusal}{what} is {_kind(state)}")
    tensors = {}
    for key, value in state.items():
        if isinstance(key, str) and key.endswith("_extra_state"):  # what modules save beside their tensors
            continue
        if not isinstance(key, str) or not isinstance(value, Tensor):
            if what == "it" and not any(isinstance(other, Tensor) for other in state.values()):
                raise InputError(f"{refusal}it has the entries {', '.join(map(str, list(state)[:6]))}")
            wrong = f"the key {key!r}" if not isinstance(key, str) else f"{_kind(value)} under {key!r}"
            raise InputError(f"{refusal}{what} has {wrong}")
        while key.startswith("module."):  # left there by DataParallel
            key = key.removeprefix("module.")
        tensors[key] = value
    if not tensors and what == "it":
        raise InputError(f"{refusal}it is empty")
    return tensors


def flat(tree: Mapping, start: str = "") -> dict[str, object]:
    """{names along the way, joined by dots: leaf} of nested mappings."""
    found: dict[str, object] = {}
    for key, value in tree.items():
        found |= flat(value, f"{start}{key}.") if isinstance(value, Mapping) else {f"{start}{key}": value}
    return found


def unusable(key: str, value: Tensor, like: Tensor) -> str | None:
    """Why `value` cannot take the place of the tensor `like` of that name; None where it can."""
    if value.shape != like.shape:
        return f"{key} has shape {tuple(value.shape)} instead of {tuple(like.shape)}"
    if value.layout != torch.strided or value.is_quantized or value.is_meta:
        return f"{key} is stored in a form without plain values (sparse, quantised or meta)"
    if not like.is_floating_point():
        whole = not value.is_floating_point() or bool((value.float().frac() == 0).all())  # NaN of infinity is not 0
        return None if whole else f"{key} holds values that are not whole numbers"
    if not value.is_floating_point():
        return f"{key} holds {str(value.dtype).removeprefix('torch.')}, not floating-point numbers"
    if not value.to(torch.float32).isfinite().all():
        return f"{key} holds values that are not finite (NaN or infinite), as a diverged run leaves them"
    return None


def entry(found: Mapping, key: str) -> dict:
    """The dict under `key`; an empty one where there is none, or something else."""
    value = found.get(key)
    return dict(value) if isinstance(value, Mapping) else {}


def _kind(value: object) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def is_safetensors(path: Path) -> bool:
    """Whether the file begins as safetensors do: with the length of a JSON text, and that text."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= path.stat().st_size - 8:
            return False
        head = file.read(min(length, 100_000_000))
    if not head.startswith(b"{"):
        return False
    try:
        return isinstance(json.loads(head), dict)
    except ValueError:
        return False


def _is_torchscript(path: Path) -> bool:
    return any(name.endswith("/constants.pkl") for name in _names_in_zip(path))


def _names_in_zip(path: Path) -> list[str]:
    """The file names in a zip archive; empty if the file is none, or damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):  # a name may be no text: a ValueError
        return []


def _what_it_is(path: Path) -> str:
    """The end of the sentence on a file that cannot be read."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(512)
    begin = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for mark, what, advice in FOREIGN:
        if begin[: len(mark)].lower() == mark.lower():
            return f"is {what}: {advice}"
    if size and _is_text(head):
        return f"is a text file (it begins with {head[:30].decode('utf-8', 'replace')!r}): give a file of weights"
    if head[257:262] == b"ustar":
        return "is a tar archive: unpack it and give the file in it"
    names = _names_in_zip(path)
    if names and not any(name.endswith("data.pkl") for name in names):
        return f"is a zip archive of other files ({', '.join(map(repr, names[:3]))}): unpack it and give the file in it"
    return (
        f"is damaged, cut short or no file of weights (it has {size:,} bytes; an interrupted copy?): "
        "delete it or put an intact copy there"
    )


def _is_text(head: bytes) -> bool:
    try:
        text = head[:-4].decode("utf-8") if len(head) == 512 else head.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(c.isprintable() or c in "\t\r\n" for c in text)
