"""TCP: Textual-based Class-aware Prompt tuning (Yao et al., CVPR 2024)."""

from __future__ import annotations

from collections import OrderedDict

from clip.model import QuickGELU
from torch import Tensor, nn
from yacs.config import CfgNode

from clipkit import ContextPrompts, normalize
from dassl.config.domains import NOT_NEGATIVE, SHARE, list_of, whole
from dassl.engine import TRAINER_REGISTRY
from datasets.templates import custom_template

from .context import start_context
from .coop import CoOp
from .coop import PromptLearner as CoOpPromptLearner
from .losses import cosine_distance
from .shared.checks import check_blocks

CLASS_TOKENS = 4  # class-aware prompt tokens, for any length of the context


class PromptLearner(CoOpPromptLearner):
    """`ctx` [M, width], and `meta_net`, textual knowledge embedding: class feature [d] -> class-aware prompts."""

    def __init__(self, ctx: Tensor, prompts: ContextPrompts, text_dim: int) -> None:
        super().__init__(ctx, prompts)
        hidden, width = text_dim // 4, ctx.shape[-1]
        layers = [
            ("linear1", nn.Linear(text_dim, hidden)),
            ("relu", QuickGELU()),
            ("linear2", nn.Linear(hidden, CLASS_TOKENS * width)),
        ]
        self.meta_net = nn.Sequential(OrderedDict(layers))

    def class_prompts(self, w: Tensor) -> Tensor:
        """[C, d] -> [C, 4, width]: T = W_up sigma(W_down w)."""
        return self.meta_net(w).unflatten(-1, (CLASS_TOKENS, -1))


@TRAINER_REGISTRY.register()
class TCP(CoOp):
    """Class-aware prompts, made from the frozen features of the class names, replace the context before block 9.

    `LAYERS`: before which blocks (counted from 1); `WEIGHT`: of the class-aware prompts, with 1 - WEIGHT for the tokens
    that they replace; `KG_WEIGHT`: of KgCoOp's term. `TRAINER.COOP.W` has no effect, as in the published code.
    """

    config_defaults = {
        **CoOp.config_defaults,
        "TRAINER.COOP.W": 1.0,
        "TRAINER.TCP.LAYERS": [9],
        "TRAINER.TCP.WEIGHT": 1.0,
        "TRAINER.TCP.KG_WEIGHT": 8.0,
    }
    config_domains = {
        **CoOp.config_domains,
        "TRAINER.COOP.W": NOT_NEGATIVE,
        "TRAINER.TCP.LAYERS": list_of(whole(1), fewest=1),
        "TRAINER.TCP.WEIGHT": SHARE,
        "TRAINER.TCP.KG_WEIGHT": NOT_NEGATIVE,
    }
    architecture = (*CoOp.architecture, "TRAINER.TCP.LAYERS", "TRAINER.TCP.WEIGHT")
    trains_on_features = True

    @classmethod
    def dataset_overrides(cls, cfg: CfgNode) -> dict:
        # The published scripts test the 25th epoch on these two.
        return {"OPTIM.MAX_EPOCH": 25} if cfg.DATASET.NAME in ("ImageNet", "SUN397") and cfg.TASK == "B2N" else {}

    def build_learner(self) -> PromptLearner:
        tcp = self.cfg.TRAINER.TCP
        check_blocks("TRAINER.TCP.LAYERS", tcp.LAYERS, self.text_encoder.depth, self.cfg.MODEL.BACKBONE.NAME)
        self.w = self._knowledge(self.classnames)
        # the learnable context takes the place of the first four words
        rest = custom_template(self.cfg.DATASET.NAME, "tcp_learnable").split(" ", 4)[4]
        words = self.words()
        n_ctx = len(words.split()) if words else self.method_cfg().N_CTX
        prompts, ctx = start_context(self.clip, self.classnames, n_ctx, words, "{ctx} " + rest.replace("{}", "{name}"))
        return PromptLearner(ctx, prompts, self.text_encoder.embed_dim)

    def _knowledge(self, names: list[str]) -> Tensor:
        """[N, d]: frozen features of the hand-written prompts, from which the class-aware ones are made."""
        template = custom_template(self.cfg.DATASET.NAME, "tcp")
        return self.frozen_text([template.format(name) for name in names])

    def prepare_names(self, names: list[str]) -> tuple[ContextPrompts, Tensor]:
        return self.model.prompts.for_names(names), self._knowledge(names)

    def encode_names(self, prepared: tuple[ContextPrompts, Tensor]) -> Tensor:
        """[N, d]: the class-aware prompts enter before the blocks of `LAYERS`."""
        tcp, (prompts, w) = self.cfg.TRAINER.TCP, prepared
        aware = dict.fromkeys(tcp.LAYERS, self.model.class_prompts(w))
        text = self.text_encoder.encode(prompts.split(self.model.ctx), replace=aware, replace_weight=tcp.WEIGHT)
        return normalize(text.float())

    def encode_text(self) -> Tensor:
        return self.encode_names((self.model.prompts, self.w))

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """L = L_ce + omega L_kg."""
        text = self.encode_text()
        logits = self.logits(self.encode_image(image), text)
        near = self.cfg.TRAINER.TCP.KG_WEIGHT * cosine_distance(text, self.w)
        return logits, self.classification_loss(logits, label) | {"kg": near}
