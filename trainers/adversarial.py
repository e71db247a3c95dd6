"""Adversarial training as a mix-in for other methods: prompts are learned on pictures that PGD attacks in each step.

`adversarial(Host)` makes a method of its own: the host, whose loss gets x' instead of x (Madry et al., ICLR 2018; with
prompts: APT, Li et al., CVPR 2024). Attacks run in fp32 in any precision of the run, since the gradients of confident
images underflow in half precision.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from clipkit import InputError, normalize
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import base_seed

from .anprompt import ANPrompt
from .base import PromptTrainer
from .coop import CoOp
from .ivlp import IVLP
from .maple import MaPLe
from .parts.aware_loss import aware_loss
from .parts.training_attack import (
    CONFIG_DEFAULTS,
    CONFIG_DOMAINS,
    TrainingAttack,
    attack_precision,
    attack_seeds,
    eps_of_tower,
)
from .vpt import VPT

logger = logging.getLogger(__name__)


class Adversarial(PromptTrainer):
    """The mix-in: stands before the host in the method resolution order."""

    host: type[PromptTrainer]
    preset = "apt4"  # what TRAIN_ATTACK.PRESET auto means
    reuse_text = True  # one text forward for the inner attack and the loss, where the text does not change between
    _in_step = _attacking = False
    images_read_no_names = True  # if the host's do not, either
    _text: Tensor | None = None

    @classmethod
    def dataset_overrides(cls, cfg: CfgNode) -> dict:
        """The host's settings for the dataset, except the number of epochs, which the config sets."""
        return {key: v for key, v in super().dataset_overrides(cfg).items() if key != "OPTIM.MAX_EPOCH"}

    @functools.cached_property
    def precision(self) -> str:
        return attack_precision(self.method_cfg().PREC, self.device)

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        usual = all(
            getattr(self.host, name) is getattr(PromptTrainer, name) for name in ("test_logits", "image_logits")
        )
        if cfg.TRAIN_ATTACK.OBJECTIVE == "fap" and not usual:
            raise InputError(
                f"TRAIN_ATTACK.OBJECTIVE fap compares image features with class features, but {cfg.TRAINER.NAME} "
                "answers otherwise; leave it at host."
            )

    def build_model(self) -> None:
        self.inner = TrainingAttack.from_cfg(self.cfg, self.preset)
        super().build_model()
        if self.model is None:
            raise InputError(
                f"{self.host.__name__} is not trained, so it has no adversarial training; choose another method."
            )
        normalised = "normalize" in self.cfg.INPUT.TRANSFORMS
        given = (self.cfg.INPUT.PIXEL_MEAN, self.cfg.INPUT.PIXEL_STD) if normalised else ([0.0] * 3, [1.0] * 3)
        self.mean, self.std = (torch.tensor(x, device=self.device).view(-1, 1, 1) for x in given)
        own = self.cfg.TRAIN_ATTACK
        self.record["train_attack"] = self.inner.told() | {"prompt": own.PROMPT}
        if own.OBJECTIVE == "fap":
            self.record["train_attack"] |= {"objective": "fap", "lambda": own.LAMBDA}
        tower = self.cfg.MODEL.BACKBONE.get("VISUAL_WEIGHTS", "")
        if (eps := eps_of_tower(tower)) is not None and abs(eps - 255 * self.inner.eps) > 1e-6:
            logger.warning(
                "Warning: the image tower's file says eps %g, but TRAIN_ATTACK trains at %g", eps, 255 * self.inner.eps
            )

    # ------------------------------------------------------------------ the step

    def parse_batch_train(self, batch: dict) -> tuple[Tensor, ...]:
        image, label, *more = super().parse_batch_train(batch)
        return image, label, batch["index"], *more

    def loss(self, image: Tensor, label: Tensor, items: Tensor, *more: object) -> tuple[Tensor, dict[str, Tensor]]:
        """The host's loss of the attacked pictures; clean ones are not trained on. items: the pictures' indices. With
        OBJECTIVE fap: FAP's loss of both."""
        if self.cfg.TRAIN_ATTACK.OBJECTIVE == "fap":
            return aware_loss(self, image, label, items, self.cfg.TRAIN_ATTACK.LAMBDA)
        with self.one_step():
            return super().loss(self.attacked(image, label, items), label, *more)

    def attacked(self, image: Tensor, label: Tensor, items: Tensor, clean: Tensor | None = None) -> Tensor:
        """The attacked pictures [B, 3, h, w], normalised as `image` is. clean: logits [B, C] of `image`, for the loss
        `kl`; None: computed here."""
        image = image.float()
        x = (image * self.std + self.mean).clamp(0, 1)
        prompts = list(self.model.parameters()) if self.cfg.TRAIN_ATTACK.PROMPT == "perturbed" else []
        before = [p.detach().clone() for p in prompts]
        with self.attacking():
            target = None
            if self.inner.loss == "kl":
                target = (self.attack_logits(image) if clean is None else clean).detach().float().log_softmax(1)

            def gradient(seen: Tensor) -> Tensor:
                leaf = seen.detach().requires_grad_()
                logits = self.attack_logits((leaf - self.mean) / self.std)
                if target is None:
                    loss = F.cross_entropy(logits, label)
                else:
                    loss = F.kl_div(logits.log_softmax(1), target, reduction="batchmean", log_target=True)
                found, *ascent = torch.autograd.grad(loss, [leaf, *prompts], allow_unused=True)
                for p, g in zip(prompts, ascent, strict=True):
                    p.data.add_(0 if g is None else g, alpha=self.cfg.TRAIN_ATTACK.PROMPT_STEP)
                return found

            adversarial = self.inner.run(x, gradient, attack_seeds(base_seed(self.cfg), self.epoch, items.tolist()))
        for p, value in zip(prompts, before, strict=True):
            p.data.copy_(value)
        return image + (adversarial - x) / self.std

    def attack_logits(self, image: Tensor) -> Tensor:
        """The method's own answer [B, C] for normalised pictures, with a gradient to them."""
        return self.test_logits(image)[self.answer_name].float()

    @contextmanager
    def one_step(self) -> Iterator[None]:
        """A context in which text features are computed once for all attack steps, unless the attack changes
        prompts."""
        self._in_step = self.reuse_text and self.cfg.TRAIN_ATTACK.PROMPT != "perturbed" and self.precision == "fp32"
        try:
            yield
        finally:
            self._in_step, self._text = False, None

    @contextmanager
    def attacking(self) -> Iterator[None]:
        """A context for the attack: fp32, a gradient to the picture, and none to the text unless it perturbs
        prompts."""
        self._attacking = True
        try:
            with torch.enable_grad(), torch.autocast(self.device.type, enabled=False):
                yield
        finally:
            self._attacking = False

    def encode_text(self) -> Tensor:
        prompt = self.cfg.TRAIN_ATTACK.PROMPT
        if self._attacking and prompt == "fixed":
            return self.fixed_text
        if self._in_step:
            self._text = super().encode_text() if self._text is None else self._text
            return self._text.detach() if self._attacking else self._text
        text = super().encode_text()
        return text.detach() if self._attacking and prompt == "current" else text

    @functools.cached_property
    def fixed_text(self) -> Tensor:
        """[C, d] of "a photo of a NAME" without a full stop, underscores kept."""
        return self.frozen_text([f"a photo of a {name}" for name in self.dm.dataset.classnames])

    def prompted_image(self, image: Tensor) -> Tensor:
        """The host's; of a frozen tower with a gradient to the picture in an attack."""
        if self._attacking and self.frozen_image_encoder:
            return self.image_encoder(image.type(self.image_encoder.dtype)).float()
        return super().prompted_image(image)

    def frozen_image(self, image: Tensor) -> Tensor:
        """CLIP's own features; in an attack with a gradient to the picture."""
        if not self._attacking:
            return super().frozen_image(image)
        return normalize(self.image_encoder(image.type(self.image_encoder.dtype)).float())


def adversarial(host: type[PromptTrainer], name: str = "") -> type[PromptTrainer]:
    """The method <Host>AT (or `name`), registered; building it for a host that is not trained is an InputError."""
    name = name or f"{host.__name__}AT"
    if name in TRAINER_REGISTRY.registered_names():
        return TRAINER_REGISTRY.get(name)
    body = {
        "__doc__": f"{host.__name__}, trained on pictures attacked in each step.",
        "__module__": __name__,
        "host": host,
        "config_defaults": {**host.config_defaults, **CONFIG_DEFAULTS},
        "config_domains": {**host.config_domains, **CONFIG_DOMAINS},
    }
    return TRAINER_REGISTRY.register()(type(name, (Adversarial, host), body))


CoOpAT, MaPLeAT, ANPromptAT = map(adversarial, (CoOp, MaPLe, ANPrompt))
AdvIVLP, AdvVPT = adversarial(IVLP, "AdvIVLP"), adversarial(VPT, "AdvVPT")
