"""Text towers of transformers (BERT, RoBERTa, XLM-RoBERTa), as in BiomedCLIP: tokens attend to all but padding."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .attention import twice_differentiable
from .changed_blocks import Changes
from .deep_prompts import Edit
from .errors import InputError
from .openai_clip import ResidualAttentionBlock
from .tokenizer import EXTRA

KNOWN = ("bert", "roberta", "xlm-roberta")
FILES = ("text_config.json", "config.json")  # in the folder of the weights, before the hub is asked


class HFText:
    """A `TextTower` of transformers: embeddings, post-norm blocks, pooling over all tokens but padding, projection."""

    savings = frozenset(("cut", "groups"))
    blocks: list[ResidualAttentionBlock] = []

    def __init__(self, clip_model: Any) -> None:
        part, spec = clip_model.text_model, clip_model.clipkit_spec.text
        self._tower, self._proj, self._pool = part.transformer, part.proj, spec.pool
        self.width, self.depth = self._tower.config.hidden_size, len(self._tower.encoder.layer)
        self.length, self.embed_dim = spec.length, clip_model.visual.output_dim

    @property
    def token_embedding(self) -> Tensor:
        return self._tower.embeddings.word_embeddings.weight

    def change(self, changes: Changes) -> None:
        raise InputError(
            "This backbone's text tower is of transformers, whose blocks take no low-rank updates or layer norms of a "
            "method: choose one of OpenAI's layout, or a method that changes no weights"
        )

    def enter(self, prompts: Tensor) -> Tensor:
        return self._tower.embeddings(inputs_embeds=prompts)

    def lower(self, x: Tensor, eot: Tensor, until: int) -> Tensor:
        return self._blocks(x, eot, {}, 1, until)

    def features(self, x: Tensor, eot: Tensor, edits: Mapping[int, Edit], start: int, added: int) -> Tensor:
        x = self._blocks(x, eot - added, edits, start, self.depth)
        if self._pool == "mean":
            seen = (torch.arange(x.shape[1], device=x.device) <= eot[:, None])[..., None].to(x.dtype)
            return self.project((x * seen).sum(dim=1) / seen.sum(dim=1))
        return self.project(self._tower.pooler(x) if self._pool == "pooler" else x[:, 0])

    def _blocks(self, x: Tensor, eot: Tensor, edits: Mapping[int, Edit], start: int, end: int) -> Tensor:
        """eot: the last position without padding, before any edit."""
        own = x.shape[1]
        with twice_differentiable():
            for b in range(start, end + 1):
                if b in edits:
                    x = edits[b](x)
                seen = torch.arange(x.shape[1], device=x.device) <= (eot + x.shape[1] - own)[:, None]
                mask = torch.zeros(seen.shape, dtype=x.dtype, device=x.device)
                mask = mask.masked_fill(~seen, torch.finfo(x.dtype).min)[:, None, None]
                out = self._tower.encoder.layer[b - 1](x, attention_mask=mask)
                x = out[0] if isinstance(out, tuple) else out
        return x

    def project(self, rows: Tensor) -> Tensor:
        return self._proj(rows)


def text_config(name: str, folder: Path) -> Any:
    """The configuration of the text tower `name`: from a file in `folder`, else from the Hugging Face hub.

    Raises InputError if transformers is missing, no configuration is found, or the kind of tower is not supported.
    """
    try:
        from transformers import AutoConfig
    except ImportError as error:
        raise InputError(f"This backbone's text tower needs transformers: {EXTRA}") from error
    beside = next((folder / file for file in FILES if os.path.isfile(folder / file)), None)
    try:
        found = AutoConfig.from_pretrained(str(beside or name))
    except Exception as error:  # transformers raises many kinds: not found, no network, not readable
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"The configuration of the text tower {name} cannot be read ({type(error).__name__}: {reason[:200]}): "
            f"without internet put its config.json as {FILES[0]} into {folder}"
        ) from error
    if found.model_type not in KNOWN or getattr(found, "position_embedding_type", "absolute") != "absolute":
        raise InputError(
            f"The text tower {name} is of the kind {found.model_type}; only {', '.join(KNOWN)} with absolute positions "
            "can be prompted here"
        )
    return found
