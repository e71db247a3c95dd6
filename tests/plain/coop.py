"""Methods with a context in the text and a frozen image tower: CoOp, KgCoOp, ProGrad, CoCoOp, TCP."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from datasets.templates import custom_template

from .base import PlainMethod, cosine_loss
from .towers import text_tower


class CoOp(PlainMethod):
    """Zhou et al., IJCV 2022: one learned context for all classes (or one for each), before the class name."""

    def prompts(self) -> list[str]:
        return self.prompt_texts(self.p["ctx"].shape[-2], str(self.settings["CTX_INIT"] or ""))

    def encode_text(self) -> Tensor:
        """[C, d], not normalised."""
        ctx = self.p["ctx"]
        if ctx.ndim == 2:
            return text_tower(self.clip, *self.with_context(self.prompts(), ctx))
        embeddings, eot = self.embed(self.prompts())  # CSC: [C, M, D_t]
        return text_tower(self.clip, torch.cat([embeddings[:, :1], ctx, embeddings[:, 1 + ctx.shape[1] :]], 1), eot)

    def logits(self, image: Tensor) -> Tensor:
        return self.cosines(self.image_features(image), self.encode_text())

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        return {"ce": F.cross_entropy(self.logits(image), label)}


class KgCoOp(CoOp):
    """Yao et al., CVPR 2023: text features stay near those of the hand-written prompts."""

    def prompts(self) -> list[str]:
        return self.prompt_texts(len(self.p["ctx"]), "a photo of a" if self.settings["CTX_INIT"] else "")

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        text = self.encode_text()
        ce = F.cross_entropy(self.cosines(self.image_features(image), text), label)
        return {"ce": ce, "kg": self.settings["W"] * cosine_loss(text, self.template_features("kg"))}


class ProGrad(CoOp):
    """Zhu et al., ICCV 2023: the part of the gradient against that of the zero-shot teacher is removed.

    The update uses `gradients`, not the gradient of the summed terms.
    """

    def prompts(self) -> list[str]:
        if not self.settings["CTX_INIT"]:
            return super().prompts()
        words = custom_template(self.dataset, "prograd").partition("{}")[0].split()
        filled = ["X"] * (len(self.p["ctx"]) - len(words)) + words
        return [f"{' '.join(filled)} {name}." for name in self.names]

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        T, z = self.settings["T"], self.logits(image)
        z_zs = self.cosines(self.image_features(image), self.template_features("prograd"))
        soft = -((z_zs / T).softmax(-1) * (z / T).log_softmax(-1)).sum(-1).mean()
        return {"ce": F.cross_entropy(z, label), "kl": T**2 * soft}

    def gradients(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        terms, learnable = self.loss_terms(image, label), list(self.parameters().values())
        domain = torch.autograd.grad(terms["ce"], learnable, retain_graph=True)
        general = torch.autograd.grad(terms["kl"], learnable)
        pairs = zip(self.parameters(), domain, general, strict=True)
        return {key: self.project(g_d, g_g) for key, g_d, g_g in pairs}

    def project(self, g_d: Tensor, g_g: Tensor) -> Tensor:
        """g_d, minus lambda times its component along g_g if their dot product is negative."""
        along = (g_d * g_g).sum()
        if along >= 0:
            return g_d
        return g_d - self.settings["LAMBDA"] * along / (g_g**2).sum() * g_g


class CoCoOp(CoOp):
    """Zhou et al., CVPR 2022: pi(x) of each image is added to the context; one text pass an image."""

    def shift(self, features: Tensor) -> Tensor:
        """pi(x): [B, d] normalised image features -> [B, D_t]."""
        p = self.p
        hidden = F.relu(F.linear(features, p["meta_net.linear1.weight"], p["meta_net.linear1.bias"]))
        return F.linear(hidden, p["meta_net.linear2.weight"], p["meta_net.linear2.bias"])

    def logits(self, image: Tensor) -> Tensor:
        features = self.image_features(image)
        rows = []
        for f, pi in zip(features, self.shift(features), strict=True):
            text = text_tower(self.clip, *self.with_context(self.prompts(), self.p["ctx"] + pi))
            rows.append(self.cosines(f[None], text))
        return torch.cat(rows)


class TCP(CoOp):
    """Yao et al., CVPR 2024: prompts computed from each class's frozen text feature enter a middle text block."""

    def prompts(self) -> list[str]:
        template = custom_template(self.dataset, "tcp_learnable")
        return [template.format(name) for name in self.names]

    def class_prompts(self, knowledge: Tensor) -> Tensor:
        """TKE: [C, d] -> [C, n, D_t]."""
        p = self.p
        hidden = F.linear(knowledge, p["meta_net.linear1.weight"], p["meta_net.linear1.bias"])
        hidden = hidden * torch.sigmoid(1.702 * hidden)  # QuickGELU
        out = F.linear(hidden, p["meta_net.linear2.weight"], p["meta_net.linear2.bias"])
        return out.view(len(knowledge), -1, self.clip.transformer.width)

    def encode_text(self) -> Tensor:
        prompts = self.class_prompts(self.template_features("tcp")).permute(1, 0, 2)  # [n, C, D_t]
        n, weight = len(prompts), self.settings["WEIGHT"]

        def before(number: int, x: Tensor) -> Tensor:
            if number not in self.settings["LAYERS"]:
                return x
            return torch.cat([x[:1], weight * prompts + (1 - weight) * x[1 : 1 + n], x[1 + n :]])

        return text_tower(self.clip, *self.with_context(self.prompts(), self.p["ctx"]), before)

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        text = self.encode_text()
        ce = F.cross_entropy(self.cosines(self.image_features(image), text), label)
        return {"ce": ce, "kg": self.settings["KG_WEIGHT"] * cosine_loss(text, self.template_features("tcp"))}
