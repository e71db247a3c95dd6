"""CoOp-type prompts: a learned context joined with class names."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .errors import InputError
from .openai_clip import CLIP
from .split_text import SplitText, TextGroup, common_prefix, group_cost, length_groups
from .text_encoder import TextEncoder
from .tokenizer import Tokenizer
from .tokens import tokenize

POSITIONS = ("end", "middle", "front")


class ContextPrompts(nn.Module):
    """Joins a learned context with the embedded class names (CoOp, Zhou et al. 2022, section 3.2).

    classnames: C names; underscores become spaces.
    n_ctx: number of context tokens n.
    ctx_text: words in the place of the context, for example "a photo of a"; None stands for n times "X" (or another
        word of one token in the backbone's tokenizer). If it has more than n tokens the rest stays fixed (MaPLe's n=2:
        "of a").
    template: the text, beginning with "{ctx}".
    position: of the class name: "end" [SOS][V][name][rest], "middle" [SOS][V, first half][name][V, second half][rest],
        "front" [SOS][name][V][rest].
    truncate: cut at the longest EOT where that is exact (see TextEncoder); False keeps 77 tokens.

    The context begins at position `first` of the backbone's tokenizer: 1, or 0 where there is no SOS (SigLIP).

    Raises InputError if the context has fewer tokens than n, the position is unknown or does not fit the template, or
    a prompt is too long for the text tower.

    Has no parameters, and its buffers are not persistent: they belong to the class names, not to what was learned.
    Buffers: token_prefix [C, first, d] (SOS), token_suffix [C, L-first-n, d], eot [C], tokenized_prompts [C, L].
    Attributes: length L, name_lens (tokens of each name), texts, n_ctx.
    """

    token_prefix: Tensor
    token_suffix: Tensor
    eot: Tensor
    tokenized_prompts: Tensor
    _first: Tensor | None
    _order: Tensor | None

    def __init__(
        self,
        clip_model: CLIP,
        classnames: Sequence[str],
        n_ctx: int,
        ctx_text: str | None = None,
        template: str = "{ctx} {name}.",
        position: str = "end",
        truncate: bool = True,
    ) -> None:
        super().__init__()
        names = [name.replace("_", " ") for name in classnames]
        encoder = TextEncoder(clip_model)
        tokenizer, first = encoder.tokenizer, encoder.first
        self._check(names, n_ctx, ctx_text, template, position, tokenizer)
        words = ctx_text or " ".join([tokenizer.filler] * n_ctx)
        self._first_position = first
        self.n_ctx = n_ctx
        self.ctx_text = ctx_text
        self._made_from = (
            clip_model,
            n_ctx,
            ctx_text,
            template,
            position,
            truncate,
        )  # a tuple, so that CLIP is no submodule
        self.texts = [template.format(ctx=words, name=name) for name in names]
        self.name_lens = [tokenizer.count(name) for name in names]

        tokens = tokenize(
            self.texts,
            what="prompt of a class",
            remedy=lambda i: f"shorten the name {names[i]!r}, or take fewer than {n_ctx} context tokens (N_CTX)",
            tokenizer=tokenizer,
        )
        eot = tokenizer.eot(tokens)
        cut = "cut" in encoder.savings
        self.length = int(eot.max()) + 1 if truncate and cut else tokens.shape[1]
        tokens = tokens[:, : self.length].to(encoder.device)
        with torch.no_grad():
            embedding = encoder.embed(tokens)
            given = encoder.embed(tokenize(ctx_text, tokenizer=tokenizer)) if ctx_text else None
        self.shared = self._shared(tokens, eot, position)
        cost = group_cost(encoder.width, encoder.device)
        self._lengths = []
        ends = eot + 1 if cut else torch.full_like(eot, self.length)
        for i, rows in enumerate(length_groups((ends - self.shared).tolist(), cost)):
            index = torch.tensor(rows, device=encoder.device)
            self._lengths.append(int(ends[rows].max()))
            self._buffer(f"_rows{i}", index)
            self._buffer(f"_eot{i}", eot[rows].to(encoder.device))
            self._buffer(f"_ends{i}", embedding[index, self.shared : self._lengths[-1]].clone())
        self._buffer("token_prefix", embedding[:, :first].clone())
        self._buffer("token_suffix", embedding[:, first + n_ctx :].clone())
        self._buffer("eot", eot.to(encoder.device))
        self._buffer("tokenized_prompts", tokens)
        self._buffer("_first", None if given is None else given[0, first : first + n_ctx])
        self._buffer("_order", self._token_order(position, encoder.device))

    def for_names(self, classnames: Sequence[str]) -> "ContextPrompts":
        """The same prompts with other class names."""
        clip_model, n_ctx, ctx_text, template, position, truncate = self._made_from
        return ContextPrompts(clip_model, classnames, n_ctx, ctx_text, template, position, truncate)

    def _buffer(self, name: str, value: Tensor | None) -> None:
        self.register_buffer(name, value, persistent=False)

    @staticmethod
    def _check(
        names: list[str], n_ctx: int, ctx_text: str | None, template: str, position: str, tokenizer: Tokenizer
    ) -> None:
        if not names:
            raise InputError("Prompts need at least one class name")
        if position not in POSITIONS:
            raise InputError(f"Unknown class token position {position!r}: choose one of {', '.join(POSITIONS)}")
        if n_ctx < 1:
            raise InputError(f"The number of context tokens must be 1 or more, not {n_ctx}")
        if not template.startswith("{ctx} ") or "{name}" not in template:
            raise InputError(f"The prompt template must begin with '{{ctx}} ' and hold '{{name}}', unlike {template!r}")
        given = n_ctx if ctx_text is None else tokenizer.count(ctx_text)
        if given < n_ctx:
            raise InputError(f"{n_ctx} context tokens are asked for, but {ctx_text!r} has {given}: lower the number")
        if position != "end" and (given != n_ctx or not template.startswith("{ctx} {name}")):
            raise InputError(
                f"With the class name in the {position} the context must be all of {ctx_text!r} ({given} tokens, "
                f"{n_ctx} are asked for) and stand right before the name in the template ({template!r})"
            )

    def _shared(self, tokens: Tensor, eot: Tensor, position: str) -> int:
        """How many leading tokens all classes share when they share the context."""
        first = self._first_position
        if position == "end":
            return max(common_prefix(tokens.cpu(), eot), first + self.n_ctx)
        return first + (self.n_ctx // 2 if position == "middle" else 0)

    def _token_order(self, position: str, device: torch.device) -> Tensor | None:
        """[C, L] where each token of the sequence comes from in [SOS][V][name][rest]; None for `end`."""
        if position == "end":
            return None
        before, first = self.n_ctx // 2 if position == "middle" else 0, self._first_position
        order = torch.arange(self.length).repeat(len(self.texts), 1)
        for row, name_len in zip(order, self.name_lens, strict=True):
            context, name = row[first : first + self.n_ctx].clone(), row[first + self.n_ctx :][:name_len].clone()
            row[first : first + self.n_ctx + name_len] = torch.cat([context[:before], name, context[before:]])
        return order.to(device)

    def init_context(self) -> Tensor:
        """Embeddings [n, d] of the first n tokens of `ctx_text`, to start the context from."""
        if self._first is None:
            raise InputError("The context has no words to start from: give ctx_text, or draw it at random")
        return self._first.clone()

    def forward(self, ctx: Tensor) -> Tensor:
        """Prompts [C, L, d] for the text encoder, from a context [n, d] or one per class [C, n, d].

        More leading axes broadcast: [B, 1, n, d] (CoCoOp: a context per image) gives [B, C, L, d].
        """
        classes = len(self.texts)
        lead = torch.broadcast_shapes(ctx.shape[:-2], (classes,))
        parts = (self.token_prefix, ctx.to(self.token_suffix.dtype), self.token_suffix)
        prompts = torch.cat([part.expand(*lead, *part.shape[-2:]) for part in parts], dim=-2)
        if self._order is None:
            return prompts
        index = self._order[..., None].expand(*lead, -1, prompts.shape[-1])
        return prompts.gather(-2, index)

    def split(self, ctx: Tensor) -> SplitText:
        """The same prompts for `TextEncoder.encode`, from a context [n, d], one per class [C, n, d] or, with the class
        name at the end, one per image [G, 1, n, d]. Tokens that all classes share are in it once."""
        groups = []
        if ctx.dim() == 3 or self._order is not None:
            dense, shared = self(ctx), self._first_position if ctx.dim() == 3 else self.shared
            for i, length in enumerate(self._lengths):
                rows = self.get_buffer(f"_rows{i}")
                groups.append(TextGroup(rows, dense[rows, shared:length], self.get_buffer(f"_eot{i}") - shared))
            return SplitText(dense[0, :shared], groups)
        sos, between = self.token_prefix[0], self.token_suffix[0, : self.shared - self._first_position - self.n_ctx]
        ctx = ctx.to(sos.dtype).squeeze(-3) if ctx.dim() == 4 else ctx.to(sos.dtype)
        lead = ctx.shape[:-2]
        prefix = torch.cat([sos.expand(*lead, -1, -1), ctx, between.expand(*lead, -1, -1)], dim=-2)
        for i in range(len(self._lengths)):
            rows, ends, eot = (self.get_buffer(f"_{name}{i}") for name in ("rows", "ends", "eot"))
            groups.append(TextGroup(rows, ends, eot - self.shared))
        return SplitText(prefix, groups)
