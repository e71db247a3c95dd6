"""The regulariser of SAR, Similarity Alignment Regularization (arXiv 2502.11969): Eq. 3 to 5 of the paper."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit import derive_seed


class SimilarityAlignment:
    """Keeps the similarities among N class embeddings close to those under hand-written prompts.

    gram: [N, N] cosine similarities of the targets E (fixed). tau: temperature. sample_size: s of Eq. 4, the other
    classes that a row is compared over; 0: all of them (Eq. 3). seed: of the index sets, which depend on it, the epoch
    and the step alone. target_first: KL(P || P~), the fixed target first; False: KL(P~ || P).
    """

    def __init__(self, gram: Tensor, tau: float, sample_size: int, seed: int, target_first: bool = True) -> None:
        self.gram, self.tau, self.seed, self.target_first = gram, tau, seed, target_first
        others = len(gram) - 1
        self.sample_size = min(sample_size, others) if sample_size > 0 else others

    def index_sets(self, epoch: int, step: int) -> Tensor:
        """I_i of Eq. 4: [N, s], for each row i a draw of s other indices, uniform and without repetition."""
        n = len(self.gram)
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "similarity", epoch, step))  # on the CPU
        order = torch.rand(n, n, generator=generator).to(self.gram.device).fill_diagonal_(-1.0)
        return order.topk(self.sample_size, dim=1).indices

    def __call__(self, learned: Tensor, epoch: int, step: int) -> Tensor:
        """L_SAR (Eq. 5): mean over rows of the KL divergence between the two similarity distributions.

        learned: [N, d], E~, normalised. The gradient flows through it alone.
        """
        index = self.index_sets(epoch, step)
        with torch.autocast(learned.device.type, enabled=False):
            similarity = learned.float() @ learned.float().t()
            log_p = F.log_softmax(self.gram.gather(1, index) / self.tau, dim=1)
            log_q = F.log_softmax(similarity.gather(1, index) / self.tau, dim=1)
        if not self.target_first:
            log_p, log_q = log_q, log_p
        return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


def similarity_distribution(embeddings: Tensor, tau: float) -> Tensor:
    """P of Eq. 3: [N, N] from normalised [N, d]; rows sum to 1 over the other classes, the diagonal is 0."""
    similarity = embeddings @ embeddings.t() / tau
    return similarity.fill_diagonal_(float("-inf")).softmax(dim=1)
