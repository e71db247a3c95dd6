"""Weight files of a whole CLIP: reading the three formats, and downloading OpenAI's."""

import http.client
import os
from pathlib import Path

from torch import Tensor

from . import openai_clip
from .compact_rows import expand
from .errors import InputError
from .files import locked
from .torch_file import read_torch_file, state_dict_in

EMBEDDED_FILE = Path(__file__).parent / "embedded" / "clip.safetensors"


def read_weights(file: Path) -> dict[str, Tensor]:
    """The state dict in `file`, on the CPU: TorchScript archive, torch.save of a state dict, or .safetensors.

    A leading "module." is taken off the names; entries of an archive beside the weights (its sizes) are kept. A token
    table of which only the trained rows are stored (`compact_rows.py`) comes back whole.
    Raises InputError naming the file if it is missing, damaged or holds something else.
    """
    if not os.path.isfile(file):
        raise InputError(f"No CLIP weights at {file} (MODEL.BACKBONE.PATH): give the path of an existing file")
    try:
        return expand(state_dict_in(read_torch_file(file, scripts=True), file), str(file))
    except InputError as error:
        raise InputError(f"MODEL.BACKBONE.PATH: {error}") from error


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
