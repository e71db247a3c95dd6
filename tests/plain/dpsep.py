"""DPSEP as its paper's equations stand: every prompt of both polarities through the stock text tower."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .coop import CoOp
from .towers import text_tower


class DPSEP(CoOp):
    """Eq. 1 to 6 under the default settings. `wrong`, `delta` and `progress` are the step's: see `same_draw`."""

    wrong: Sequence[int] | Tensor  # [C]: a wrong class for each
    delta: Callable[[Tensor], Tensor]  # [B, C] -> [B, C], the perturbation
    progress: float  # share of the epochs, this one included

    def prompts(self) -> list[str]:
        return self.prompt_texts(len(self.p["ctx_pos"]), str(self.settings["CTX_INIT"] or ""))

    def encode_text(self, polarity: str = "pos") -> Tensor:
        return text_tower(self.clip, *self.with_context(self.prompts(), self.p[f"ctx_{polarity}"]))

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        s, f = self.settings, self.image_features(image)
        pos, neg = (self.cosines(f, self.encode_text(polarity)) for polarity in ("pos", "neg"))
        p = pos.softmax(dim=1)
        perturbed = p + self.delta(p)
        floor = torch.tensor(1e-6).log()
        entropy = -(p * p.log() + (perturbed - p) * p.log().clamp_min(floor)).sum(dim=1).mean()  # Eq. 5
        s_pos = torch.stack([row[y] for row, y in zip(p, label.tolist(), strict=True)])
        s_neg = torch.stack(
            [row[int(self.wrong[y])] for row, y in zip(neg.softmax(dim=1), label.tolist(), strict=True)]
        )
        alpha = s["ALPHA_MIN"] + (1 - s["ALPHA_MIN"]) * self.progress
        return {
            "ce": F.cross_entropy(pos, label),
            "sep": s["SEP_LAMBDA"] * entropy,
            "a_pos": F.relu(s["MU_POS"] - s_pos).mean(),  # Eq. 2
            "a_neg": alpha * F.relu(s_neg - s_pos + s["MU_NEG"]).mean(),  # Eq. 3
            "m_c": s["BETA"] * F.relu(s_neg - s_pos).mean(),  # Eq. 4
        }
