"""Plain TextRefiner: the cache slot by slot, the local rows image by image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .coop import CoOp
from .towers import run_block, vision_tokens

NORM = "mid_image_trans.conv1.1."


class TextRefiner(CoOp):
    """AAAI 2025: text features refined by a cache of local image features."""

    buffers = ("memory_item", *(NORM + key for key in ("running_mean", "running_var", "num_batches_tracked")))
    without_gradient = ("mid_image_trans.conv1.0.bias",)  # batch statistics take it away again

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.p["prompt_learner.ctx"], self.p["ctx"] = self.p["prompt_learner.ctx"], self.p["prompt_learner.ctx"]

    def parameters(self) -> dict[str, Tensor]:
        return {key: tensor for key, tensor in super().parameters().items() if key != "ctx"}

    def refined(self, t: Tensor) -> Tensor:
        q, rows = self.p["memory_item"], []
        for row in t:
            r = sum(a * slot for a, slot in zip(torch.softmax(q @ row, 0), q, strict=True))
            rows.append(row + self.settings["ALPHA"] * self.p["extractor.weight"] @ torch.cat([row, r]))
        return torch.stack(rows)

    def attention(self, image: Tensor) -> Tensor:
        """[B, G]: softmax of CLS's scores in the last block, the mean over heads, by the stock module."""
        seen = {}

        def before(number: int, x: Tensor) -> Tensor:
            seen[number] = x
            return x

        vision_tokens(self.clip, image, before=before)
        block = self.clip.visual.transformer.resblocks[-1]
        y = block.ln_1(seen[max(seen)])
        assert run_block(block, seen[max(seen)], None).shape == y.shape
        return block.attn(y, y, y, need_weights=True)[1][:, 0, 1:]

    def phi(self, rows: Tensor) -> Tensor:
        p, start = self.p, "mid_image_trans.conv1."
        x = rows @ p[start + "0.weight"][:, :, 0, 0].t() + p[start + "0.bias"]
        x = (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()
        x = F.relu(x * p[NORM + "weight"] + p[NORM + "bias"])
        return x @ p[start + "3.weight"][:, :, 0, 0].t() + p[start + "3.bias"]

    def local(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """u [B, 1 + G, d], and each image's rows [B, n, d]."""
        with torch.no_grad():
            tokens = vision_tokens(self.clip, image) @ self.clip.visual.proj
            attention = self.attention(image)
        u, rows = self.phi(tokens.flatten(0, 1)).view_as(tokens), []
        for one, a in zip(u, attention, strict=True):
            best = sorted(range(len(a)), key=lambda i: -a[i].item())[:5]
            rows.append(torch.stack([one[0], *(one[1 + i] for i in best), one.mean(0)]))
        return u, torch.stack(rows)

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        t = F.normalize(self.encode_text(), dim=-1)
        refined = self.refined(t)
        z = self.scale * self.image_features(image) @ refined.t()
        _, local = self.local(image)
        pairs = zip(local, label, strict=True)
        each = [F.cross_entropy(self.scale * rows @ t.t(), y.repeat(len(rows))) for rows, y in pairs]
        return {
            "ce": F.cross_entropy(z, label),
            "local": sum(each) / len(each) / self.settings["BALANCE"],
            "distill": self.settings["DISTILL"] * (F.normalize(refined, dim=-1) - t).abs().mean(),
        }

    def logits(self, image: Tensor) -> Tensor:
        t = self.fixed("text at test", lambda: F.normalize(self.encode_text(), dim=-1))
        return self.scale * self.image_features(image) @ self.refined(t).t()

    @torch.no_grad()
    def written(self, image: Tensor) -> Tensor:
        """Q after the step of this batch."""
        q = self.p["memory_item"]
        v = F.normalize(self.local(image)[0].flatten(0, 1), dim=-1)
        a, new = torch.softmax(v @ q.t(), 0), []
        for i, slot in enumerate(q):
            mine = [j for j, row in enumerate(v) if int((q @ row).argmax()) == i]
            total = sum((a[j, i] / a[:, i].max() * v[j] for j in mine), torch.zeros_like(slot))
            new.append(0.8 * slot + 0.2 * total if mine else slot)
        return F.normalize(torch.stack(new), dim=-1)
