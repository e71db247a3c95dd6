"""SAR: Learning Generalizable Prompt for CLIP with Class Similarity Knowledge (arXiv 2502.11969), as a mix-in.

`with_sar(Host)` makes a method of its own: the host, with lambda L_SAR added to its loss. A host must give one thing,
text embeddings of any names under the current prompts (`prepare_names`, `encode_names`). In training its class names
and the novel names go through the text tower as one batch; the host gets the first C rows, and is unchanged otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor
from yacs.config import CfgNode

from clipkit import InputError, normalize
from dassl.engine import TRAINER_REGISTRY

from .anprompt import ANPrompt
from .base import PromptTrainer
from .coop import CoOp
from .coprompt import CoPrompt
from .kgcoop import KgCoOp
from .maple import MaPLe
from .parts.sar_config import CONFIG_DEFAULTS, CONFIG_DOMAINS, LAMBDA_OF_DATASET, N
from .parts.sar_names import novel_names, sar_seed, target_gram
from .parts.similarity_alignment import SimilarityAlignment
from .promptsrc import PromptSRC
from .shared.precision import autocast
from .tcp import TCP


class SAR(PromptTrainer):
    """The mix-in: stands before the host in the method resolution order."""

    host: type[PromptTrainer]
    alignment: SimilarityAlignment | None = None
    trains_on_features = True  # if the host does, too

    @classmethod
    def dataset_overrides(cls, cfg: CfgNode) -> dict:
        """The host's settings for the dataset, and the published lambda."""
        four_shot = cls.host is CoOp and cfg.DATASET.NUM_SHOTS == 4
        weight = 1.0 if four_shot else LAMBDA_OF_DATASET.get(cls.host.__name__, {}).get(cfg.DATASET.NAME)
        return super().dataset_overrides(cfg) | ({} if weight is None else {N + "LAMBDA": weight})

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        sar = cfg.TRAINER.SAR
        if sar.CHUNK and self.host.backward is not PromptTrainer.backward:
            raise InputError(f"{self.host.__name__} computes its own gradient, so TRAINER.SAR.CHUNK must be 0 with it.")
        if self.node == "TRAINER.COOP" and cfg.TRAINER.COOP.get("CSC"):
            raise InputError("TRAINER.COOP.CSC learns one context per class, but novel names have none; leave it out.")

    def before_train(self) -> None:
        if self.cfg.TRAINER.SAR.LAMBDA > 0:
            self.build_alignment()
        super().before_train()

    def build_alignment(self) -> None:
        """Novel names, prompts of all names, and the fixed target similarities; a test needs none of them."""
        cfg, seed = self.cfg.TRAINER.SAR, sar_seed(self.cfg)
        novel, found = novel_names(self, seed)
        self.record |= found
        names = [*self.classnames, *novel]
        if cfg.CHUNK:
            self.chunks = [self.prepare_names(novel[i : i + cfg.CHUNK]) for i in range(0, len(novel), cfg.CHUNK)]
        else:
            self.all_names = self.prepare_names(names)
        tau = cfg.TAU or (1 / self.logit_scale).item()
        size = cfg.SAMPLE_SIZE if cfg.RANDOM_SAMPLING else 0
        target_first = cfg.DIRECTION == "target_to_learned"
        self.alignment = SimilarityAlignment(target_gram(self, names), tau, size, seed, target_first)

    # ------------------------------------------------------------------ training

    def encode_text(self) -> Tensor:
        """The host's text features [C, d]; in training they are the first rows of one batch with the novel names."""
        if self.alignment is None or not self.model.training or self.cfg.TRAINER.SAR.CHUNK:
            self.base_features = super().encode_text()
            return self.base_features
        self.all_features = self.encode_names(self.all_names)
        return self.all_features[: len(self.classnames)]

    def loss(self, image: Tensor, label: Tensor, *more: object) -> tuple[Tensor, dict[str, Tensor]]:
        """L = L_host + lambda L_SAR (Eq. 6). more: what else the host's loss takes from a batch."""
        logits, terms = super().loss(image, label, *more)
        if self.alignment is None:
            return logits, terms
        sar = self.alignment(self.learned_features(), self.epoch, self.batch_idx)
        return logits, terms | {"sar": self.cfg.TRAINER.SAR.LAMBDA * sar}

    def learned_features(self) -> Tensor:
        """E~ [N, d], the features of all names. With CHUNK the novel rows are leaves of the graph; `backward` passes
        their gradient on to the prompts."""
        if not self.cfg.TRAINER.SAR.CHUNK:
            return self.aligned(self.all_features)
        base = self.aligned(self.base_features)
        with torch.no_grad():
            novel = [self.aligned(self.encode_names(chunk)) for chunk in self.chunks]
        self.novel_rows = [rows.requires_grad_() for rows in novel]
        return torch.cat([base, *self.novel_rows])

    def adapted_text(self, before: Tensor) -> Tensor:
        """As the host's (CoPrompt, which has a text adapter); keeps the adapter's input, which PRE_ADAPTER aligns."""
        self.before_adapter = before
        return super().adapted_text(before)

    def aligned(self, features: Tensor) -> Tensor:
        """The features that L_SAR compares: `features` of the names encoded last, or with PRE_ADAPTER the adapter's
        input."""
        if self.cfg.TRAINER.SAR.PRE_ADAPTER and hasattr(self.host, "adapted_text"):
            return normalize(self.before_adapter)
        return features

    def backward(self, terms: dict[str, Tensor]) -> Tensor:
        """With CHUNK: novel names are encoded once more, a chunk at a time, and get the gradient of their rows. L_SAR
        depends on them through these rows alone, so the sum is the gradient of one batch, with one chunk in memory."""
        loss = super().backward(terms)
        if self.alignment is not None and self.cfg.TRAINER.SAR.CHUNK:
            for chunk, rows in zip(self.chunks, self.novel_rows, strict=True):
                with autocast(self.precision, self.device):
                    again = self.aligned(self.encode_names(chunk))
                again.backward(rows.grad)
        return loss


def with_sar(host: type[PromptTrainer]) -> type[PromptTrainer]:
    """The method <Host>SAR, registered. Raises InputError for a host that cannot encode arbitrary names."""
    if getattr(host, "encode_names", None) in (None, PromptTrainer.encode_names):
        raise InputError(
            f"SAR needs text embeddings of any names under the current prompts, which {host.__name__} does not give; "
            "choose another host, or define prepare_names and encode_names."
        )
    name = f"{host.__name__}SAR"
    if name in TRAINER_REGISTRY.registered_names():
        known = TRAINER_REGISTRY.get(name)
        if not issubclass(known, host):  # it was built from another class of the same name (a plugin's)
            raise InputError(
                f"{known.__name__} extends this project's {host.__name__}, not that of {host.__module__}; "
                "use this project's."
            )
        return known
    body = {
        "__doc__": f"{host.__name__} with similarity alignment regularisation.",
        "__module__": __name__,
        "host": host,
        "config_defaults": {**host.config_defaults, **CONFIG_DEFAULTS},
        "config_domains": {**host.config_domains, **CONFIG_DOMAINS},
    }
    return TRAINER_REGISTRY.register()(type(name, (SAR, host), body))


CoOpSAR, KgCoOpSAR, TCPSAR, MaPLeSAR, CoPromptSAR, PromptSRCSAR, ANPromptSAR = map(
    with_sar, (CoOp, KgCoOp, TCP, MaPLe, CoPrompt, PromptSRC, ANPrompt)
)
