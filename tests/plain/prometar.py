"""Plain ProMetaR: both steps of a batch, written out, over the stock attention without fused kernels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from .base import PlainMethod
from .deep import PromptSRC
from .towers import replace_last, vision_tower


class ProMetaR(PromptSRC):
    """Park et al., CVPR 2024. Set by `same_draw`: gates {key: (V1, V2)}; function of labels that draws the episode; lr
    and decay of the optimizer."""

    gates: dict[str, list[Tensor]]
    draw: Callable[[Tensor], tuple[Tensor, ...]]
    lr = decay = 0.0

    def raw_image(self, image: Tensor) -> Tensor:
        prompts = replace_last(self.blocks("image_encoder"))
        return vision_tower(self.clip, image, self.p["image_encoder.VPT"], prompts)

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        f, t = F.normalize(self.raw_image(image), dim=-1), self.encode_text()
        f_0, w_0 = PlainMethod.image_features(self, image), self.fixed("w_0", self.template_mean)
        return {
            "ce": F.cross_entropy(self.cosines(f, t), label),
            "text": 50 * (t - w_0).abs().mean(),
            "image": 20 * (f - f_0).abs().mean(),
        }

    def modulated(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        terms, found = self.loss_terms(image, label), {}
        for key, tensor in self.parameters().items():
            visual = key.startswith("image_encoder")
            (a,) = torch.autograd.grad(terms["ce"], tensor, create_graph=True)
            (r,) = torch.autograd.grad(terms["image" if visual else "text"], tensor, create_graph=True)
            v1, v2 = self.gates[key]
            gamma = torch.sigmoid(v2 @ (v1 @ torch.cat([a.reshape(-1), r.reshape(-1)])))
            wide = torch.stack([gamma] * (a.numel() // len(gamma)), dim=1).reshape(a.shape)
            found[key] = a + wide * r
        return found

    def gradients(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        """Of the second step of a batch, after the first has been taken (from a momentum of 0)."""
        with sdpa_kernel(SDPBackend.MATH):
            start = {key: tensor.detach().clone() for key, tensor in self.parameters().items()}
            first = self.modulated(image, label)
            with torch.no_grad():
                for key, tensor in self.parameters().items():
                    tensor -= self.lr * (first[key] + self.decay * tensor)
            query, support, partner, share = self.draw(label)
            own = dict(self.parameters())
            g = self.modulated(image[support], label[support])
            kept, self.p = self.p, {key: x - self.adapt * g[key] if key in g else x for key, x in self.p.items()}
            t, rows = self.encode_text(), []
            for q, s, lam in zip(query, partner, share, strict=True):
                f_q, f_s = self.raw_image(image[q][None]), self.raw_image(image[s][None])
                z = self.cosines(lam * f_q + (1 - lam) * f_s, t)
                rows.append(lam * F.cross_entropy(z, label[q][None]) + (1 - lam) * F.cross_entropy(z, label[s][None]))
            self.p = kept
            loss = self.settings["LR_RATIO"] * sum(rows) / len(rows)
            weights = [w for pair in self.gates.values() for w in pair]
            found = torch.autograd.grad(loss, [*own.values(), *weights])
        self.gate_gradients = found[len(own) :]
        with torch.no_grad():
            for key, tensor in own.items():
                tensor.copy_(start[key])
        return dict(zip(own, found, strict=False))

    @property
    def adapt(self) -> float:
        return self.settings["ADAPT_LR"]
