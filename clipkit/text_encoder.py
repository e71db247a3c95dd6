"""CLIP's text tower, prompted from outside."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from . import deep_prompts
from .deep_prompts import Prompts
from .errors import InputError
from .openai_clip import CLIP
from .ops import causal_rows_mask, layer_norm, normalize, run_blocks
from .split_blocks import run_split, run_to_eot
from .split_text import SplitText, TextGroup, common_prefix, split_embedding
from .tokens import SHORTEN, eot_positions, tokenize


class TextEncoder:
    """Runs the text tower of a frozen CLIP on prompts [C, L, width]. Not an nn.Module: CLIP stays out of state dicts.

    Only the tokens up to the longest EOT are run. The tower is causal and one row, EOT's, is read, so the later tokens
    cannot matter: the cut is exact, and several times cheaper than 77 tokens. `truncate=False` turns the cut off.
    """

    def __init__(self, clip_model: CLIP, truncate: bool = True) -> None:
        self.clip_model = clip_model
        self.truncate = truncate
        self._blocks = list(clip_model.transformer.resblocks)

    @property
    def width(self) -> int:
        return self.clip_model.ln_final.weight.shape[0]

    @property
    def depth(self) -> int:
        return len(self._blocks)

    @property
    def embed_dim(self) -> int:
        return self.clip_model.text_projection.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        return self.clip_model.dtype

    @property
    def device(self) -> torch.device:
        return self.clip_model.text_projection.device

    def embed(self, tokens: Tensor) -> Tensor:
        """Token embeddings [C, L, width] of token ids [C, L], without positions."""
        return F.embedding(tokens.to(self.device), self.clip_model.token_embedding.weight).to(self.dtype)

    def __call__(
        self,
        prompts: Tensor,
        eot: Tensor,
        replace: Prompts = None,
        insert: Prompts = None,
    ) -> Tensor:
        """Features [C, embed_dim] of the EOT tokens, not normalised.

        prompts: [C, L, width] embeddings without positions.
        eot: [C] position of EOT in `prompts`.
        replace: {b: [n, width] or [C, n, width]}: before block b the positions 1 .. n are overwritten (MaPLe, IVLP).
        insert: {b: [K, width] or [C, K, width]}: before the smallest b the K tokens go in after SOS, before the later
            ones they are overwritten (MMRL); EOT moves by K.

        Prompts of the full 77 tokens are cut here, at the price of reading eot.max() back from the device; shorter
        ones are taken as cut already.
        """
        deep_prompts.refuse_both(replace, insert)
        checked = partial(deep_prompts.edits, start=1, depth=self.depth, width=self.width, tower="text")
        over = deep_prompts.overwrite_front
        edits = checked(replace, over, over) | checked(insert, deep_prompts.insert_front, over)
        x = self._enter(prompts, eot)

        added = deep_prompts.count(insert)
        row = eot + added
        each = torch.arange(x.shape[0], device=x.device)

        def pick(tokens: Tensor) -> Tensor:
            return tokens[each, row, None]

        mask = causal_rows_mask(row, x.shape[1] + added)
        x = run_blocks(self._blocks, x, 1, edits, causal=True, pick=pick, mask=mask)[:, 0]
        return layer_norm(self.clip_model.ln_final, x) @ self.clip_model.text_projection

    def encode(
        self,
        text: SplitText,
        replace: Prompts = None,
        insert: Prompts = None,
        start_block: int = 1,
        replace_weight: float = 1.0,
    ) -> Tensor:
        """Features [C, embed_dim] of EOT, not normalised, for prompts that share their beginning; [G, C, embed_dim]
        for a beginning [G, P, width].

        The same numbers as `__call__` to rounding, at less cost: the beginning runs once and not once a class, and each
        group of like length is as long as its own longest prompt. `replace` and `insert` as there.

        start_block: above 1, `text` is the hidden state that enters that block, from `lower`.
        replace_weight: what is replaced becomes weight * new + (1 - weight) * old (TCP).
        """
        deep_prompts.refuse_both(replace, insert)
        for prompts in (replace, insert):
            deep_prompts.check(
                prompts,
                start=start_block,
                depth=self.depth,
                width=self.width,
                tower="text",
                same_count=prompts is insert,
            )
        sets = text.prefix.dim() == 3
        if start_block == 1:
            text = self._enter_split(text)
        elif not sets:
            text = SplitText(text.prefix[None], text.groups)
        rows = run_to_eot(self._blocks, text, start_block, replace, insert, replace_weight)
        out = torch.cat([r.view(-1, len(g.rows), self.width) for r, g in zip(rows, text.groups, strict=True)], dim=1)
        if len(text.groups) > 1:
            out = out[:, torch.cat([g.rows for g in text.groups]).argsort()]
        features = layer_norm(self.clip_model.ln_final, out) @ self.clip_model.text_projection
        return features if sets else features[0]

    def lower(self, text: SplitText, until: int) -> SplitText:
        """The hidden state after block `until`, positions included; pass it back with start_block=until+1.

        For methods whose lower blocks are unprompted: computed once per set of class names. Without a gradient to
        the prompts no graph is kept.
        """
        if not 1 <= until < self.depth:
            raise InputError(
                f"The text encoder of this backbone has {self.depth} blocks, the lower {until} cannot be kept apart"
            )
        learned = text.prefix.requires_grad or any(g.tokens.requires_grad for g in text.groups)
        with torch.set_grad_enabled(torch.is_grad_enabled() and learned):
            hidden = run_split(self._blocks, self._enter_split(text), 1, until)
        return hidden if text.prefix.dim() == 3 else SplitText(hidden.prefix[0], hidden.groups)

    def _enter_split(self, text: SplitText) -> SplitText:
        """Positional embeddings, and the two leading axes that `run_split` works on."""
        positions = self.clip_model.positional_embedding.to(self.dtype)
        prefix = text.prefix if text.prefix.dim() == 3 else text.prefix[None]
        size = prefix.shape[1]
        longest = size + max(g.tokens.shape[1] for g in text.groups)
        if longest > len(positions):
            raise InputError(f"A prompt has {longest} tokens, this backbone reads at most {len(positions)}")
        groups = []
        for g in text.groups:
            tokens = g.tokens.to(self.dtype) + positions[size : size + g.tokens.shape[1]]
            groups.append(TextGroup(g.rows, tokens.repeat(len(prefix), 1, 1) if len(prefix) > 1 else tokens, g.eot))
        return SplitText(prefix.to(self.dtype) + positions[:size], groups)

    def split_texts(self, texts: Sequence[str]) -> SplitText:
        """Whole texts [C] as embeddings without positions, for `encode` and `lower`."""
        tokens = tokenize(texts)
        eot = eot_positions(tokens)
        embedding = self.embed(tokens[:, : int(eot.max()) + 1])
        return split_embedding(embedding, eot.to(embedding.device), common_prefix(tokens, eot))

    def _enter(self, prompts: Tensor, eot: Tensor) -> Tensor:
        """Cut the prompts at the longest EOT, and add the positional embedding."""
        positions = self.clip_model.positional_embedding
        if prompts.shape[1] > len(positions):
            raise InputError(f"A prompt has {prompts.shape[1]} tokens, this backbone reads at most {len(positions)}")
        if self.truncate and prompts.shape[1] == len(positions):
            prompts = prompts[:, : int(eot.max()) + 1]
        return prompts.to(self.dtype) + positions[: prompts.shape[1]].to(self.dtype)

    @torch.no_grad()
    def encode_texts(
        self,
        texts: Sequence[str],
        batch_size: int = 256,
        normalized: bool = True,
        what: str = "text",
        remedy: str | Callable[[int], str] = SHORTEN,
        too_long: str = "refuse",
    ) -> Tensor:
        """fp32 features [N, embed_dim] of N whole texts, normalised unless told not to, without gradient and outside
        autocast.

        Each distinct text is encoded once; texts of like length go together, so that each batch is cut short.
        what, remedy, too_long: as in `tokenize`.
        """
        distinct = list(dict.fromkeys(texts))
        index = {text: i for i, text in enumerate(distinct)}
        tokens = tokenize(distinct, what, remedy, too_long)
        eot = eot_positions(tokens)
        features = torch.empty(len(distinct), self.embed_dim, device=self.device)
        with torch.autocast(self.device.type, enabled=False):
            batches = eot.argsort(stable=True).split(batch_size) if distinct else ()
            for rows in tqdm(batches, desc="text features", disable=None, leave=False, delay=2):
                length = int(eot[rows].max()) + 1 if self.truncate else tokens.shape[1]
                encoded = self(self.embed(tokens[rows, :length]), eot[rows].to(self.device))
                features[rows.to(self.device)] = normalize(encoded.float()) if normalized else encoded.float()
        return features[torch.tensor([index[text] for text in texts], dtype=torch.long, device=self.device)]
