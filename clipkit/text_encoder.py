"""CLIP's text tower, prompted from outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from . import deep_prompts
from .changed_blocks import Changes
from .deep_prompts import Prompts
from .errors import InputError
from .openai_clip import CLIP
from .ops import normalize
from .split_blocks import run_split, run_to_eot
from .split_text import SplitText, TextGroup, common_prefix, split_embedding
from .text_tower import text_tower
from .tokenizer import tokenizer_of
from .tokens import SHORTEN, tokenize
from .whole_text import of_group, whole_groups


class TextEncoder:
    """Runs the text tower of a frozen CLIP on prompts [C, L, width]. Not an nn.Module: CLIP stays out of state dicts.

    Where the tower is causal and only the output of EOT is read, only the tokens up to the longest EOT are run: later
    ones have no effect, so the cut is exact, and several times cheaper than 77 tokens. `truncate=False` turns it off.
    Which shortcuts are exact is a property of the tower, see `BackboneSpec.savings`.
    tokenizer: that of the backbone. savings: the exact ones. first: the position where a context starts (1 after SOS).
    """

    def __init__(self, clip_model: CLIP, truncate: bool = True) -> None:
        self.clip_model = clip_model
        self.tokenizer = tokenizer_of(clip_model)
        self.tower = text_tower(clip_model)
        self.savings, self.first = self.tower.savings, self.tokenizer.first
        self.truncate = truncate and "cut" in self.savings

    def changed(self, changes: Changes) -> TextEncoder:
        """An encoder with these changes in its blocks. If they draw random numbers, a beginning that classes share is
        computed for each class. Raises InputError unless the tower is of OpenAI's layout."""
        encoder = TextEncoder(self.clip_model, self.truncate)
        encoder.tower.change(changes)
        encoder.savings = encoder.tower.savings
        return encoder

    @property
    def width(self) -> int:
        return self.tower.width

    @property
    def depth(self) -> int:
        return self.tower.depth

    @property
    def embed_dim(self) -> int:
        return self.tower.embed_dim

    @property
    def length(self) -> int:
        """The most tokens that a prompt may have."""
        return self.tower.length

    @property
    def dtype(self) -> torch.dtype:
        return self.clip_model.dtype

    @property
    def device(self) -> torch.device:
        return self.clip_model.logit_scale.device

    def embed(self, tokens: Tensor) -> Tensor:
        """Token embeddings [C, L, width] of token ids [C, L], without positions."""
        return F.embedding(tokens.to(self.device), self.tower.token_embedding).to(self.dtype)

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

        Prompts of the full 77 tokens are cut here, which has to wait for eot.max() from the device; shorter ones are
        taken as cut already.
        """
        return self._run(self._enter(prompts, eot), eot, replace, insert)

    def _run(
        self,
        x: Tensor,
        eot: Tensor,
        replace: Prompts,
        insert: Prompts,
        start: int = 1,
        weight: float = 1.0,
        at: int | None = None,
    ) -> Tensor:
        """Features [N, embed_dim] of the hidden state [N, L, width] that enters block `start`."""
        deep_prompts.refuse_both(replace, insert)
        checked = partial(deep_prompts.edits, start=start, depth=self.depth, width=self.width, tower="text")
        place = self.first if at is None else at
        over = partial(deep_prompts.overwrite_front, first=place, weight=weight)
        put = partial(deep_prompts.insert_front, first=self.first)
        edits = checked(replace, over, over) | checked(insert, put, over)
        return self.tower.features(x, eot + deep_prompts.count(insert), edits, start, deep_prompts.count(insert))

    def encode(
        self,
        text: SplitText,
        replace: Prompts = None,
        insert: Prompts = None,
        start_block: int = 1,
        replace_weight: float = 1.0,
        replace_at: int | None = None,
    ) -> Tensor:
        """Features [C, embed_dim] of EOT, not normalised, for prompts that share their beginning; [G, C, embed_dim]
        for a beginning [G, P, width].

        The same numbers as `__call__` up to rounding, at less cost: the beginning runs once instead of once per class,
        and each group of similar length is padded to its own longest prompt. `replace` and `insert` as there.
        start_block: above 1, `text` is the hidden state that enters that block, from `lower`.
        replace_weight: overwritten tokens become weight * new + (1 - weight) * old (TCP; MMRL++, with `insert`).
        replace_at: the position where the tokens of `replace` begin; None: where a context does (ATPrompt).
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
        if "prefix" not in self.savings:
            return self._encode_whole(text, replace, insert, start_block, replace_weight, replace_at)
        if start_block == 1:
            text = self._enter_split(text)
        elif not sets:
            text = SplitText(text.prefix[None], text.groups)
        at = self.first if replace_at is None else replace_at
        rows = run_to_eot(self.tower.blocks, text, start_block, replace, insert, replace_weight, at)
        features = self.tower.project(self._in_order(rows, text.groups))
        return features if sets else features[0]

    def _in_order(self, rows: list[Tensor], groups: list[TextGroup]) -> Tensor:
        """[G, C, D] in the order of the classes from the rows [G * C_g, D] of each group."""
        out = torch.cat([r.view(-1, len(g.rows), r.shape[-1]) for r, g in zip(rows, groups, strict=True)], dim=1)
        return out[:, torch.cat([g.rows for g in groups]).argsort()] if len(groups) > 1 else out

    def _encode_whole(
        self, text: SplitText, replace: Prompts, insert: Prompts, start: int, weight: float, at: int | None
    ) -> Tensor:
        """`encode` in a tower where a beginning cannot be shared."""
        whole, rows = whole_groups(text), []
        for group in whole.groups:
            x = self.tower.enter(group.tokens.to(self.dtype)) if start == 1 else group.tokens
            eot = group.eot.repeat(len(group.tokens) // len(group.rows))
            rows.append(self._run(x, eot, of_group(replace, group), of_group(insert, group), start, weight, at))
        features = self._in_order(rows, whole.groups)
        return features if text.prefix.dim() == 3 else features[0]

    def lower(self, text: SplitText, until: int) -> SplitText:
        """The hidden state after block `until`, positions included; pass it back with start_block=until+1.

        For methods whose lower blocks are unprompted: computed once per set of class names. Without a gradient to
        the prompts no graph is kept.
        """
        if not 1 <= until < self.depth:
            raise InputError(
                f"The text encoder of this backbone has {self.depth} blocks, so its lower {until} cannot be run alone: "
                "choose a smaller number"
            )
        learned = text.prefix.requires_grad or any(g.tokens.requires_grad for g in text.groups)
        with torch.set_grad_enabled(torch.is_grad_enabled() and learned):
            if "prefix" not in self.savings:
                return self._lower_whole(whole_groups(text), until)
            hidden = run_split(self.tower.blocks, self._enter_split(text), 1, until)
        return hidden if text.prefix.dim() == 3 else SplitText(hidden.prefix[0], hidden.groups)

    def _lower_whole(self, whole: SplitText, until: int) -> SplitText:
        groups = []
        for group in whole.groups:
            eot = group.eot.repeat(len(group.tokens) // len(group.rows))
            hidden = self.tower.lower(self.tower.enter(group.tokens.to(self.dtype)), eot, until)
            groups.append(TextGroup(group.rows, hidden, group.eot))
        return SplitText(whole.prefix, groups)

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
            own = len(tokens) == len(prefix) * len(g.rows)  # each beginning has ends of its own already
            groups.append(TextGroup(g.rows, tokens if own else tokens.repeat(len(prefix), 1, 1), g.eot))
        return SplitText(prefix.to(self.dtype) + positions[:size], groups)

    def split_texts(self, texts: Sequence[str]) -> SplitText:
        """Whole texts [C] as embeddings without positions, for `encode` and `lower`."""
        tokens = tokenize(texts, tokenizer=self.tokenizer)
        eot = self.tokenizer.eot(tokens)
        if "cut" in self.savings:
            embedding = self.embed(tokens[:, : int(eot.max()) + 1])
            return split_embedding(embedding, eot.to(embedding.device), common_prefix(tokens, eot))
        embedding = self.embed(tokens)
        rows = torch.arange(len(texts), device=embedding.device)
        return SplitText(embedding[0, :0], [TextGroup(rows, embedding, eot.to(embedding.device))])

    def _enter(self, prompts: Tensor, eot: Tensor) -> Tensor:
        """Cut the prompts at the longest EOT, and add the positional embedding."""
        if prompts.shape[1] > self.length:
            raise InputError(f"A prompt has {prompts.shape[1]} tokens, this backbone reads at most {self.length}")
        if self.truncate and prompts.shape[1] == self.length:
            prompts = prompts[:, : int(eot.max()) + 1]
        return self.tower.enter(prompts.to(self.dtype))

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
        tokens = tokenize(distinct, what, remedy, too_long, self.tokenizer)
        eot = self.tokenizer.eot(tokens)
        features = torch.empty(len(distinct), self.embed_dim, device=self.device)
        with torch.autocast(self.device.type, enabled=False):
            batches = eot.argsort(stable=True).split(batch_size) if distinct else ()
            for rows in tqdm(batches, desc="text features", disable=None, leave=False, delay=2):
                length = int(eot[rows].max()) + 1 if self.truncate else tokens.shape[1]
                encoded = self(self.embed(tokens[rows, :length]), eot[rows].to(self.device))
                features[rows.to(self.device)] = normalize(encoded.float()) if normalized else encoded.float()
        return features[torch.tensor([index[text] for text in texts], dtype=torch.long, device=self.device)]
