"""Reading prompt-learning checkpoints of any origin, and telling apart what their keys are."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .errors import InputError

# What the published methods learn, under the names that their reference implementations save.
LEARNABLE = re.compile(
    r"""(prompt_learner\.)?ctx                                     # CoOp and all that start from its context
    | meta_net\.linear[12]\.(weight|bias)                          # CoCoOp, TCP
    | prompt_learner\.proj\.(weight|bias)                          # MaPLe, CoPrompt
    | prompt_learner\.compound_prompts_text\.\d+
    | prompt_learner\.compound_prompt_projections\.\d+\.(weight|bias)
    | image_encoder\.VPT                                           # VPT, IVLP, PromptSRC
    | (image|text)_encoder\.transformer\.resblocks\.\d+\.VPT_shallow
    | adapter_(image|text)\.fc\.[02]\.weight                       # CoPrompt
    | representation_learner\.compound_rep_tokens(_r2[vt]proj\.\d+\.(weight|bias))?  # MMRL
    | image_encoder\.proj_rep""",
    re.VERBOSE,
)
# ANPrompt, whose authors published no checkpoint: the names are ours.
OURS = re.compile(r"noise_ctx|nrvpp_proj|(visual|text)_fc\.\d+\.(weight|bias)")
CLASS_BUFFER = re.compile(r"(.*\.)?(token_(prefix|suffix|midfix)|prompt_embeddings)")
LEARNABLE_KIND, CLASS_KIND, FROZEN_KIND = "learnable", "class names", "frozen"


class _Inert:
    """Stands in for every object of a class that is not let in: takes what the file says of it, and does nothing."""

    def __new__(cls, *args: object, **kwargs: object) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _plain_dict(*args: object) -> dict:
    return {}


def read_checkpoint(path: str | Path) -> dict:
    """The checkpoint in `path` on the CPU: a dict with "state_dict" (names to tensors), "epoch" and what else there is.

    Nothing in the file is executed: reference checkpoints also hold scheduler objects, which come back as inert
    placeholders. A leading "module." of the keys is stripped; a bare state dict is taken for one without record.
    Raises InputError naming the file if it is missing, damaged, or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no checkpoint at {path}: give a file such as .../model.pth.tar-50")
    try:
        found = load_inert(path)
    except Exception as error:  # whatever the reader raises, the file is at fault
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if isinstance(error, pickle.UnpicklingError):  # torch's text is long, and advises to run what is in the file
            reason = "it holds objects that are not read"
        raise InputError(f"{path} cannot be read as a checkpoint, it is damaged or something else: {reason}") from error
    if isinstance(found, Mapping) and "state_dict" not in found and found:
        found = {"state_dict": found}
    state = found.get("state_dict") if isinstance(found, Mapping) else None
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"{path} is no checkpoint: it holds no state_dict of tensors")
    return {**found, "state_dict": {key.removeprefix("module."): value for key, value in state.items()}}


def load_inert(path: Path) -> object:
    """What `torch.save` put there, on the CPU, with inert placeholders for objects of foreign classes."""
    with torch.serialization.safe_globals(_numbers()):
        foreign = _foreign_names(path)
        with torch.serialization.safe_globals(foreign):
            return torch.load(path, map_location="cpu", weights_only=True)


def _numbers() -> list:
    """A validation result may be a numpy number."""
    scalar = np._core.multiarray.scalar
    kinds = [type(np.dtype(kind)) for kind in ("float64", "float32", "int64")]
    return [np.dtype, *kinds, (scalar, "numpy._core.multiarray.scalar"), (scalar, "numpy.core.multiarray.scalar")]


def _foreign_names(path: Path) -> list[tuple]:
    """An inert stand-in for each class that the file names and torch does not let in; none for the oldest format."""
    if not zipfile.is_zipfile(path):
        return []
    names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    return [(_plain_dict if name == "collections.defaultdict" else _Inert, name) for name in names]


def kinds(keys: Mapping[str, object]) -> dict[str, str]:
    """What each key of a state dict is: "learnable", "class names" (a buffer that belongs to them), or "frozen"."""
    found = {}
    for key in keys:
        if CLASS_BUFFER.fullmatch(key):
            found[key] = CLASS_KIND
        else:
            learnable = LEARNABLE.fullmatch(key) or OURS.fullmatch(key)
            found[key] = LEARNABLE_KIND if learnable else FROZEN_KIND
    if "meta_net.linear2.weight" not in keys:  # KgCoOp's files carry half a meta-net that it neither trains nor uses
        found |= {key: FROZEN_KIND for key in keys if key.startswith("meta_net.")}
    return found


def record(checkpoint: Mapping) -> dict:
    """The plain facts of a checkpoint beside its tensors: epoch, val_result, and the entries that our runs add."""
    plain = {}
    for key, value in checkpoint.items():
        if key in ("state_dict", "optimizer", "scheduler", "extra", "best_result", "rolling_file"):
            continue
        value = value.item() if isinstance(value, np.generic) else value
        if _is_plain(value):
            plain[key] = value
    return plain


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(_is_plain(k) and _is_plain(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (str, int, float, bool))
