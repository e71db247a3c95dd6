"""Plain ATPrompt: the embeddings of each prompt put together token by token."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit import tokenize

from .base import PlainMethod
from .coop import CoCoOp, CoOp
from .maple import MaPLe
from .towers import text_tower


class ATPrompt(PlainMethod):
    """Li et al., ICCV 2025: stands before a host."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        words = [self.settings[f"ATT{i}_TEXT"] for i in (1, 2, 3)]
        self.words = words[: self.settings["ATT_NUM"]]
        unused = range(len(self.words) + 1, 4)
        self.without_gradient = tuple(f"{self.prefix}ctx_att{i}" for i in unused)

    @property
    def prefix(self) -> str:
        return "prompt_learner." if isinstance(self, MaPLe) else ""

    def gradients(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        total = sum(self.loss_terms(image, label).values())
        learnable = self.parameters()
        found = torch.autograd.grad(total, list(learnable.values()), allow_unused=True)
        pairs = zip(learnable.items(), found, strict=True)
        return {key: torch.zeros_like(x) if g is None else g for (key, x), g in pairs}

    def prompts(self) -> tuple[Tensor, Tensor, int]:
        """Embeddings [C, 77, D_t], end positions, and the position of the last context's first token."""
        p, s, clip = self.p, self.settings, self.clip
        embed = lambda ids: clip.token_embedding(torch.tensor(ids)).detach()  # noqa: E731
        n = len(p[self.prefix + "ctx"])
        rows, ends = [], []
        for name in self.names:
            if s["ONE_TOKEN"]:  # all at fixed places over the tokens of the whole text
                text = " ".join(f"{'X ' * s[f'N_ATT{i}']}{word}" for i, word in enumerate(self.words, start=1))
                ids = tokenize(f"{text} {'X ' * n}{name}.")[0].tolist()
                row, at = list(embed(ids)), 1
                for i in range(1, len(self.words) + 1):
                    for j, token in enumerate(p[f"{self.prefix}ctx_att{i}"]):
                        row[at + j] = token
                    at += s[f"N_ATT{i}"] + 1
                place = at
                for j, token in enumerate(p[self.prefix + "ctx"]):
                    row[at + j] = token
                ends.append(ids.index(49407))
            else:
                row = list(embed([49406]))
                for i, word in enumerate(self.words, start=1):
                    row += [*p[f"{self.prefix}ctx_att{i}"], *embed([x for x in tokenize(word)[0].tolist() if x][1:-1])]
                place = len(row)
                rest = [x for x in tokenize(f"{name}.")[0].tolist() if x][1:]
                row += [*p[self.prefix + "ctx"], *embed(rest)]
                ends.append(len(row) - 1)
                row += list(embed([0] * (77 - len(row))))
            rows.append(torch.stack(row))
        return torch.stack(rows), torch.tensor(ends), place

    def encode_text(self) -> Tensor:
        embeddings, eot, place = self.prompts()
        if not isinstance(self, MaPLe):
            return text_tower(self.clip, embeddings, eot)
        deep = self.text_prompts()

        def before(number: int, x: Tensor) -> Tensor:
            if number not in deep:
                return x
            new = deep[number].unsqueeze(1).expand(-1, x.shape[1], -1)
            return torch.cat([x[:place], new, x[place + len(new) :]])

        return F.normalize(text_tower(self.clip, embeddings, eot, before), dim=-1)


class CoCoOpATPrompt(ATPrompt, CoCoOp):
    """The shift is that of the last context."""

    def logits(self, image: Tensor) -> Tensor:
        features, rows, own = self.image_features(image), [], self.p["ctx"]
        for f, pi in zip(features, self.shift(features), strict=True):
            self.p["ctx"] = own + pi
            rows.append(self.cosines(f[None], self.encode_text()))
        self.p["ctx"] = own
        return torch.cat(rows)


HOSTS: dict[str, type[PlainMethod]] = {
    "CoOpATPrompt": type("CoOpATPrompt", (ATPrompt, CoOp), {}),
    "CoCoOpATPrompt": CoCoOpATPrompt,
    "MaPLeATPrompt": type("MaPLeATPrompt", (ATPrompt, MaPLe), {}),
}
