"""MMRL and ANPrompt: tokens inserted into the upper blocks of both towers, read back on the image side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from datasets.templates import custom_template

from .base import PlainMethod, cosine_loss
from .towers import Hook, frozen_image, insert_after_first, text_tower, vision_tokens


class InsertedTokens(PlainMethod):
    """The text and image towers with inserted tokens, which both methods use."""

    rep_proj = ""  # key of the matrix that projects the read-back tokens to the joint space

    def encode_text(self, prompts: dict[int, Tensor]) -> Tensor:
        """t [C, d], normalised: the dataset's template with the tokens after the start token."""
        template = custom_template(self.dataset)
        embeddings, eot = self.embed([template.format(name) for name in self.names])
        shifted = eot + len(prompts[min(prompts)])
        return F.normalize(text_tower(self.clip, embeddings, shifted, self.inserted(prompts)), dim=-1)

    def inserted(self, prompts: dict[int, Tensor]) -> Hook:
        return insert_after_first(prompts)

    def projection(self) -> Tensor:
        return self.p[self.rep_proj]

    def encode_image(self, image: Tensor, prompts: dict[int, Tensor]) -> tuple[Tensor, Tensor]:
        """Image features from CLS, and from the mean of the K inserted tokens; [B, d] each, normalised."""
        K = len(prompts[min(prompts)])
        tokens = vision_tokens(self.clip, image, before=self.inserted(prompts))
        from_cls = tokens[:, 0] @ self.clip.visual.proj
        from_rep = tokens[:, 1 : 1 + K].mean(dim=1) @ self.projection()
        return F.normalize(from_cls, dim=-1), F.normalize(from_rep, dim=-1)


class MMRL(InsertedTokens):
    """Guo and Gu, CVPR 2025. Also reads the settings TASK and SUBSAMPLE_CLASSES."""

    rep_proj = "image_encoder.proj_rep"

    def mapped(self, modality: str) -> dict[int, Tensor]:
        """{block: its K tokens}; modality is "v" or "t"."""
        start = f"representation_learner.compound_rep_tokens_r2{modality}proj."
        rep = self.p["representation_learner.compound_rep_tokens"]
        return {
            block: F.linear(rep, self.p[f"{start}{i}.weight"], self.p[f"{start}{i}.bias"])
            for i, block in enumerate(self.settings["REP_LAYERS"])
        }

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        alpha, weight = self.settings["ALPHA"], self.settings["REG_WEIGHT"]
        f_c, f_r = self.encode_image(image, self.mapped("v"))
        t = self.encode_text(self.mapped("t"))
        near = cosine_loss(f_c, frozen_image(self.clip, image)) + cosine_loss(t, self.template_features("coop"))
        return {
            "ce": alpha * F.cross_entropy(self.cosines(f_c, t), label),
            "ce_rep": (1 - alpha) * F.cross_entropy(self.cosines(f_r, t), label),
            "reg": weight * near,
        }

    def logits(self, image: Tensor) -> Tensor:
        """[B, C]: from CLS and the tokens if the classes are those of training, else from CLS alone."""
        f_c, f_r = self.encode_image(image, self.mapped("v"))
        t = self.fixed("text at test", lambda: self.encode_text(self.mapped("t")))
        z, z_r = self.cosines(f_c, t), self.cosines(f_r, t)
        task, alpha = self.settings["TASK"], self.settings["ALPHA"]
        unseen = {"B2N": self.settings["SUBSAMPLE_CLASSES"] == "new", "CD": self.dataset != "ImageNet", "FS": False}
        return z if unseen[task] else alpha * z + (1 - alpha) * z_r


