"""LP++: A Surprisingly Strong Linear Probe for Few-Shot CLIP (Huang et al., CVPR 2024)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import InputError, normalize
from dassl.config.domains import choice, whole
from dassl.engine import TRAINER_REGISTRY

from .parts.best_epoch import BestEpoch
from .parts.frozen_features import classifier, training_features
from .shared.domains import declare
from .shared.known_classes import KnownClasses

N = "TRAINER.LPPP."


class Probe(KnownClasses):
    """`fc`, the linear probe, and `alpha_vec` [C], the weight of each class's text feature."""

    class_tensors = ("fc.weight", "fc.bias", "alpha_vec")

    def __init__(self, names: list[str], dim: int) -> None:
        super().__init__(names)
        self.fc = nn.Linear(dim, len(names))
        self.alpha_vec = nn.Parameter(torch.ones(len(names)))


@TRAINER_REGISTRY.register()
class LPpp(BestEpoch):
    """A linear probe added to the text classifier, with a learned weight for each class's text, trained on all
    features at once; learning rates and start values are computed from the features, so none is searched.

    Each of OPTIM.MAX_EPOCH epochs is one step. It predicts only the classes that it was trained on: its logits have
    another scale than zero-shot CLIP's, so the two cannot be combined for new classes. `SELECT`: the last epoch of best
    accuracy on few-shot validation images (at most 4 a class), or on as many as there are shots, as published
    ("val_shots"), or the last epoch. `ALPHA_GRAD` "accumulated": gradients of alpha are summed from the first epoch
    on, as in the published code; "last": only that of the epoch itself.
    """

    node = "TRAINER.LPPP"
    registered_name = "linear_probe"
    config_defaults = {
        N + "SELECT": "val_fewshot",
        N + "ALPHA_GRAD": "accumulated",
        N + "ALPHA_EVERY": 10,
        N + "PREC": "fp16",
    }
    config_domains = declare(
        config_defaults,
        {
            "SELECT": choice("val_fewshot", "val_shots", "last"),
            "ALPHA_GRAD": choice("accumulated", "last"),
            "ALPHA_EVERY": whole(1),
        },
    )
    later_wins = True

    def build_learner(self) -> Probe:
        self.w = classifier(self, self.classnames)
        self.alpha_grad = torch.zeros(len(self.classnames), device=self.device)
        return Probe(self.classnames, self.text_encoder.embed_dim)

    def build_scheduler(self) -> None:
        """The rates stay as they are computed."""

    def encode_text(self) -> Tensor:
        return self.w

    def image_logits(self, features: Tensor) -> Tensor:
        """W f + b + alpha_c (f . t_c), [B, C], without a temperature."""
        f = features.float()
        with torch.autocast(self.device.type, enabled=False):
            rows = torch.tensor(self.known_rows(), device=self.device)
            fc, alpha = self.model.fc, self.model.alpha_vec[rows]
            return F.linear(f, fc.weight[rows], fc.bias[rows]) + alpha * (f @ self.w.t())

    def known_rows(self) -> list[int]:
        """The row of each class of this run. Raises InputError where one has none."""
        rows = self.model.rows(self.classnames)
        if -1 in rows:
            raise InputError(
                f"LPpp has a row for each class that it was trained on, and {self.classnames[rows.index(-1)]!r} is "
                "none of them; test it on its training classes."
            )
        return rows

    def load_model(self, directory: str, epoch: int | None = None) -> None:
        super().load_model(directory, epoch)
        self.known_rows()

    # ------------------------------------------------------------------ training

    def before_train(self) -> None:
        """The rates are 4 n / lambda_max(F^T F) for W and b, n / (4 max_c sum_i (f_i . t_c)^2) for alpha."""
        super().before_train()
        features, self.y = training_features(self, 1)
        self.f, n = normalize(features), len(features)
        self.optim.param_groups[0]["lr"] = (4 * n / torch.linalg.eigvalsh(self.f.t() @ self.f)[-1]).item()
        self.alpha_rate = (n / (4 * (self.f @ self.w.t()).pow(2).sum(0).max())).item()
        if self.start_epoch == 0:
            self.start()

    @torch.no_grad()
    def start(self) -> None:
        """W_c is the sum of the class's features; alpha 250 times the mean over classes of their mean cosine."""
        member = F.one_hot(self.y, len(self.classnames)).float()  # [n, C]
        self.model.fc.weight.copy_(member.t() @ self.f)
        mean = (member * (self.f @ self.w.t())).sum(0) / member.sum(0).clamp(min=1)
        self.model.alpha_vec.fill_(250 * mean[member.sum(0) > 0].mean())

    def _batches(self) -> Iterator[tuple]:
        self.num_batches = 1
        yield ({"img": self.f, "label": self.y},)

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """image: features [n, d], or pictures."""
        logits = self.image_logits(image if image.ndim == 2 else self.encode_image(image))
        return logits, {"ce": F.cross_entropy(logits, label)}

    def backward(self, terms: dict[str, Tensor]) -> Tensor:
        """The optimizer, SGD with momentum, gets the gradients of W and b; that of alpha is handled by `end_step`."""
        loss, alpha = super().backward(terms), self.model.alpha_vec
        kept = self.alpha_grad if self.method_cfg().ALPHA_GRAD == "accumulated" else 0
        self.alpha_grad, alpha.grad = kept + alpha.grad, None
        return loss

    @torch.no_grad()
    def end_step(self) -> None:
        if (self.epoch + 1) % self.method_cfg().ALPHA_EVERY == 0:
            self.model.alpha_vec -= self.alpha_rate * self.alpha_grad

    def after_epoch(self) -> None:
        if self.method_cfg().SELECT != "last":
            self.choose_epoch(self.method_cfg().SELECT, N + "SELECT")
        super().after_epoch()

    def extra_state(self) -> dict:
        return super().extra_state() | {"alpha_grad": self.alpha_grad}

    def load_extra_state(self, state: dict) -> None:
        super().load_extra_state(state)
        self.alpha_grad = state["alpha_grad"].to(self.device)
