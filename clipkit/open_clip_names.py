"""Backbones by open_clip's names: `open_clip:MODEL:TAG`, `hf-hub:ORG/NAME`, and `local-dir:FOLDER` without internet.

Each leads to a file of weights and its configuration. open_clip, timm and transformers are imported only where a name
needs them; a folder of OpenAI's layout (LAION, DataComp, DFN, MetaCLIP) needs none.
"""

from __future__ import annotations

import difflib
import fnmatch
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .errors import InputError
from .open_clip_config import CONFIG, read_config
from .tokenizer import EXTRA

OPEN_CLIP, HUB, FOLDER = "open_clip:", "hf-hub:", "local-dir:"
PREFIXES = (OPEN_CLIP, HUB, FOLDER)
# File names of weights; the first that exists in a folder is taken. The order is open_clip's.
WEIGHTS = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth", "model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth",
)  # fmt: skip
PREPROCESS = ("mean", "std", "interpolation", "resize_mode")
TOKENIZERS = ("*.json", "*.txt", "*.model")  # files of a hub's repository beside the weights


class Described(NamedTuple):
    """A model on disk. file: its weights. settings, preprocess: its model_cfg and preprocess_cfg. where: the source of
    these, for messages."""

    file: Path
    settings: dict[str, Any]
    preprocess: dict[str, Any]
    where: str


def find(name: str) -> Described:
    """The weights and the configuration of a name with one of `PREFIXES`; downloads what is not there yet.

    Raises InputError for an unknown name or tag (it lists the nearest), a folder without weights or configuration, a
    missing package, and a failed download.
    """
    if name.startswith(FOLDER):
        return _in_folder(Path(name.removeprefix(FOLDER)).expanduser(), name)
    if name.startswith(HUB):
        return _in_folder(_from_hub(name.removeprefix(HUB)), name)
    model, tag = split_name(name)
    settings, preprocess = described(model, tag)
    return Described(_downloaded(model, tag), settings, preprocess, name)


