"""Plain VisPrompt: one text pass an image, loops over heads, no cached features."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .coop import CoOp
from .towers import text_tower, vision_tokens


class VisPrompt(CoOp):
    """Seeing is Believing (arXiv 2604.09532): Delta of each image is added to the context.

    part: the pass of an epoch that the batch belongs to, "clean", "noisy" or "all"; mask: function of the number of
    images that gives the dropout mask or None (set by `same_draw`).
    """

    part = "all"

    @staticmethod
    def mask(images: int) -> Tensor | None:
        return None

    def linear(self, name: str, x: Tensor) -> Tensor:
        y = x @ self.p[f"{name}.weight"].t()
        return y + self.p[f"{name}.bias"] if f"{name}.bias" in self.p else y

    def norm(self, name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * self.p[f"{name}.weight"] + self.p[f"{name}.bias"]

    # ------------------------------------------------------------------ visual tokens, to which the prompts attend

    def visual_tokens(self, image: Tensor) -> Tensor:
        """[M, width] of one image [3, H, W]."""
        multi_scale = self.settings["USE_MULTI_SCALE"]
        if self.settings["VIS_SOURCE"] == "global":
            f = self.image_features(image[None])[0]
            groups = f.chunk(self.settings["PROMPT_POOL_SIZE"])
            tokens = [
                self.linear("tokens.group", g) + e for g, e in zip(groups, self.p["tokens.embedding"], strict=True)
            ]
            return torch.stack(tokens + ([self.linear("tokens.whole", f)] if multi_scale else []))
        with torch.no_grad():
            if hasattr(self.clip.visual, "attnpool"):
                tokens = self.resnet_tokens(image)
            else:
                tokens = vision_tokens(self.clip, image[None])[0] @ self.clip.visual.proj
        if not multi_scale:
            return tokens
        side = round((len(tokens) - 1) ** 0.5)
        grid = tokens[1:].view(side, side, -1)
        low, high = slice(0, -(-side // 2)), slice(side // 2, side)
        return torch.cat([tokens, *(grid[i, j].mean((0, 1))[None] for i in (low, high) for j in (low, high))])

    def resnet_tokens(self, image: Tensor) -> Tensor:
        visual, seen = self.clip.visual, []
        hook = visual.attnpool.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        pooled = visual(image[None])
        hook.remove()
        pool, cells = visual.attnpool, seen[0][0].flatten(1).t()
        return torch.cat([pooled, pool.c_proj(pool.v_proj(cells + pool.positional_embedding[1:]))])

    # ------------------------------------------------------------------ Delta

    def attention(self, x: Tensor) -> Tensor:
        """[L, d_t]: cross-attention; queries from prompt tokens, keys and values from visual tokens [M, d_v]."""
        x = self.norm("guidance.norm_visual", x)
        q = self.linear("guidance.w_q", self.norm("guidance.norm_ctx", self.p["ctx"]))
        k, v = self.linear("guidance.w_k", x), self.linear("guidance.w_v", x)
        out = []
        for q_h, k_h, v_h in zip(*(t.chunk(self.settings["ATTENTION_HEADS"], 1) for t in (q, k, v)), strict=True):
            out.append((q_h @ k_h.t() / q_h.shape[1] ** 0.5).softmax(-1) @ v_h)
        return self.linear("guidance.w_o", torch.cat(out, 1))

    def delta(self, image: Tensor, f: Tensor) -> Tensor:
        """[L, d_t] of one image, before dropout."""
        s, o = self.settings, self.attention(self.visual_tokens(image))
        width, strength = o.shape[1], torch.ones(())
        if s["FILM"] or s["GATE"] != "none":
            u = F.relu(self.linear("guidance.modulation.linear1", self.norm("guidance.modulation.norm", f)))
            out = self.linear("guidance.modulation.linear2", u)
            if s["FILM"]:
                o, out = (1 + out[:width]) * o + out[width : 2 * width], out[2 * width :]
            if s["GATE"] != "none":
                strength = torch.sigmoid(out)[:, None]
        if s["GATE"] == "thresh" and strength < s["RELIABILITY_THRESHOLD"]:
            strength = strength - strength.detach()
        return s["VISUAL_WEIGHT"] * strength * o

    # ------------------------------------------------------------------ loss

    def one_by_one(self, image: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits [B, C] and the mean of |Delta|^2 / L, computed image by image."""
        features = self.image_features(image)
        if not self.settings["USE_VISUAL_GUIDANCE"]:
            return self.cosines(features, self.encode_text()), torch.zeros(())
        rows, sizes = [], []
        for i, (x, f) in enumerate(zip(image, features, strict=True)):
            delta = self.delta(x, f) if mask is None else mask[i] * self.delta(x, f)
            text = text_tower(self.clip, *self.with_context(self.prompts(), self.p["ctx"] + delta))
            rows.append(self.cosines(f[None], text))
            sizes.append(delta.square().sum() / len(delta))
        return torch.cat(rows), torch.stack(sizes).mean()

    def logits(self, image: Tensor) -> Tensor:
        return self.one_by_one(image, None)[0]

    def losses(self) -> dict[str, Callable[[Tensor, int], Tensor]]:
        """{name: function of an item's log p [C] and label that gives its loss}."""
        s = self.settings

        def sce(log_p: Tensor, y: int) -> Tensor:
            target = torch.full_like(log_p, 1e-6 / len(log_p))
            target[y] += 1 - 1e-6
            return -s["SCE_ALPHA"] * log_p[y] - s["SCE_BETA"] * (log_p.exp() * target.log()).sum()

        return {
            "ce": lambda log_p, y: -log_p[y],
            "gce": lambda log_p, y: (1 - (log_p[y].exp() + 1e-6) ** s["GCE_Q"]) / s["GCE_Q"],
            "mae": lambda log_p, y: 1 - (log_p[y].exp() + 1e-6),
            "sce": sce,
        }

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        s = self.settings
        z, size = self.one_by_one(image, self.mask(len(image)))
        if s["PURIFY"] == "none":
            name, names = s["LOSS_ALL"], [s["LOSS_ALL"]] * len(label)
        elif s["PURIFY"] == "ot_global":
            name = s["LOSS_NOISY"] if self.part == "noisy" else "ce"
            names = [name] * len(label)
        else:
            name, agrees = "mixed", self.transported(z.detach()) == label
            names = ["ce" if same else s["LOSS_NOISY"] for same in agrees]
        log_p, losses = z.log_softmax(1), self.losses()
        values = [losses[n](row, y) for n, row, y in zip(names, log_p, label.tolist(), strict=True)]
        terms = {name: torch.stack(values).mean()}
        return terms | {"reg": s["REG_WEIGHT"] * size} if s["USE_VISUAL_GUIDANCE"] else terms

    def transported(self, z: Tensor) -> Tensor:
        """[B]: argmax of a batch's transport plan (row sums 1 / B, column sums 1 / C) by plain Sinkhorn."""
        prob = z.double().softmax(1)
        cost = -prob if self.settings["OT_COST"] == "prob" else -prob.log()
        kernel = torch.exp(-(cost - cost.min(1, keepdim=True).values) / self.settings["REG_E"])
        for _ in range(5000):
            kernel = kernel / kernel.sum(1, keepdim=True) / len(kernel)
            kernel = kernel / kernel.sum(0) / kernel.shape[1]
        return kernel.argmax(1)

    def gradients(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        """The gradients, image by image if the loss is a mean over images, since the whole graph takes tens of GB."""
        if self.settings["PURIFY"] == "ot_batch" or not self.settings["USE_VISUAL_GUIDANCE"]:
            return super().gradients(image, label)
        mask, whole = self.mask, self.mask(len(image))
        total = {key: torch.zeros_like(tensor) for key, tensor in self.parameters().items()}
        for i in range(len(image)):
            self.mask = lambda _, i=i: None if whole is None else whole[i : i + 1]
            for key, gradient in super().gradients(image[i : i + 1], label[i : i + 1]).items():
                total[key] += gradient / len(image)
        self.mask = mask
        return total
