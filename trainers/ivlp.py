"""IVLP: independent vision-language prompting, MaPLe's baseline (Khattak et al., CVPR 2023)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from yacs.config import CfgNode

from clipkit import ContextPrompts, DeepPrompts, normalize
from dassl.config.domains import whole
from dassl.engine import TRAINER_REGISTRY

from .base import PromptTrainer
from .context import context_words, start_context
from .shared.checks import check_depth, check_vit
from .shared.domains import declare


class PromptLearner(nn.Module):
    """`ctx` [n_t, width]: the context before the class name."""

    def __init__(self, ctx: Tensor, prompts: ContextPrompts) -> None:
        super().__init__()
        self.ctx = nn.Parameter(ctx)
        self.prompts = prompts


class VLPromptLearner(nn.Module):
    """A context, and tokens for the prompted blocks of either tower, learned independently of each other."""

    def __init__(self, prompt_learner: PromptLearner, image_encoder: DeepPrompts, text_encoder: DeepPrompts) -> None:
        super().__init__()
        self.prompt_learner, self.image_encoder, self.text_encoder = prompt_learner, image_encoder, text_encoder


# The image tower's prompt depth applies only where there are prompts in it.
PROMPT_SIZES = {
    "N_CTX_VISION": whole(0),
    "N_CTX_TEXT": whole(1),
    "PROMPT_DEPTH_VISION": whole(0),
    "PROMPT_DEPTH_TEXT": whole(1),
}


@TRAINER_REGISTRY.register()
class IVLP(PromptTrainer):
    """Deep prompts in both towers. Language-only: `N_CTX_VISION 0`, which also runs on a ResNet."""

    node = "TRAINER.IVLP"
    registered_name = "VLPromptLearner"
    config_defaults = {
        "TRAINER.IVLP.N_CTX_VISION": 2,
        "TRAINER.IVLP.N_CTX_TEXT": 2,
        "TRAINER.IVLP.CTX_INIT": "a photo of a",
        "TRAINER.IVLP.PREC": "fp16",
        "TRAINER.IVLP.PROMPT_DEPTH_VISION": 12,
        "TRAINER.IVLP.PROMPT_DEPTH_TEXT": 12,
    }
    config_domains = declare(config_defaults, PROMPT_SIZES)
    frozen_image_encoder: bool | None = None  # set by `build_learner`: whether N_CTX_VISION is 0
    trains_on_features = True
    images_read_no_names = True
    architecture = tuple(f"TRAINER.IVLP.{key.rpartition('.')[2]}" for key in config_defaults if "PREC" not in key)

    @classmethod
    def dataset_overrides(cls, cfg: CfgNode) -> dict:
        return {"OPTIM.MAX_EPOCH": 2} if cfg.TASK == "CD" else {}

    def build_learner(self) -> VLPromptLearner:
        cfg = self.method_cfg()
        visual_depth = cfg.PROMPT_DEPTH_VISION if cfg.N_CTX_VISION else 0
        self.frozen_image_encoder = visual_depth == 0
        if visual_depth:
            check_vit(self, "puts tokens into the image tower (N_CTX_VISION 0 is its language-only form)")
            check_depth(f"{self.node}.PROMPT_DEPTH_VISION", visual_depth, self.image_encoder.depth)
        check_depth(f"{self.node}.PROMPT_DEPTH_TEXT", cfg.PROMPT_DEPTH_TEXT, self.text_encoder.depth)
        prompts, ctx = start_context(self.clip, self.classnames, cfg.N_CTX_TEXT, context_words(cfg.CTX_INIT))
        return VLPromptLearner(
            PromptLearner(ctx, prompts),
            DeepPrompts(cfg.N_CTX_VISION, self.image_encoder.width, visual_depth),
            DeepPrompts(cfg.N_CTX_TEXT, self.text_encoder.width, cfg.PROMPT_DEPTH_TEXT, first=False),
        )

    def prepare_names(self, names: list[str]) -> ContextPrompts:
        return self.model.prompt_learner.prompts.for_names(names)

    def prompted_text(self, prepared: ContextPrompts) -> Tensor:
        """[N, d], not normalised: the context in front, overwritten with each prompted block's own tokens."""
        text = prepared.split(self.model.prompt_learner.ctx)
        return self.text_encoder.encode(text, replace=self.model.text_encoder()).float()

    def encode_names(self, prepared: ContextPrompts) -> Tensor:
        return normalize(self.prompted_text(prepared))

    def encode_text(self) -> Tensor:
        return self.encode_names(self.model.prompt_learner.prompts)

    def prompted_image(self, image: Tensor) -> Tensor:
        """[B, d], not normalised: the CLS feature beside the prompt tokens, replaced before each prompted block."""
        if self.frozen_image_encoder:
            return super().prompted_image(image)
        prompts = self.model.image_encoder()
        return self.image_encoder(image.type(self.image_encoder.dtype), replace=prompts).float()

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self.logits(self.encode_image(image), self.encode_text())
        return logits, {"ce": F.cross_entropy(logits, label)}
