"""R-TPT: Improving Adversarial Robustness of Vision-Language Models through Test-Time Prompt Tuning (Sheng et al.,
CVPR 2025)."""

from __future__ import annotations

from dassl.engine import TRAINER_REGISTRY

from .tpt import TPT


@TRAINER_REGISTRY.register()
class RTPT(TPT):
    """TPT with the mean of the views' entropies as its loss, and a weighted sum of all views as its answer.

    H(mean_i p_i) = mean_i H(p_i) + mean_i KL(p_i || mean p): the first term is the loss, the second, which pulls clean
    views towards attacked ones, is dropped. The answer is sum_i w_i l_i(v1) over all n views, w the softmax of each
    view's mean similarity to its 20 nearest views: an attacked view has few similar ones.
    """

    own = {"LOSS": "pointwise", "ENSEMBLE": "reliability"}
