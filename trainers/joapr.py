"""JoAPR: Cleaning the Lens of Prompt Learning for Vision-Language Models (Guo and Gu, CVPR 2024)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit import InputError, derive_seed
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import base_seed

from .context import context_architecture
from .coop import CoOp
from .label_noise.decisions import Decision
from .label_noise.two_gaussians import clean_threshold, fit_two_gaussians, to_unit_range
from .parts.deciding_trainer import CleanBesideNoisy
from .parts.joapr_settings import CONFIG_DEFAULTS, CONFIG_DOMAINS, NODE, published, say_if_all_warm_up


@TRAINER_REGISTRY.register()
class JoAPR(CleanBesideNoisy, CoOp):
    """CoOp's prompts, trained on clean and noisy items, with targets refurbished by the model's own predictions.

    After W epochs of warm-up, a mixture of two Gaussians over the items' losses separates clean from noisy labels; each
    step has a batch of both.

    W, ALPHA1 and ALPHA2 are the published ones of each dataset, noise type and rate (`joapr_settings.py`). Type and
    rate are unknown in practice; RATE_INDEPENDENT takes (1, 0.5, 1) everywhere.
    """

    node = NODE
    config_defaults = CONFIG_DEFAULTS
    config_domains = CONFIG_DOMAINS
    losses = ()
    trains_on_features = True
    architecture = context_architecture(NODE)
    dataset_overrides = staticmethod(published)

    def build_model(self) -> None:
        super().build_model()
        say_if_all_warm_up(self.cfg)
        self.kappa = 0.5  # the estimated share of wrong labels
        self.losses_seen = torch.empty(0)  # [rounds, N]: losses of the last WINDOW rounds, scaled to [0, 1]

    # ------------------------------------------------------------------ which labels are clean

    def decide(self) -> Decision | None:
        """After the warm-up: an item is clean if its loss is below the threshold of the two Gaussians, or its posterior
        above kappa. The score is the posterior w of the clean Gaussian."""
        cfg, first = self.method_cfg(), self.epoch == self.method_cfg().W
        if self.epoch < cfg.W:
            return None
        items = self.training_list
        log_p = F.log_softmax(items.logits().double(), dim=1)
        log_p_y = log_p.gather(1, items.label[:, None])[:, 0]
        seen = self.average_loss(-log_p_y - (log_p.exp() * log_p).sum(dim=1))  # cross-entropy + entropy
        mixture = fit_two_gaussians(seen)
        w = mixture.posterior(seen)

        self.kappa = (w <= self.kappa).double().mean().item()
        clean_2 = w > self.kappa
        threshold = clean_threshold(mixture, cfg.THRESH_STD)
        clean = clean_2 if threshold is None else clean_2 | (seen < threshold)
        if clean.all() or not clean.any():
            clean = clean_2
        self.is_clean, self.weight = clean, (w if first else w * self.as_visited(log_p_y.exp())).float()
        self.write_scalar("train/kappa", self.kappa, self.epoch)
        return Decision(clean, w)

    def as_visited(self, p_y: Tensor) -> Tensor:
        """The items' probabilities [N]; with COMPAT released in the order in which a shuffled loader visits the items,
        so that an item's weight has the probability of another one, as in the released code."""
        if self.method_cfg().COMPAT != "released":
            return p_y
        seed = derive_seed(base_seed(self.cfg), "visited", self.epoch)
        return p_y[torch.randperm(len(p_y), generator=torch.Generator().manual_seed(seed)).to(p_y.device)]

    def average_loss(self, loss: Tensor) -> Tensor:
        """[N] losses of this round, scaled to [0, 1] over the items, averaged with those of the last rounds."""
        scaled = to_unit_range(loss)
        seen = torch.cat([self.losses_seen.to(scaled), scaled[None]]) if len(self.losses_seen) else scaled[None]
        self.losses_seen = seen[-self.method_cfg().WINDOW :]
        return self.losses_seen.mean(dim=0)

    # ------------------------------------------------------------------ loss

    def parse_batch_train(self, batch: dict) -> tuple:
        """(images or their features, labels, part, indices of the items). A step that mixes has images."""
        mixes = batch.get("part", "all") == "both" and self.mix(len(batch["img"]))[0] < 1
        if mixes and "pixels" in batch:
            batch = batch | {"img": batch["pixels"]()}
        return (*super().parse_batch_train(batch), batch["index"].to(self.device))

    def loss(
        self, image: Tensor, label: Tensor, part: str = "all", index: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Soft cross-entropy on refurbished targets + alpha_2 KL(uniform || mean prediction), both on mixed images.

        part "all": the warm-up. index: [B], which training items these are.
        """
        if part == "all":
            return super().loss(image, label)
        text = self.encode_text()
        logits = self.logits(self.encode_image(image), text).float()
        target, mixed = self.targets(logits.detach().softmax(dim=1), label, index), logits
        share, partner = self.mix(len(image))
        if share < 1:
            image, target = (share * x + (1 - share) * x[partner] for x in (image, target))
            mixed = self.logits(self.encode_image(image), text).float()
        log_p = F.log_softmax(mixed, dim=1)
        log_mean = log_p.logsumexp(dim=0) - math.log(len(log_p))
        return mixed, {
            "ce": -(target * log_p).sum(dim=1).mean(),
            "even": self.method_cfg().ALPHA2 * (-math.log(len(log_mean)) - log_mean.mean()),
        }

    def classification_loss(self, logits: Tensor, label: Tensor) -> dict[str, Tensor]:
        """Warm-up: CE + alpha_1 mean_i sum_c p_ic log p_ic, against confidence."""
        log_p = F.log_softmax(logits.float(), dim=1)
        penalty = (log_p.exp() * log_p).sum(dim=1).mean()
        return {"ce": F.nll_loss(log_p, label), "penalty": self.method_cfg().ALPHA1 * penalty}

    def targets(self, p: Tensor, label: Tensor, index: Tensor) -> Tensor:
        """[B, C] of the items `index` with predictions p. Clean: w onehot + (1 - w) p; noisy: p; both sharpened."""
        w = (self.weight * self.is_clean)[index][:, None]
        q = (w * F.one_hot(label, p.shape[1]) + (1 - w) * p) ** self.method_cfg().SHARPEN
        return q / q.sum(dim=1, keepdim=True)

    def mix(self, size: int) -> tuple[float, Tensor]:
        """An image's own share max(r, 1 - r), r ~ Beta(MIX_ALPHA, MIX_ALPHA), and its partner in the batch.

        Nearly always the share rounds to 1 in single precision: nothing is mixed then, and no image encoded twice.
        """
        seed = derive_seed(base_seed(self.cfg), "mix", self.epoch, self.batch_idx)
        alpha, rng = self.method_cfg().MIX_ALPHA, np.random.default_rng(seed)
        r = rng.beta(alpha, alpha)
        return float(np.float32(max(r, 1 - r))), torch.from_numpy(rng.permutation(size)).to(self.device)

    def extra_state(self) -> dict:
        return super().extra_state() | {"kappa": self.kappa, "losses_seen": self.losses_seen.cpu()}

    def load_extra_state(self, state: dict) -> None:
        super().load_extra_state(state)
        if "losses_seen" not in state:
            raise InputError(
                f"The checkpoint in {self.output_dir} does not hold the items' losses, without which JoAPR cannot go "
                "on; remove the folder to start again."
            )
        self.kappa, self.losses_seen = state["kappa"], state["losses_seen"].to(self.device)
