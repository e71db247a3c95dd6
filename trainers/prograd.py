"""ProGrad: Prompt-aligned Gradient for Prompt Tuning (Zhu et al., ICCV 2023)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit import ContextPrompts, InputError
from clipkit.tokenizer import tokenizer_of
from dassl.config.domains import NOT_NEGATIVE, POSITIVE
from dassl.engine import TRAINER_REGISTRY
from dassl.engine.gradients import without_conflict
from datasets.templates import custom_template

from .context import context_words, start_context
from .coop import CoOp, PromptLearner
from .label_noise.robust_losses import NAME
from .shared.domains import declare


@TRAINER_REGISTRY.register()
class ProGrad(CoOp):
    """CoOp that never steps against zero-shot CLIP: from the gradient of the cross-entropy, the part is removed that
    opposes the gradient of the divergence from the predictions of hand-written prompts.

    With any `CTX_INIT` the last tokens of the context start from the dataset's own template, the others from zeros.
    `WORD_COUNT_INIT`: as many tokens as the template has words, as published, so that in a template with a comma one
    token stays fixed after the context; False counts tokens. Student and teacher share the frozen image tower, so each
    image is encoded once.
    """

    node = "TRAINER.PROGRAD"
    config_defaults = {
        "TRAINER.PROGRAD.N_CTX": 16,
        "TRAINER.PROGRAD.CTX_INIT": "",
        "TRAINER.PROGRAD.PREC": "fp16",
        "TRAINER.PROGRAD.T": 1.0,
        "TRAINER.PROGRAD.LAMBDA": 1.0,
        "TRAINER.PROGRAD.WORD_COUNT_INIT": True,
        # other names of the two keys above, from the published code; the value that differs from 1 is used
        "LOSS.NAME": "",
        "LOSS.T": 1.0,
        "LOSS.LAMBDA": 1.0,
    }
    config_domains = declare(
        config_defaults,
        {"T": POSITIVE, "LAMBDA": NOT_NEGATIVE, "LOSS.NAME": NAME, "LOSS.T": POSITIVE, "LOSS.LAMBDA": NOT_NEGATIVE},
    )
    losses = ("prograd",)
    architecture = tuple(f"TRAINER.PROGRAD.{key}" for key in ("N_CTX", "CTX_INIT", "WORD_COUNT_INIT"))
    trains_on_features = True

    def build_learner(self) -> PromptLearner:
        self.T, self.lambda_ = self._setting("T"), self._setting("LAMBDA")
        template = custom_template(self.cfg.DATASET.NAME, "prograd")
        self.w = self.frozen_text([template.format(name) for name in self.classnames])
        cfg = self.method_cfg()
        words = template.partition("{}")[0].strip() if context_words(cfg.CTX_INIT) else ""
        prompts, ctx = self._from_template(words) if words else start_context(self.clip, self.classnames, cfg.N_CTX, "")
        return PromptLearner(ctx, prompts)

    def _from_template(self, words: str) -> tuple[ContextPrompts, Tensor]:
        """[zeros][the template's first p tokens][its further tokens, fixed], p its number of words (or of tokens)."""
        cfg = self.method_cfg()
        p = len(words.split()) if cfg.WORD_COUNT_INIT else tokenizer_of(self.clip).count(words)
        if p > cfg.N_CTX:
            raise InputError(f"{self.node}.N_CTX is {cfg.N_CTX}, too few for the {p} of {words!r}; raise it.")
        free = cfg.N_CTX - p
        text = " ".join([tokenizer_of(self.clip).filler] * free + [words])
        prompts = ContextPrompts(self.clip, self.classnames, cfg.N_CTX, ctx_text=text)
        ctx = prompts.init_context().float()
        ctx[:free] = 0
        return prompts, ctx

    def _setting(self, key: str) -> float:
        own, alias = self.method_cfg()[key], self.cfg.LOSS[key]
        if own != alias and 1.0 not in (own, alias):
            raise InputError(f"{self.node}.{key} is {own} and LOSS.{key} {alias}: give one of the two.")
        return own if own != 1.0 else alias

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """L_ce, and L_kl : T^2 times the cross-entropy of the prediction against zero-shot CLIP's at T."""
        f = self.encode_image(image)
        z, z_zs = self.logits(f, self.encode_text()), self.logits(f, self.w)
        kl = -(F.softmax(z_zs / self.T, dim=1) * F.log_softmax(z / self.T, dim=1)).sum(1).mean()
        return z, {"ce": F.cross_entropy(z, label), "kl": self.T**2 * kl}

    def backward(self, terms: dict[str, Tensor]) -> Tensor:
        """The gradient of L_ce, less `LAMBDA` times its part against that of L_kl, tensor by tensor.

        L_kl guides and is not added: the loss that is returned (and logged) is L_ce.
        """
        params = list(self.model.parameters())
        g_g = torch.autograd.grad(self.scaler.scale(terms["kl"]), params, retain_graph=True)
        g_d = torch.autograd.grad(self.scaler.scale(terms["ce"]), params)
        for param, domain, general in zip(params, g_d, g_g, strict=True):
            param.grad = without_conflict(domain, general, self.lambda_)
        return terms["ce"]
