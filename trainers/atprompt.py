"""ATPrompt: Advancing Textual Prompt Learning with Anchored Attributes (Li et al., ICCV 2025), as a mix-in.

`CoOpATPrompt` is `class CoOpATPrompt(ATPrompt, CoOp)`. The host's context is preceded by words for attributes of the
dataset, each behind learned tokens of its own; the loss is the host's.
"""

from __future__ import annotations

from torch import nn
from yacs.config import CfgNode

from clipkit import InputError
from dassl.config.keys import config_value
from dassl.engine import TRAINER_REGISTRY

from .base import PromptTrainer
from .cocoop import CoCoOp
from .coop import CoOp
from .maple import MaPLe
from .parts.atprompt_config import CONFIG_DEFAULTS, CONFIG_DOMAINS, SHAPE, settings
from .parts.attribute_context import with_attributes


class ATPrompt(PromptTrainer):
    """The mix-in: stands before the host in the method resolution order.

    [SOS][a_1][word_1] ... [a_A][word_A][ctx][name . EOT]. Contexts always start at random, not from words. On other
    datasets the words of the training dataset stay: they are saved in the checkpoint. MaPLe's deep prompts replace
    `ctx` alone, from which its vision prompts are computed; CoCoOp shifts `ctx` alone.
    """

    host: type[PromptTrainer]

    @classmethod
    def dataset_overrides(cls, cfg: CfgNode) -> dict:
        own = settings(cls.host.__name__, cls.host.node, cfg.DATASET.NAME, cfg.TASK)
        return super().dataset_overrides(cfg) | own

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        node = config_value(cfg, self.node)
        if node.get("CSC") or node.get("CLASS_TOKEN_POSITION", "end") != "end":
            raise InputError(f"{cfg.TRAINER.NAME} has one context for all classes, before the name: leave CSC and "
                             "CLASS_TOKEN_POSITION as they are.")  # fmt: skip
        for i, word in enumerate(self.attribute_words(cfg), start=1):
            if not word:
                raise InputError(f"TRAINER.ATPROMPT.ATT_NUM is {cfg.TRAINER.ATPROMPT.ATT_NUM}, but ATT{i}_TEXT is "
                                 "empty: give a word, or lower ATT_NUM.")  # fmt: skip

    @staticmethod
    def attribute_words(cfg: CfgNode) -> list[str]:
        """The ATT_NUM words."""
        own = cfg.TRAINER.ATPROMPT
        words = [own.ATT1_TEXT, own.ATT2_TEXT, own.ATT3_TEXT]
        return [word.strip() for word in words[: own.ATT_NUM if own.USE_ATPROMPT else 0]]

    def build_learner(self) -> nn.Module:
        learner, own = super().build_learner(), self.cfg.TRAINER.ATPROMPT
        lengths = own.N_ATT1, own.N_ATT2, own.N_ATT3
        with_attributes(
            getattr(learner, "prompt_learner", learner),
            self.clip,
            self.classnames,
            self.method_cfg().N_CTX,
            lengths,
            self.attribute_words(self.cfg),
            own.ONE_TOKEN,
        )
        return learner


def with_atprompt(host: type[PromptTrainer]) -> type[PromptTrainer]:
    """The method <Host>ATPrompt, registered."""
    body = {
        "__doc__": f"{host.__name__} with words for attributes, each behind learned tokens.",
        "__module__": __name__,
        "host": host,
        "config_defaults": {**host.config_defaults, **CONFIG_DEFAULTS},
        "config_domains": {**host.config_domains, **CONFIG_DOMAINS},
        "architecture": (*host.architecture, *SHAPE),
    }
    return TRAINER_REGISTRY.register()(type(f"{host.__name__}ATPrompt", (ATPrompt, host), body))


CoOpATPrompt, CoCoOpATPrompt, MaPLeATPrompt = map(with_atprompt, (CoOp, CoCoOp, MaPLe))
