"""DeFT (Wei et al., NeurIPS 2024), its first phase."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import PlainMethod
from .towers import replace_last, text_tower, vision_tower


class DeFT(PlainMethod):
    """epoch: from 0; other_of: labels [B] -> for each a class that it is not (set by `same_draw`)."""

    epoch = 0
    other_of: Callable[[Tensor], Tensor]

    def text(self, which: str) -> Tensor:
        ctx = self.p[f"prompt_learner.{which}_ctx"]
        return text_tower(self.clip, *self.with_context(self.prompt_texts(len(ctx), ""), ctx))

    def image_features(self, image: Tensor) -> Tensor:
        """Tokens are appended to what leaves ln_pre, and cut off and appended again before every further block."""
        start = "tuner.vpt_list."
        prompts = {int(key[len(start) :].split(".")[0]) + 1: p for key, p in self.p.items() if key.startswith(start)}
        later = replace_last({b: p for b, p in prompts.items() if b > 1})

        def before(number: int, x: Tensor) -> Tensor:
            if number > 1:
                return later(number, x)
            return torch.cat([x, prompts[1].unsqueeze(1).expand(-1, x.shape[1], -1)])

        return vision_tower(self.clip, image, None, before)

    def logits(self, image: Tensor) -> Tensor:
        return self.cosines(self.image_features(image), self.text("pos"))

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        f = self.image_features(image)
        z = self.cosines(f, self.text("pos"))
        z_neg = self.cosines(f.detach(), self.text("neg"))
        real, warm = self.settings["VARIANT"] == "real", self.epoch < self.settings["WARMUP"]
        negative, positive, clean, other = [], [], [], self.other_of(label)
        first = self.epoch == 0 if real else warm
        for i, y in enumerate(label.tolist()):
            yes = torch.exp(z[i].detach()) / (torch.exp(z[i].detach()) + torch.exp(z_neg[i]))
            is_clean = bool(yes[y] > 0.5) and not (real and yes.argmax() != y)
            k = y if first or is_clean else int(z[i].argmax())
            negative.append(-torch.log(torch.clamp(1 - yes[other[i]], 1e-5, 1)))
            positive.append(-torch.log(torch.clamp(yes[k], 1e-5, 1)))
            clean += [i] if is_clean else []
        neg = torch.stack(negative).mean() + torch.stack(positive).mean()
        if not warm:
            cls = F.cross_entropy(z[clean], label[clean]) if clean else 0 * z.sum()
        else:
            cls = F.cross_entropy(z, label)
            if real:
                log_target = torch.log(F.one_hot(label, z.shape[1]).float().clamp(min=1e-4))
                cls = cls - (z.softmax(1) * log_target).sum(1).mean()
        return {"cls": cls, "neg": neg}