def configuration(name: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """(model_cfg, preprocess_cfg, where) of a name with one of `PREFIXES`, without its weights. Errors as in `find`."""
    if name.startswith(OPEN_CLIP):
        return *described(*split_name(name)), name
    if name.startswith(HUB):
        file = _hub_file(name.removeprefix(HUB), CONFIG)
    else:
        file = _config_in(Path(name.removeprefix(FOLDER)).expanduser(), name)
    return *read_config(file), str(file)


def split_name(name: str) -> tuple[str, str]:
    """(model, tag) of "open_clip:MODEL:TAG". Raises InputError, which lists the nearest names, for an unknown one."""
    model, _, tag = name.removeprefix(OPEN_CLIP).partition(":")
    known = names()
    tag = tag.lower().replace("-", "_")
    if f"{OPEN_CLIP}{model}:{tag}" in known:
        return model, tag
    near = difflib.get_close_matches(f"{OPEN_CLIP}{model}:{tag}", known, n=4, cutoff=0.0)
    raise InputError(
        f"open_clip has no {name!r} (MODEL.BACKBONE.NAME open_clip:MODEL:TAG); the nearest are {', '.join(near)}; "
        "`python -m clipkit list` shows all"
    )


def names() -> list[str]:
    """All `open_clip:MODEL:TAG` of the installed open_clip. Raises InputError without it."""
    return [f"{OPEN_CLIP}{model}:{tag}" for model, tag in _open_clip().list_pretrained()]


def listed(pattern: str = "") -> Iterator[tuple[str, str, str]]:
    """(name, family or "not read", setting that is not supported) of all names that contain the pattern; `*` and `?`
    match any text."""
    from .open_clip_config import spec_from_config

    for name in names():
        if not fnmatch.fnmatch(name.lower(), f"*{pattern.lower()}*"):
            continue
        try:
            spec = spec_from_config(*described(*split_name(name)), name)
            yield name, spec.family, ""
        except InputError as error:
            yield name, "not read", str(error).partition("it has ")[2].partition(", which")[0]


def described(model: str, tag: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(model_cfg, preprocess_cfg) of a downloadable model; the tag, not the name, decides its activation."""
    package = _open_clip()
    settings, known = package.get_model_config(model), package.get_pretrained_cfg(model, tag)
    if known.get("quick_gelu"):
        settings["quick_gelu"] = True
    return settings, {key: known[key] for key in PREPROCESS if known.get(key) is not None}


def write_folder(name: str, folder: Path) -> list[Path]:
    """Puts weights, configuration and tokenizer of a name into `folder`, for `local-dir:` without internet; returns the
    files. Raises InputError as `find` does, and where the folder cannot be written."""
    import shutil

    from .files import atomic_path
    from .open_clip_config import spec_from_config
    from .tokenizer import make_tokenizer

    found = find(name)
    spec = spec_from_config(found.settings, found.preprocess, found.where)
    wanted = next((w for w in WEIGHTS if w.endswith(found.file.suffix)), WEIGHTS[2])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / wanted) as temporary:
            shutil.copyfile(found.file, temporary)
        with atomic_path(folder / CONFIG) as temporary:
            text = {"model_cfg": found.settings, "preprocess_cfg": found.preprocess}
            temporary.write_text(json.dumps(text, indent=2))
        make_tokenizer(spec.text, found.file.parent).save(folder)
        if spec.text.hf:
            from .hf_text import FILES, text_config

            text_config(spec.text.hf, found.file.parent).to_json_file(str(folder / FILES[0]), use_diff=False)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}") from error
    return sorted(folder.iterdir())


def _in_folder(folder: Path, name: str) -> Described:
    config = _config_in(folder, name)
    file = next((folder / f for f in WEIGHTS if os.path.isfile(folder / f)), None)
    if file is None:
        raise InputError(
            f"{folder} ({name}) holds no weights: {', '.join(WEIGHTS[:3])} or another of open_clip's names"
        )
    return Described(file, *read_config(config), str(config))


def _config_in(folder: Path, name: str) -> Path:
    if not os.path.isdir(folder):
        raise InputError(f"There is no folder {folder} (MODEL.BACKBONE.NAME {name}): give an existing one")
    if not os.path.isfile(folder / CONFIG):
        raise InputError(
            f"{folder} (MODEL.BACKBONE.NAME {name}) holds no {CONFIG}, which says what its weights compute; "
            "`python -m clipkit fetch NAME --to FOLDER` writes such a folder where there is internet"
        )
    return folder / CONFIG


def _open_clip() -> Any:
    try:
        import open_clip
    except ImportError as error:
        raise InputError(f"Names of open_clip need its package: {EXTRA}") from error
    return open_clip


def _downloaded(model: str, tag: str) -> Path:
    package = _open_clip()
    try:
        found = package.download_pretrained(package.get_pretrained_cfg(model, tag))
    except Exception as error:  # urllib, requests and the hub each raise their own kinds
        raise _no_download(f"{OPEN_CLIP}{model}:{tag}", error) from error
    return Path(found)


def _from_hub(repository: str) -> Path:
    """The folder of a snapshot with configuration, open_clip's weights and the tokenizer's files."""
    config = _hub_file(repository, CONFIG)
    for file in WEIGHTS[:3]:
        try:
            _hub_file(repository, file)
            break
        except InputError:
            if file == WEIGHTS[2]:
                raise
    try:
        from huggingface_hub import snapshot_download

        snapshot_download(repository, allow_patterns=list(TOKENIZERS))
    except Exception as error:
        raise _no_download(f"{HUB}{repository}", error) from error
    return config.parent


def _hub_file(repository: str, file: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise InputError(f"hf-hub: names need huggingface_hub: {EXTRA}") from error
    try:
        return Path(hf_hub_download(repository, file))
    except Exception as error:
        raise _no_download(f"{HUB}{repository} ({file})", error) from error


def _no_download(what: str, error: Exception) -> InputError:
    reason = str(error).strip().partition("\n")[0][:200]
    return InputError(
        f"{what} could not be downloaded ({type(error).__name__}: {reason}): check the name and the connection, or "
        "write a folder where there is internet (`python -m clipkit fetch NAME --to FOLDER`) and give local-dir:FOLDER"
    )
