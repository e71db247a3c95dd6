"""NLPrompt: Noise-Label Prompt Learning for Vision-Language Models (Pan et al., CVPR 2025)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from dassl.config.domains import POSITIVE, choice, number, whole
from dassl.engine import TRAINER_REGISTRY

from .context import context_architecture, context_defaults
from .coop import CoOp
from .label_noise.decisions import Decision
from .label_noise.prompt_ot import COSTS, ot_decision
from .label_noise.robust_losses import NAME, gce
from .parts.deciding_trainer import CleanThenNoisy
from .parts.released_split import released_decision, released_steps
from .shared.domains import declare

N = "TRAINER.NLPROMPT."


@TRAINER_REGISTRY.register()
class NLPrompt(CleanThenNoisy, CoOp):
    """CoOp's prompts, trained on clean items by cross-entropy (PromptCE), then on noisy ones by the mean absolute error
    (PromptMAE); each epoch PromptOT splits the items into the two.

    PromptOT uses all training items under the test transform. Before epoch CURRICULUM_EPOCH only a share of them,
    growing from BEGIN_RATE to 1, can be clean. USE_OT False: all items are trained with LOSS_ALL; "mae" is PromptMAE
    alone.
    """

    node = "TRAINER.NLPROMPT"
    config_defaults = {
        **context_defaults("TRAINER.NLPROMPT"),
        N + "USE_OT": True,
        N + "OT_COST": "prob",  # prob: -p, as released | logp: -log p, as published
        N + "REG_E": 0.01,
        N + "CURRICULUM_EPOCH": 0,
        N + "BEGIN_RATE": 0.3,
        N + "LOSS_ALL": "mae",  # with USE_OT False: mae | ce
        N + "COMPAT": "none",  # none | released: split and batches as in the released code, see `released_split`
        "LOSS.NAME": "",
    }
    config_domains = declare(
        config_defaults,
        {
            "OT_COST": choice(*COSTS),
            "REG_E": POSITIVE,
            "CURRICULUM_EPOCH": whole(0),
            "BEGIN_RATE": number(above=0, most=1),
            "LOSS_ALL": choice("mae", "ce"),
            "COMPAT": choice("none", "released"),
            "LOSS.NAME": NAME,
        },
    )
    losses = ()
    architecture = context_architecture("TRAINER.NLPROMPT")
    trains_on_features = True

    def decide(self) -> Decision | None:
        """PromptOT. The score of an item is the share of its mass that the plan moves to the observed label."""
        cfg = self.method_cfg()
        if not cfg.USE_OT:
            return None
        if cfg.COMPAT == "released":
            return released_decision(self, cfg.REG_E, cfg.OT_COST, self.budget())
        items = self.training_list
        prob = items.logits().double().softmax(dim=1)
        return ot_decision(prob, items.label, cfg.REG_E, cfg.OT_COST, self.budget())

    def steps(self, decision: Decision) -> list[tuple[str, list[int]]]:
        if self.method_cfg().COMPAT == "released":
            return released_steps(self, decision)
        return super().steps(decision)

    def budget(self) -> float:
        """The share of items that can be clean in this epoch."""
        cfg = self.method_cfg()
        if self.epoch >= cfg.CURRICULUM_EPOCH:
            return 1.0
        return cfg.BEGIN_RATE + (1 - cfg.BEGIN_RATE) * self.epoch / cfg.CURRICULUM_EPOCH

    def loss(self, image: Tensor, label: Tensor, part: str = "all") -> tuple[Tensor, dict[str, Tensor]]:
        """Clean: -log p_y. Noisy: 1 - p_y, which is half of |p - onehot|_1."""
        logits = self.logits(self.encode_image(image), self.encode_text())
        name = {"clean": "ce", "noisy": "mae", "all": self.method_cfg().LOSS_ALL}[part]
        z = logits.float()
        return logits, {name: F.cross_entropy(z, label) if name == "ce" else gce(z, label, q=1.0)}
