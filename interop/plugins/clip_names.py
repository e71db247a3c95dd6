"""Lets plugins load the run's backbone through the package `clip`.

Trainers of the field load CLIP by `clip._MODELS[name]`, `clip._download(url)` and `clip.build_model(state_dict,
design_details)`. A checkout may have its own edited `clip/`; other plugins get a copy of OpenAI's package (scope.py),
in which `_download` has the usual default folder and `build_model` accepts design details. In every copy, a backbone
that is no plain download is found under its name: the embedded CLIP, MODEL.BACKBONE.PATH, another image tower.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch

from clipkit import available_backbones, fingerprint, load_backbone
from clipkit.files import atomic_path, locked
from clipkit.openai_clip import URLS
from clipkit.weights import download
from dassl.utils import InputError

from .scope import STOCK_CLIP

logger = logging.getLogger("plugins")
SERVED = "run's backbone"  # in `_MODELS`, in place of a URL
_backbone: Mapping | None = None  # MODEL.BACKBONE of the current run


@contextmanager
def serving(backbone: Mapping) -> Iterator[None]:
    """Within the block, `_MODELS` and `_download` give `backbone` (a config's MODEL.BACKBONE) under its name."""
    global _backbone
    before, _backbone = _backbone, backbone
    try:
        yield
    finally:
        _backbone = before


@contextmanager
def adopting(module: ModuleType) -> Iterator[None]:
    """Around the execution of a plugin's module: if it has `_MODELS` and `_download` of `clip`, they are replaced."""
    yield
    models, fetch = getattr(module, "_MODELS", None), getattr(module, "_download", None)
    if isinstance(models, dict) and not isinstance(models, Models) and callable(fetch):
        module._MODELS, module._download = Models(models), functools.partial(_download, fetch)
    if module.__name__ == f"{STOCK_CLIP}.model":
        module.build_model = functools.partial(_build_model, module.build_model)


class Models(dict):
    """`_MODELS`, {name: URL}, with the run's backbone added."""

    def __getitem__(self, name: str) -> str:
        if _is_served(name):
            return SERVED
        if name in self.keys():
            return super().__getitem__(name)
        known = ", ".join(dict.fromkeys([*available_backbones(), *self.keys()]))
        raise InputError(f"MODEL.BACKBONE.NAME is {name!r}, but must be one of {known}.")

    def __contains__(self, name: object) -> bool:
        return _is_served(name) or super().__contains__(name)

    def get(self, name: str, default: str | None = None) -> str | None:
        return self[name] if name in self else default  # noqa: SIM401  this is the method that it would call


def _is_served(name: object) -> bool:
    if _backbone is None or name != _backbone["NAME"]:
        return False
    return bool(_backbone.get("PATH") or _backbone.get("VISUAL_WEIGHTS") or name not in URLS)


def _download(original: Callable, url: str, root: str | None = None) -> str:
    """The path of the downloaded weights, or of the run's backbone. Raises InputError if it cannot be loaded."""
    if url == SERVED:
        return str(backbone_file(_backbone))
    name = next((name for name, known in URLS.items() if known == url), None)
    if name is None:
        return original(url, root or os.path.expanduser("~/.cache/clip"))
    return str(download(name, root))


def backbone_file(backbone: Mapping) -> Path:
    """The path of a file with the backbone's state dict, written to the cache under its hash.

    Raises InputError for a backbone that cannot be loaded, or if the file cannot be written.
    """
    model = load_backbone(backbone)
    folder = Path(os.environ.get("ROBUSTPROMPT_CACHE") or "~/.cache/robustprompt").expanduser() / "clip_files"
    file = folder / f"{fingerprint(model)[:32]}.pt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / f".{file.name}.lock"):
            if not file.is_file():
                with atomic_path(file) as temporary:
                    torch.save(model.state_dict(), temporary)
    except OSError as error:
        raise InputError(
            f"The plugin's CLIP cannot be kept in {folder} ({error.strerror}); set ROBUSTPROMPT_CACHE to a folder that "
            "can be written."
        ) from error
    return file


def _build_model(original: Callable, state_dict: dict, design_details: Mapping | None = None):
    """Build OpenAI's CLIP. Raises InputError for design details, which ask for prompts within its blocks."""
    asked = {key: value for key, value in (design_details or {}).items() if key != "trainer" and value}
    if asked:
        raise InputError(
            f"clip.build_model is asked for {asked}, which OpenAI's clip does not have; put the edited clip/ folder of "
            "the plugin's checkout beside its trainers/ folder."
        )
    return original(dict(state_dict))
