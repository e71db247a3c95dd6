"""ProMetaR: Prompt Learning via Meta-Regularization (Park et al., CVPR 2024)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F
from yacs.config import CfgNode

from clipkit import InputError, derive_seed, normalize
from dassl.engine import TRAINER_REGISTRY
from dassl.metrics import compute_accuracy
from dassl.optim import build_optimizer
from dassl.utils.finite import check_loss

from .ivlp import IVLP, VLPromptLearner
from .parts.episode import Episode, draw_episode
from .parts.gradient_network import GradientNetwork
from .parts.prometar_config import CONFIG_DEFAULTS, CONFIG_DOMAINS, N
from .parts.template_mean import template_mean

TEXT_WEIGHT, IMAGE_WEIGHT = 50.0, 20.0  # of the regularisers R_t and R_v


class FunctionalLearner(VLPromptLearner):
    """IVLP's prompts; `functional_call` on it runs a computation with other tensors in their place."""

    def forward(self, compute: Callable[[], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        return compute()


@TRAINER_REGISTRY.register()
class ProMetaR(IVLP):
    """IVLP whose regularisers' gradients are weighted value by value by a network V. V learns from how much a step on
    some classes of a batch (the support) helps on another class (the query).

    Two optimizer steps per batch share one momentum: along the modulated gradient of the whole batch, and along that of
    the query loss after an inner step on the support, with second derivatives. V is not used at test: only checkpoints
    of unfinished runs hold it.
    """

    node = "TRAINER.PROMETAR"
    config_defaults = CONFIG_DEFAULTS
    config_domains = CONFIG_DOMAINS
    architecture = tuple(N + key.rpartition(".")[2] for key in IVLP.architecture)

    @classmethod
    def dataset_overrides(cls, cfg: CfgNode) -> dict:
        return {}

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        if cfg.TRAINER.PROMETAR.PREC == "amp":
            raise InputError(
                f"{N}PREC amp scales the loss, which ProMetaR's second derivatives do not allow: take fp32 or fp16."
            )

    def build_learner(self) -> FunctionalLearner:
        self.w = template_mean(self)
        learner = super().build_learner()
        return FunctionalLearner(learner.prompt_learner, learner.image_encoder, learner.text_encoder)

    def build_model(self) -> None:
        super().build_model()
        own = dict(self.model.named_parameters())
        self.vnet = GradientNetwork(own, self.method_cfg().DIM_RATE, N + "DIM_RATE").to(self.device)
        settings = self.cfg.OPTIM.clone()
        settings.defrost()
        settings.NAME, settings.LR, settings.STAGED_LR = "sgd", self.method_cfg().VNET_LR, False
        self.vnet_optim = build_optimizer(self.vnet, settings)

    def terms(self, text: Tensor, f: Tensor, f0: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits [B, C], and {L_ce, R_t, R_v}, from text features [C, d], image features f [B, d] and frozen CLIP's f0
        [B, d]."""
        logits = self.logits(f, text)
        return logits, {
            "ce": F.cross_entropy(logits, label),
            "text": TEXT_WEIGHT * F.l1_loss(text, self.w),
            "image": IMAGE_WEIGHT * F.l1_loss(f, f0),
        }

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return self.terms(self.encode_text(), self.encode_image(image), self.frozen_image(image), label)

    def modulated(self, terms: Mapping[str, Tensor], create_graph: bool) -> dict[str, Tensor]:
        """{name: g = a + gamma r}: a the gradient of L_ce, r that of R_t in text tensors and of R_v in visual ones."""
        own = dict(self.model.named_parameters())
        options = {"retain_graph": True, "create_graph": create_graph}
        a = torch.autograd.grad(terms["ce"], list(own.values()), **options)
        r = torch.autograd.grad(terms["text"] + terms["image"], list(own.values()), **options)
        return self.vnet(dict(zip(own, a, strict=True)), dict(zip(own, r, strict=True)))

    def episode(self, label: Tensor) -> Episode | None:
        """Drawn by seed, epoch and step; None for a batch of one class."""
        cfg, seed = self.method_cfg(), derive_seed(max(self.cfg.SEED, 0), "episode", self.epoch, self.batch_idx)
        return draw_episode(label, seed, cfg.MIXUP_ALPHA, cfg.MIXUP_BETA)

    def query_loss(self, image: Tensor, label: Tensor, f0: Tensor, episode: Episode) -> Tensor:
        """The loss of mixed query and support images after an inner step on the support; a scalar with its graph."""
        cfg, (query, support, partner, share) = self.method_cfg(), episode
        _, terms = self.terms(self.encode_text(), self.encode_image(image[support]), f0[support], label[support])
        g = self.modulated(terms, create_graph=not cfg.FAST_ADAPTATION)
        adapted = {name: p - cfg.ADAPT_LR * g[name] for name, p in self.model.named_parameters()}
        both = image[torch.cat([query, partner])]
        text, f = functional_call(self.model, adapted, (lambda: (self.encode_text(), self.prompted_image(both)),))
        f_q, f_s = f.chunk(2)
        logits = self.logits(normalize(share[:, None] * f_q + (1 - share[:, None]) * f_s), text)
        ce = (F.cross_entropy(logits, label[index], reduction="none") for index in (query, partner))
        return cfg.LR_RATIO * sum(s * each for s, each in zip((share, 1 - share), ce, strict=True)).mean()

    def forward_backward(self, batch: dict) -> dict[str, float]:
        image, label = self.parse_batch_train(batch)
        f0 = self.frozen_image(image)
        logits, terms = self.terms(self.encode_text(), self.encode_image(image), f0, label)
        summary = {"loss": sum(terms.values()), "acc": compute_accuracy(logits, label)[0].squeeze()}
        summary |= {f"loss_{name}": term for name, term in terms.items()}
        numbers = torch.stack([value.detach().float() for value in summary.values()]).tolist()  # one transfer
        values = dict(zip(summary, numbers, strict=True))
        check_loss(self, values["loss"], {name: x for name, x in values.items() if "loss_" in name})
        for name, g in self.modulated(terms, create_graph=False).items():
            self.model.get_parameter(name).grad = g.detach()
        self.optim.step()
        if (episode := self.episode(label)) is not None:
            for optimizer in (self.optim, self.vnet_optim):
                optimizer.zero_grad()
            self.query_loss(image, label, f0, episode).backward()
            for optimizer in (self.optim, self.vnet_optim):
                optimizer.step()
        self._kept.clear()
        if self.batch_idx + 1 == self.num_batches:
            self.update_lr()
        return values

    def extra_state(self) -> dict:
        state = {"vnet": self.vnet.state_dict(), "vnet_optim": self.vnet_optim.state_dict()}
        return super().extra_state() | ({} if self.epoch + 1 == self.max_epoch else state)

    def load_extra_state(self, state: dict) -> None:
        super().load_extra_state(state)
        if "vnet" in state:
            self.vnet.load_state_dict(state["vnet"])
            self.vnet_optim.load_state_dict(state["vnet_optim"])
