"""Reads prompt-learning checkpoints of any origin, and classifies their keys: learnable, class names or frozen."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .errors import InputError
from .torch_file import read_torch_file, state_dict_in

# What the published methods learn, under the names that their reference implementations save.
LEARNABLE = re.compile(
    r"""(prompt_learner\.)?ctx                                     # CoOp and all that start from its context
    | meta_net\.linear[12]\.(weight|bias)                          # CoCoOp, TCP
    | prompt_learner\.proj\.(weight|bias)                          # MaPLe, CoPrompt
    | prompt_learner\.compound_prompts_(text|image)\.\d+
    | prompt_learner\.compound_prompt_projections\.\d+\.(weight|bias)
    | image_encoder\.VPT                                           # VPT, IVLP, PromptSRC
    | (image|text)_encoder\.transformer\.resblocks\.\d+\.VPT_shallow
    | adapter_(image|text)\.fc\.[02]\.weight                       # CoPrompt
    | representation_learner\.compound_rep_tokens(_r2[vt]proj\.\d+\.(weight|bias))?  # MMRL
    | image_encoder\.proj_rep
    | film_lp_(img|text)\.(scale|bias) | linear_probe_proj\.(weight|bias)  # DePT
    | (prompt_learner\.)?ctx_att[123]                             # ATPrompt
    | (prompt_learner\.)?topk | VPT_topk_[tv]\.(weight|bias)       # TAC
    | representation_learner\.srra_r2[vt]proj\.(weight|srra\.\d+\.(A|B|bias))  # MMRL++
    | image_encoder\.[AB]
    | (text|visual)_adapter\.\d+\.(down\.0|up)\.(weight|bias)     # MMA
    | shared_adapter\.\d+\.0\.(weight|bias)
    | mid_image_trans\.conv1\.[03]\.(weight|bias)                 # TextRefiner; from here on its second file
    | mid_image_trans\.conv1\.1\.(weight|bias|running_mean|running_var|num_batches_tracked)
    | extractor\.weight
    | memory_item""",
    re.VERBOSE,
)
# Methods whose authors published no checkpoint in this form: the names are this project's.
OURS = re.compile(
    r"""noise_ctx|nrvpp_proj|(visual|text)_fc\.\d+\.(weight|bias)  # ANPrompt
    | layer_\d+\.[qkv]_proj\.w_lora_[AB]                          # CLIP-LoRA
    | adapter\.weight|values|alpha|beta                            # Tip-Adapter
    | prompt_learner\.(pos|neg)_ctx|tuner\.vpt_list\.\d+\.prompt     # DeFT
    | fc\.(weight|bias)|alpha_vec                                  # LP++
    | head                                                         # 2SFS
    | (visual\.)?transformer\.resblocks\.\d+\.ln_[12]\.(weight|bias)""",
    re.VERBOSE,
)
BESIDE = ("memory_item",)  # what published files hold beside the state dict
CLASS_BUFFER = re.compile(r"(.*\.)?(token_(prefix|suffix|midfix)|prompt_embeddings)")
NO_FACTS = ("state_dict", "optimizer", "scheduler", "extra", "best_result", "rolling_file")
LEARNABLE_KIND, CLASS_KIND, FROZEN_KIND = "learnable", "class names", "frozen"


def read_checkpoint(path: str | Path) -> dict:
    """The checkpoint in `path` on the CPU: a dict with "state_dict" (names to tensors) and the file's other entries.

    Nothing in the file is executed: reference checkpoints also hold scheduler objects and arguments, which come back
    as inert records. A leading "module." of the keys is stripped. A file may also be a bare state dict.
    Raises InputError naming the file if it is missing, damaged, or something else.
    """
    path = Path(path)
    if not os.path.exists(path):
        raise InputError(f"There is no checkpoint at {path}: give a file such as .../model.pth.tar-50")
    found = read_torch_file(path)
    state = state_dict_in(found, path)
    if not state:
        raise InputError(f"{path} holds no state dict (tensors by name): its state_dict is empty")
    beside = found if isinstance(found, Mapping) and "state_dict" in found else {}
    return {**beside, "state_dict": state}


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
    if "head" not in keys:  # only 2SFS learns these keys; in other files they are CLIP's frozen weights
        found |= {key: FROZEN_KIND for key in keys if key.startswith(("transformer.", "visual."))}
    return found


def record(checkpoint: Mapping) -> dict:
    """The plain facts of a checkpoint beside its tensors: epoch, val_result, and the entries that this project adds."""
    plain = {}
    for key, value in checkpoint.items():
        if not isinstance(key, str) or key in NO_FACTS:
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
