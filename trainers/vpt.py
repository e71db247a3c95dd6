"""VPT: Visual Prompt Tuning (Jia et al., ECCV 2022), deep variant, for CLIP as in MaPLe's code."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from yacs.config import CfgNode

from clipkit import DeepPrompts, normalize
from dassl.config.domains import whole
from dassl.engine import TRAINER_REGISTRY

from .base import PromptTrainer
from .context import context_words
from .shared.checks import check_depth, check_vit
from .shared.domains import declare


class PromptLearner(nn.Module):
    """`image_encoder`: n_v tokens for each prompted block of the ViT."""

    def __init__(self, n_ctx: int, width: int, depth: int) -> None:
        super().__init__()
        self.image_encoder = DeepPrompts(n_ctx, width, depth)


@TRAINER_REGISTRY.register()
class VPT(PromptTrainer):
    """Learns tokens that are appended to the image patches in the first `PROMPT_DEPTH_VISION` blocks; the text is
    fixed.

    The text is `CTX_INIT` and the class name on every dataset, not the dataset's own template.
    """

    node = "TRAINER.VPT"
    config_defaults = {
        "TRAINER.VPT.N_CTX_VISION": 8,
        "TRAINER.VPT.CTX_INIT": "a photo of a",
        "TRAINER.VPT.PREC": "fp32",
        "TRAINER.VPT.PROMPT_DEPTH_VISION": 12,
    }
    config_domains = declare(config_defaults, {"N_CTX_VISION": whole(1), "PROMPT_DEPTH_VISION": whole(1)})
    architecture = ("TRAINER.VPT.N_CTX_VISION", "TRAINER.VPT.CTX_INIT", "TRAINER.VPT.PROMPT_DEPTH_VISION")
    frozen_image_encoder = False
    images_read_no_names = True

    @classmethod
    def dataset_overrides(cls, cfg: CfgNode) -> dict:
        return {"OPTIM.MAX_EPOCH": 2} if cfg.TASK == "CD" else {}

    def build_learner(self) -> PromptLearner:
        cfg = self.method_cfg()
        check_vit(self, "puts tokens into the image tower")
        check_depth(f"{self.node}.PROMPT_DEPTH_VISION", cfg.PROMPT_DEPTH_VISION, self.image_encoder.depth)
        words = context_words(cfg.CTX_INIT)
        self.w = self.frozen_text([f"{words} {name}.".strip() for name in self.classnames])
        return PromptLearner(cfg.N_CTX_VISION, self.image_encoder.width, cfg.PROMPT_DEPTH_VISION)

    def encode_text(self) -> Tensor:
        return self.w

    def encode_image(self, image: Tensor) -> Tensor:
        """[B, d]: the CLS feature beside n_v prompt tokens, replaced before each prompted block."""
        prompts = self.model.image_encoder()
        return normalize(self.image_encoder(image.type(self.image_encoder.dtype), replace=prompts).float())

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self.logits(self.encode_image(image), self.encode_text())
        return logits, {"ce": F.cross_entropy(logits, label)}
