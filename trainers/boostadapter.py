"""BoostAdapter: Improving Vision-Language Test-Time Adaptation via Regional Bootstrapping (Zhang et al., NeurIPS
2024)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from dassl.engine import TRAINER_REGISTRY

from .tda import TDA, Caches
from .tta.feature_cache import Entry
from .tta.trainer import TestTimeTrainer
from .tta.view_ensemble import confident, entropy


@TRAINER_REGISTRY.register()
class BoostAdapter(TDA):
    """TDA on 64 views: each image reads the positive cache extended by its own most confident views.

    These views go into a copy of the cache by the cache's rule, each under its own prediction, and the copy is dropped
    afterwards. The paper itself was not available: constants are TDA's, the rest follows a description of the method.
    """

    def n_views(self) -> int:
        return TestTimeTrainer.n_views(self)

    def read(self, state: Caches, f: Tensor) -> Tensor:
        boosted = state.positive.copy()
        logits = self.cosine_logits(f)
        chosen = confident(logits[None], self.method_cfg().SELECTION_P)[0].tolist()
        labels = logits[chosen].argmax(dim=1).tolist()
        entropies = torch.stack([entropy(logits[i]) for i in chosen]).tolist()
        for i, label, h in zip(chosen, labels, entropies, strict=True):
            boosted.add(label, Entry(f[i], h, F.one_hot(torch.tensor(label), logits.shape[1]).to(logits)))
        return super().read(Caches(boosted, state.negative), f)
