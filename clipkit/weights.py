"""Weight files: reading the three formats, and downloading OpenAI's."""

import http.client
import os
import warnings
import zipfile
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from . import openai_clip
from .errors import InputError
from .files import locked

# OpenAI's archives carry these numbers beside the weights.
EXTRA_KEYS = ("input_resolution", "context_length", "vocab_size")


def read_weights(file: Path) -> dict[str, Tensor]:
    """The state dict in `file`, on the CPU: TorchScript archive, torch.save of a state dict, or .safetensors.

    Raises InputError naming the file if it is missing, truncated or holds something else.
    """
    if not file.is_file():
        raise InputError(f"No CLIP weights at {file} (MODEL.BACKBONE.PATH): give the path of an existing file")
    try:
        weights = _read(file)
    except Exception as error:  # whatever the three readers raise, the file is at fault
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{file} cannot be read as CLIP weights, it is damaged, cut short or of another format "
            f"(TorchScript archive, torch.save of a state dict, .safetensors): {reason}"
        ) from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise InputError(f"{file} holds no state dict (names to tensors): save model.state_dict() alone")
    return {key: value.detach() for key, value in weights.items() if key not in EXTRA_KEYS}


def _read(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        return safetensors.torch.load_file(file)
    if _is_torchscript(file):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return dict(torch.jit.load(str(file), map_location="cpu").state_dict())
    return torch.load(file, map_location="cpu", weights_only=True)


def _is_torchscript(file: Path) -> bool:
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def download(name: str, root: str | None = None) -> Path:
    """OpenAI's archive of `name`, downloaded (with progress and checksum) unless it is in `root` already."""
    folder = Path(root or "~/.cache/clip").expanduser()
    url = openai_clip.URLS[name]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / f".{os.path.basename(url)}.lock"):
            return Path(openai_clip.download(url, str(folder)))
    except (OSError, http.client.HTTPException, RuntimeError) as error:  # URLError is an OSError
        raise InputError(
            f"The weights of {name} could not be downloaded ({error}): give the path of a copy as "
            f"MODEL.BACKBONE.PATH, or download {url} to {folder}"
        ) from error
