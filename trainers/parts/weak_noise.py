"""ANPrompt's weak semantic noise: f_w of Eq. 2 from a language cache, and the noise prompts P_w by k-means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from yacs.config import CfgNode

from clipkit import InputError, derive_seed, normalize
from dassl.config.shown import data_name
from language import draw_pairs, source_for
from language.features import SentenceFeatures

if TYPE_CHECKING:
    from ..shared.method import Method


class WeakNoiseText:
    """Draws a main and a noise sentence for each class and fuses their frozen features.

    The draw depends on (seed, dataset, class name, role) alone, so a class gets the same sentences with any other
    classes and in any process (`SAMPLE_MODE: per_class`); `shared_index` draws one index for all classes.
    """

    def __init__(self, trainer: Method, cfg: CfgNode) -> None:
        joint = trainer.text_encoder.embed_dim
        if cfg.NOISE_DIM not in (0, joint):
            raise InputError(
                f"{trainer.node}.NOISE_DIM is {cfg.NOISE_DIM}, but must be {joint}, the joint dimension, or 0."
            )
        self.trainer, self.cfg = trainer, cfg
        self.dataset, self.seed = data_name(trainer.cfg), max(trainer.cfg.SEED, 0)
        names = [*trainer.described, *(self.every_name() if cfg.KMEANS_SET == "all" else ())]
        self.main = source_for(trainer.cfg, cfg.CACHE_MAIN, "main", names)
        self.noise = source_for(trainer.cfg, cfg.CACHE_NOISE, "noise", names)
        clip = (trainer.text_encoder, trainer.bank, trainer.precision, trainer.cfg.LANGUAGE.TOO_LONG)
        self.encode_main, self.encode_noise = SentenceFeatures(self.main, *clip), SentenceFeatures(self.noise, *clip)
        self.alpha = cfg.ALPHA if cfg.TEXT_NOISE else 0.0
        self._moment: tuple | None = None
        self._drawn: Tensor | None = None

    def sources(self) -> dict[str, dict[str, str]]:
        """The files and sources of the sentences, with their hashes, for the run's record."""
        both = (("main", self.main), ("noise", self.noise))
        return {role: {"source": s.name, "file": s.file, "sha256": s.sha256} for role, s in both}

    def sentences(self, names: list[str], moment: tuple = (), count: int = 1) -> tuple[list[str], list[str]]:
        """`count` main and noise sentences per class, class by class. moment: the epoch or step of a redraw."""
        seed = derive_seed(self.seed, *moment) if moment else self.seed
        shared = self.cfg.SAMPLE_MODE == "shared_index"
        pairs = [draw_pairs(self.main, self.noise, name, seed, count, shared) for name in names]
        return [text for main, _ in pairs for text in main], [text for _, noise in pairs for text in noise]

    def features(self, names: list[str], moment: tuple = (), count: int = 1) -> Tensor:
        """Eq. 2: f_w = F_t(m) + alpha F_t(n), normalised; [C * count, d] fp32."""
        main, noise = self.sentences(names, moment, count)
        return normalize(self.encode_main(main) + self.alpha * self.encode_noise(noise))

    def resampled(self, f_w: Tensor, epoch: int, step: int) -> Tensor:
        """f_w for this epoch and step: unchanged (`RESAMPLE: once`), or drawn anew each epoch or step.

        Tests always use the first draw, so that a checkpoint tested again gives the same numbers.
        """
        if self.cfg.RESAMPLE == "once":
            return f_w
        moment = (epoch,) if self.cfg.RESAMPLE == "epoch" else (epoch, step)
        if moment != self._moment:
            self._moment, self._drawn = moment, self.features(self.trainer.described, moment)
        return self._drawn

    def every_name(self) -> list[str]:
        """The names of all classes of the dataset, including those that are not in this run."""
        every = getattr(self.trainer.dm.dataset, "all_classnames", None)
        if every is None:
            raise InputError(f"{self.trainer.node}.KMEANS_SET all needs a dataset with all_classnames; take base.")
        return [name.replace("_", " ") for name in every]

    def prompts(self, names: list[str], f_w: Tensor) -> Tensor:
        """P_w [T, d] from the classes of the training run and their features [C, d], or from all of the dataset."""
        cfg = self.cfg
        if cfg.KMEANS_SET == "all":
            names = self.every_name()
            f_w = self.features(names)
        seed = self.trainer.cfg.SEED if cfg.KMEANS_SEED < 0 else cfg.KMEANS_SEED
        return noise_prompts(self, f_w, names, cfg, max(seed, 0))


def noise_prompts(weak_noise: WeakNoiseText, f_w: Tensor, names: list[str], cfg: CfgNode, seed: int) -> Tensor:
    """P_w [T, d]: the centres of k-means over f_w, largest cluster first (ties by the first coordinate).

    With fewer classes than tokens, several sentences per class are clustered: draws are added until there are ten times
    as many points as clusters, or no sentence is left.
    """
    from sklearn.cluster import KMeans  # imported here: it takes a second that other methods need not pay

    k, points = cfg.N_TOKENS, f_w
    if len(points) < k:
        most = max(weak_noise.main.most(names), weak_noise.noise.most(names))
        count = min(-(-10 * k // len(names)), most)
        points = torch.unique(weak_noise.features(names, ("kmeans",), count), dim=0)
        if len(points) < k:
            raise InputError(
                f"N_TOKENS is {k}, but the language cache gives only {len(points)} different noise features for these "
                f"{len(names)} classes; lower N_TOKENS or add descriptions."
            )
    data = points.double().cpu().numpy()
    if cfg.KMEANS_NORMALIZE:
        data /= np.linalg.norm(data, axis=1, keepdims=True)
    found = KMeans(k, init="k-means++", n_init=10, max_iter=300, random_state=seed % 2**32).fit(data)
    sizes = np.bincount(found.labels_, minlength=k)
    order = np.lexsort((found.cluster_centers_[:, 0], -sizes))
    return torch.from_numpy(found.cluster_centers_[order]).float()
