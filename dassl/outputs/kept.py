"""The model's outputs for each test image: collected during the test, written as one .npz file (docs/outputs.md).

The file needs numpy alone to be read or written by hand, and no pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dassl.utils.files import atomic_path, mkdir_if_missing

FORMS = ("none", "top5", "logits")  # the values of TEST.OUTPUTS
FORMAT = 1


class KeptOutputs:
    """The outputs of one test, batch by batch, for each of a method's answers. form: "top5" or "logits"."""

    def __init__(self, form: str = "top5") -> None:
        self.form = form
        self._labels: list[Tensor] = []
        self._parts: dict[str, list[dict[str, Tensor]]] = {}

    def add(self, logits: Tensor, label: Tensor) -> None:
        """Adds a batch of the method's answer: `logits` [B, C] and labels [B]. Copies are kept on the CPU."""
        self._labels.append(label.detach().cpu())
        self._parts.setdefault("", []).append(image_outputs(logits.detach(), label, self.form))

    def add_other(self, name: str, logits: Tensor, label: Tensor) -> None:
        """Adds the logits of another answer of the method, `name`, for the same batch."""
        self._parts.setdefault(name, []).append(image_outputs(logits.detach(), label, self.form))

    def arrays(self) -> dict[str, np.ndarray]:
        """{name in the file: array}: label [N], and the columns of `image_outputs`; those of other answers as
        `<answer>.<column>`."""
        if not self._labels:
            return {}
        found = {"label": torch.cat(self._labels).numpy().astype(np.int32)}
        for name, parts in self._parts.items():
            for column in parts[0]:
                found[f"{name}.{column}" if name else column] = torch.cat([part[column] for part in parts]).numpy()
        return found


def image_outputs(logits: Tensor, label: Tensor, form: str = "top5") -> dict[str, Tensor]:
    """Columns on the CPU for B images, from `logits` [B, C] and labels [B]; fp32 unless said otherwise.

    prediction (int32) and confidence, its probability; nll = log sum exp(z) - z_label; brier = sum of (p_c - [c is the
    label])^2; logsumexp and max_logit, the scores of out-of-distribution detection. Form "top5": the five most likely
    classes top5 (int32) [B, 5] and their logits [B, 5]. Form "logits": relative_logits (fp16) [B, C], the logits less
    the largest of the image, so that fp16 is finest where the probability is.
    """
    z = logits.float()
    best, prediction = logits.max(1)  # the evaluator's function, so that ties are resolved alike
    logsumexp = z.logsumexp(1)
    p = z.softmax(1)
    label = label.to(z.device)
    known = (label >= 0) & (label < z.shape[1])
    column = label.clamp(0, z.shape[1] - 1).long()[:, None]
    z_label, p_label = z.gather(1, column)[:, 0], p.gather(1, column)[:, 0]
    unknown = torch.full_like(z_label, torch.nan)
    found = {
        "prediction": prediction.int(),
        "confidence": p.gather(1, prediction[:, None])[:, 0],
        "nll": torch.where(known, logsumexp - z_label, unknown),
        "brier": torch.where(known, p.square().sum(1) - 2 * p_label + 1, unknown),
        "max_logit": best.float(),
        "logsumexp": logsumexp,
    }
    if form == "logits":
        found["relative_logits"] = (z - best.float()[:, None]).half()
    else:
        top = z.topk(min(5, z.shape[1]), dim=1)
        found |= {"top5": top.indices.int(), "top5_logits": top.values}
    return {name: value.cpu() for name, value in found.items()}


def write_outputs(
    file: str | Path,
    arrays: Mapping[str, np.ndarray],
    classnames: Sequence[str],
    paths: Sequence[str] | None = None,
    about: Mapping[str, object] | None = None,
    known: Sequence[bool] | None = None,
    of_classes: Mapping[str, np.ndarray] | None = None,
) -> str:
    """Write the file atomically; returns the SHA-256 of its bytes, which depend on the content alone.

    paths: of the N images, relative to the data set's image folder; None where the order is not that of the list.
    about: facts on the run, plain values. known: whether the model was trained on each of the classes, if not on all.
    of_classes: class_features and zero_shot_features [C, d], where they are known.
    """
    mkdir_if_missing(os.path.dirname(file) or ".")
    whole: dict[str, np.ndarray] = {
        "about": np.array(json.dumps({"format": FORMAT, **(about or {})}, sort_keys=True)),
        "classnames": np.array(list(classnames), dtype=str),
    }
    whole |= {} if paths is None else {"path": np.array(list(paths), dtype=str)}
    whole |= {} if known is None else {"known": np.array(list(known), dtype=bool)}
    whole |= of_classes or {}
    with atomic_path(file) as temporary:
        with open(temporary, "wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **whole, **arrays)
        return sha256(temporary)


def sha256(file: str | Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
