"""MaPLe: Multi-modal Prompt Learning (Khattak et al., CVPR 2023)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import ContextPrompts, normalize
from dassl.config.domains import whole
from dassl.engine import TRAINER_REGISTRY

from .base import PromptTrainer
from .context import context_words, start_context
from .shared.checks import check_depth, check_vit
from .shared.domains import declare


class PromptLearner(nn.Module):
    """Language prompts, and the coupling functions that make the vision prompts from them.

    ctx [n, D_t] and proj: block 1; compound_prompts_text[i] [n, D_t] and compound_prompt_projections[i]: block i + 2.
    """

    place: int | None = None  # the position where deep prompts begin; None: where the context does

    def __init__(self, ctx: Tensor, prompts: ContextPrompts, visual_width: int, depth: int) -> None:
        super().__init__()
        n, width = ctx.shape
        self.prompts = prompts
        self.ctx = nn.Parameter(ctx)
        self.proj = nn.Linear(width, visual_width)
        deeper = [nn.Parameter(0.02 * torch.randn(n, width)) for _ in range(depth - 1)]
        self.compound_prompts_text = nn.ParameterList(deeper)
        first = nn.Linear(width, visual_width)
        self.compound_prompt_projections = nn.ModuleList(copy.deepcopy(first) for _ in deeper)

    def context(self, ctx: Tensor) -> Tensor:
        """The tokens at the context's place in the prompts, from ctx [n, D_t]. Here: ctx itself."""
        return ctx

    def text_prompts(self) -> dict[int, Tensor]:
        """{block: P_i [n, D_t]} for the blocks 2 .. J."""
        return dict(enumerate(self.compound_prompts_text, start=2))

    def visual_prompts(self) -> dict[int, Tensor]:
        """{block: F_i(P_i) [n, D_v]} for the blocks 1 .. J: vision prompts are functions of the language prompts."""
        pairs = zip(self.compound_prompt_projections, self.compound_prompts_text, strict=True)
        return {1: self.proj(self.ctx)} | {b: f(p) for b, (f, p) in enumerate(pairs, start=2)}


class MultiModalPromptLearner(nn.Module):
    """The prompt learner, under the key that MaPLe's checkpoints have."""

    def __init__(self, prompt_learner: PromptLearner) -> None:
        super().__init__()
        self.prompt_learner = prompt_learner


@TRAINER_REGISTRY.register()
class MaPLe(PromptTrainer):
    """Prompts in the first `PROMPT_DEPTH` blocks of both towers, those of the image tower coupled to the text's.

    With fewer context tokens than `CTX_INIT` has words the further words stay in the prompt, fixed ("of a").
    """

    node = "TRAINER.MAPLE"
    registered_name = "MultiModalPromptLearner"
    config_defaults = {
        "TRAINER.MAPLE.N_CTX": 2,
        "TRAINER.MAPLE.CTX_INIT": "a photo of a",
        "TRAINER.MAPLE.PREC": "fp16",
        "TRAINER.MAPLE.PROMPT_DEPTH": 9,
    }
    config_domains = declare(config_defaults, {"PROMPT_DEPTH": whole(1)})
    architecture = tuple(f"TRAINER.MAPLE.{key}" for key in ("N_CTX", "CTX_INIT", "PROMPT_DEPTH"))
    frozen_image_encoder = False
    images_read_no_names = True

    @classmethod
    def architecture_of(cls, state: dict) -> dict:
        if "prompt_learner.ctx" not in state:
            return {}
        deeper = sum(key.startswith("prompt_learner.compound_prompts_text.") for key in state)
        return {f"{cls.node}.N_CTX": len(state["prompt_learner.ctx"]), f"{cls.node}.PROMPT_DEPTH": deeper + 1}

    def build_learner(self) -> MultiModalPromptLearner:
        return MultiModalPromptLearner(self.build_prompts())

    def build_prompts(self) -> PromptLearner:
        cfg = self.method_cfg()
        check_vit(self, "puts tokens into the image tower")
        check_depth(
            f"{self.node}.PROMPT_DEPTH", cfg.PROMPT_DEPTH, min(self.image_encoder.depth, self.text_encoder.depth)
        )
        prompts, ctx = start_context(self.clip, self.classnames, cfg.N_CTX, context_words(cfg.CTX_INIT))
        return PromptLearner(ctx, prompts, self.image_encoder.width, cfg.PROMPT_DEPTH)

    def prepare_names(self, names: list[str]) -> ContextPrompts:
        return self.model.prompt_learner.prompts.for_names(names)

    def prompted_text(self, prepared: ContextPrompts) -> Tensor:
        """[N, d], not normalised: deep language prompting."""
        learner = self.model.prompt_learner
        text = prepared.split(learner.context(learner.ctx))
        return self.text_encoder.encode(text, replace=learner.text_prompts(), replace_at=learner.place).float()

    def prompted_image(self, image: Tensor) -> Tensor:
        """[B, d], not normalised: deep vision prompting with the coupled prompts."""
        learner = self.model.prompt_learner
        prompts = learner.visual_prompts() if self.model.training else self.once("vision", learner.visual_prompts)
        return self.image_encoder(image.type(self.image_encoder.dtype), replace=prompts).float()

    def encode_names(self, prepared: ContextPrompts) -> Tensor:
        return normalize(self.prompted_text(prepared))

    def encode_text(self) -> Tensor:
        return self.encode_names(self.model.prompt_learner.prompts)

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self.logits(self.encode_image(image), self.encode_text())
        return logits, {"ce": F.cross_entropy(logits, label)}