class MMRLpp(MMRL):
    """Guo and Gu: MMRL with shared, low-rank maps, and tokens that keep a share of the former ones."""

    def mapped(self, modality: str) -> dict[int, Tensor]:
        start = f"representation_learner.srra_r2{modality}proj."
        rep, found = self.p["representation_learner.compound_rep_tokens"], {}
        for i, block in enumerate(self.settings["REP_LAYERS"]):
            a, b, bias = (self.p[f"{start}srra.{i}.{key}"] for key in ("A", "B", "bias"))
            found[block] = rep @ self.p[start + "weight"].t() + rep @ b.t() @ a.t() + bias
        return found

    def projection(self) -> Tensor:
        return self.clip.visual.proj + self.p["image_encoder.A"] @ self.p["image_encoder.B"]

    def inserted(self, prompts: dict[int, Tensor]) -> Hook:
        first, beta = min(prompts), self.settings["BETA"]
        put_in = insert_after_first({first: prompts[first]})

        def before(number: int, x: Tensor) -> Tensor:
            if number == first or number not in prompts:
                return put_in(number, x)
            new = prompts[number].unsqueeze(1)
            k = len(new)
            return torch.cat([x[:1], beta * new + (1 - beta) * x[1 : 1 + k], x[1 + k :]])

        return before


class ANPrompt(InsertedTokens):
    """Gao et al. 2025, arXiv 2508.04677, with the default choices of docs/anprompt.md.

    texts: (main sentences, noise sentences), one a class. `noise_ctx` of the state is P_w.
    """

    rep_proj = "nrvpp_proj"
    buffers = ("noise_ctx",)

    def projected(self, side: str) -> dict[int, Tensor]:
        """{block: FC(P_a)}; side is "visual" or "text"."""
        p_a = self.p["ctx"] + self.settings["EPS"] * self.p["noise_ctx"]  # Eq. 8
        weights = [(self.p[f"{side}_fc.{i}.weight"], self.p[f"{side}_fc.{i}.bias"]) for i in range(self.count(side))]
        layers: Sequence[int] = sorted(self.settings["IN_LAYERS"])
        return {block: F.linear(p_a, *weights[i % len(weights)]) for i, block in enumerate(layers)}

    def count(self, side: str) -> int:
        return sum(key.startswith(f"{side}_fc.") and key.endswith(".weight") for key in self.p)

    def noise_text(self) -> Tensor:
        """f_w [C, d], Eq. 2, normalised."""
        main, noise = (self.fixed(f"f_{i}", lambda i=i: self.frozen_features(self.texts[i])) for i in range(2))
        return F.normalize(main + self.settings["ALPHA"] * noise, dim=-1)

    def encode_text(self, prompts: dict[int, Tensor] | None = None) -> Tensor:
        return super().encode_text(prompts or self.projected("text"))

    def all_logits(
        self, image: Tensor, text: Callable[[], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]:
        """l_A, l_W, l_final, and the pair (f_v, f_t)."""
        f_v, f_N = self.encode_image(image, self.projected("visual"))
        f_t, f_w = text(), self.noise_text()
        l_A, l_R, l_W = self.cosines(f_v, f_t), self.cosines(f_v, f_w), self.cosines(f_N, f_w)
        theta = self.settings["THETA"]
        return l_A, l_W, theta * l_A + (1 - theta) * l_R, (f_v, f_t)

    def logits(self, image: Tensor) -> Tensor:
        return self.all_logits(image, lambda: self.fixed("text at test", self.encode_text))[2]

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        l_A, l_W, l_final, (f_v, f_t) = self.all_logits(image, self.encode_text)
        near = cosine_loss(f_v, frozen_image(self.clip, image)) + cosine_loss(f_t, self.template_features("coop"))
        gamma = 1.0 / (torch.std(l_A) * l_A.numel() + self.settings["EPS0"])  # Eq. 7
        kl = (l_A.softmax(-1) * (l_A.log_softmax(-1) - l_W.log_softmax(-1))).sum()  # Eq. 6
        return {
            "ce": F.cross_entropy(l_final, label),
            "sim": self.settings["SIM_W"] * near,
            "wa": self.settings["WA_W"] * gamma * kl,
        }
