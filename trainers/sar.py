"""SAR: Learning Generalizable Prompt for CLIP with Class Similarity Knowledge (arXiv 2502.11969), on other methods.

`with_sar(Host)` makes a method of its own: the host, and lambda L_SAR added to its loss. A host is asked for one thing,
text embeddings of given names under the current prompts (`prepare_names`, `encode_names`). In training its class names
and the novel names go through the text tower as one batch; the host sees the first C rows and works as ever.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clipkit import InputError, derive_seed, normalize
from dassl.config.domains import NOT_NEGATIVE, OPTIONAL, SEED, choice, whole
from dassl.config.shown import data_name
from dassl.engine import TRAINER_REGISTRY
from datasets.templates import template_set
from language.features import CONFIG_DEFAULTS as LANGUAGE_DEFAULTS
from language.features import CONFIG_DOMAINS as LANGUAGE_DOMAINS
from language.features import name_similarities
from language.novel import load_novel, overlap

from .anprompt import ANPrompt
from .base import PromptTrainer
from .coop import CoOp
from .coprompt import CoPrompt
from .kgcoop import KgCoOp
from .maple import MaPLe
from .parts.similarity_alignment import SimilarityAlignment
from .promptsrc import PromptSRC
from .shared.domains import declare
from .shared.precision import autocast
from .tcp import TCP

N = "TRAINER.SAR."
DEFAULTS = LANGUAGE_DEFAULTS | {
    N + "ENABLED": False,  # True on a host is another way to write <Host>SAR
    N + "LAMBDA": 0.1,  # of Eq. 6; the published value of a host and dataset where there is one
    N + "NOVEL_SOURCE": "llm",  # llm: our list | file | wordnet | oracle
    N + "NOVEL_FILE": "",
    N + "NUM_NOVEL": 200,
    N + "SAMPLE_SIZE": 64,  # s of Eq. 4
    N + "RANDOM_SAMPLING": True,  # False: each row over all other classes (Eq. 3)
    N + "ENSEMBLE": True,  # targets from the prompts of TEMPLATES; False: from the dataset's own alone
    N + "TEMPLATES": "select+custom",  # the paper's 8 | select: without the dataset's own | full80: CLIP's for ImageNet
    N + "TAU": 0.0,  # temperature of Eq. 3 and 4; 0: CLIP's
    N + "DIRECTION": "target_to_learned",  # target_to_learned: KL(P || P~) | learned_to_target
    N + "PRE_ADAPTER": False,  # CoPrompt: align its text features before the adapter
    N + "SEED": -1,  # of novel names and index sets; negative: the run's
    N + "CHUNK": 0,  # novel names whose activations are in memory at a time; 0: all, in one batch with the classes
}
DOMAINS = declare(
    DEFAULTS,
    {
        "LAMBDA": NOT_NEGATIVE,
        "NOVEL_SOURCE": choice("llm", "file", "wordnet", "oracle"),
        "NOVEL_FILE": OPTIONAL,
        "NUM_NOVEL": whole(0),
        "SAMPLE_SIZE": whole(1),
        "TEMPLATES": choice("select+custom", "select", "full80", "custom"),
        "TAU": NOT_NEGATIVE,
        "DIRECTION": choice("target_to_learned", "learned_to_target"),
        "SEED": SEED,
        "CHUNK": whole(0),
        **LANGUAGE_DOMAINS,
    },
)
# lambda where it is not 0.1
LAMBDA_OF_DATASET = {
    "CoOp": {"DescribableTextures": 0.5, "UCF101": 0.5, "EuroSAT": 0.5, "FGVCAircraft": 0.5},
    "MaPLe": {"DescribableTextures": 0.5, "UCF101": 0.5, "EuroSAT": 0.75, "FGVCAircraft": 0.75},
    "CoPrompt": {"DescribableTextures": 0.5, "UCF101": 0.5, "EuroSAT": 0.75, "FGVCAircraft": 0.8},
}


class SAR(PromptTrainer):
    """The mix-in: stands before the host in the method resolution order."""

    host: type[PromptTrainer]
    alignment: SimilarityAlignment | None = None

    @classmethod
    def dataset_overrides(cls, cfg) -> dict:
        """The host's settings for the dataset, and the published lambda."""
        if cls.host is CoOp and cfg.DATASET.NUM_SHOTS == 4:
            weight = 1.0
        else:
            weight = LAMBDA_OF_DATASET.get(cls.host.__name__, {}).get(cfg.DATASET.NAME)
        return super().dataset_overrides(cfg) | ({} if weight is None else {N + "LAMBDA": weight})

    def check_cfg(self, cfg) -> None:
        super().check_cfg(cfg)
        sar = cfg.TRAINER.SAR
        if sar.CHUNK and self.host.backward is not PromptTrainer.backward:
            raise InputError(f"{self.host.__name__} makes its gradient itself, so TRAINER.SAR.CHUNK must be 0 with it.")
        if self.node == "TRAINER.COOP" and cfg.TRAINER.COOP.get("CSC"):
            raise InputError("TRAINER.COOP.CSC learns a context a class, which novel names have none of; leave it out.")

    def before_train(self) -> None:
        if self.cfg.TRAINER.SAR.LAMBDA > 0:
            self.build_alignment()
        super().before_train()

    # ------------------------------------------------------------------ names and targets

    def build_alignment(self) -> None:
        """Novel names, prompts of all names, and the fixed target similarities; a test needs none of them."""
        cfg = self.cfg.TRAINER.SAR
        novel = self.novel_names()
        names = [*self.classnames, *novel]
        if cfg.CHUNK:
            self.chunks = [self.prepare_names(novel[i : i + cfg.CHUNK]) for i in range(0, len(novel), cfg.CHUNK)]
        else:
            self.all_names = self.prepare_names(names)
        tau = cfg.TAU or (1 / self.logit_scale).item()
        size = cfg.SAMPLE_SIZE if cfg.RANDOM_SAMPLING else 0
        target_first = cfg.DIRECTION == "target_to_learned"
        self.alignment = SimilarityAlignment(self.target_gram(names), tau, size, self.sar_seed(), target_first)

    def sar_seed(self) -> int:
        return derive_seed(max(self.cfg.SEED, 0) if self.cfg.TRAINER.SAR.SEED < 0 else self.cfg.TRAINER.SAR.SEED, "SAR")

    def novel_names(self) -> list[str]:
        """Q names that are none of the classes."""
        cfg = self.cfg.TRAINER.SAR
        if cfg.NUM_NOVEL == 0:
            return []
        every = [name.replace("_", " ") for name in getattr(self.dm.dataset, "all_classnames", self.classnames)]
        new = [name for name in every if name not in self.classnames]
        names = {"base_names": self.classnames, "new_names": new, "count": cfg.NUM_NOVEL, "seed": self.sar_seed()}
        names["missing"] = self.cfg.LANGUAGE.MISSING
        novel = load_novel(data_name(self.cfg), cfg.NOVEL_SOURCE, cfg.NOVEL_FILE, **names)
        self.record["novel_names"] = {
            "source": novel.source,
            "file": novel.file,
            "sha256": novel.sha256,
            "count": len(novel.names),
            "overlap_with_new_classes": overlap(novel.names, new),
        }
        return list(novel.names)

    def target_gram(self, names: list[str]) -> Tensor:
        """[N, N] similarities of E: e_i the mean over U prompts of normalised features."""
        cfg = self.cfg.TRAINER.SAR
        templates = template_set(cfg.TEMPLATES if cfg.ENSEMBLE else "custom", self.cfg.DATASET.NAME, "sar")
        return name_similarities(names, templates, self.text_encoder, self.bank, self.precision)

    # ------------------------------------------------------------------ training

    def encode_text(self) -> Tensor:
        """The host's [C, d]; while training, cut from one batch with the novel names."""
        if self.alignment is None or not self.model.training or self.cfg.TRAINER.SAR.CHUNK:
            self.base_features = super().encode_text()
            return self.base_features
        self.all_features = self.encode_names(self.all_names)
        return self.all_features[: len(self.classnames)]

    def loss(self, image, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """L = L_host + lambda L_SAR (Eq. 6)."""
        logits, terms = super().loss(image, label)
        if self.alignment is None:
            return logits, terms
        sar = self.alignment(self.learned_features(), self.epoch, self.batch_idx)
        return logits, terms | {"sar": self.cfg.TRAINER.SAR.LAMBDA * sar}

    def learned_features(self) -> Tensor:
        """E~ [N, d]. With CHUNK the novel rows are leaves of the graph: `backward` passes their gradient on."""
        if not self.cfg.TRAINER.SAR.CHUNK:
            return self.aligned(self.all_features)
        base = self.aligned(self.base_features)
        with torch.no_grad():
            novel = [self.aligned(self.encode_names(chunk)) for chunk in self.chunks]
        self.novel_rows = [rows.requires_grad_() for rows in novel]
        return torch.cat([base, *self.novel_rows])

    def aligned(self, features: Tensor) -> Tensor:
        """What is compared of the names that were encoded last."""
        if self.cfg.TRAINER.SAR.PRE_ADAPTER and hasattr(self, "before_adapter"):
            return normalize(self.before_adapter)
        return features

    def backward(self, terms: dict[str, Tensor]) -> Tensor:
        """With CHUNK: novel names run once more, a chunk at a time, with the gradient of their rows. L_SAR meets
        them through these rows alone, so the sum is the gradient of one batch, and one chunk is in memory."""
        loss = super().backward(terms)
        if self.alignment is not None and self.cfg.TRAINER.SAR.CHUNK:
            for chunk, rows in zip(self.chunks, self.novel_rows, strict=True):
                with autocast(self.precision, self.device):
                    again = self.aligned(self.encode_names(chunk))
                again.backward(rows.grad)
        return loss


def take_spelling(cfg) -> None:
    """`TRAINER.SAR.ENABLED True` on a host and `--trainer <Host>SAR` are two spellings of one run.

    Raises InputError for an unknown host, and for one that cannot encode arbitrary names.
    """
    name = cfg.TRAINER.NAME
    if cfg.TRAINER.SAR.ENABLED and name in TRAINER_REGISTRY.registered_names():
        kind = TRAINER_REGISTRY.get(name)
        name = cfg.TRAINER.NAME = (kind if issubclass(kind, SAR) else with_sar(kind)).__name__
    if name in TRAINER_REGISTRY.registered_names():
        cfg.TRAINER.SAR.ENABLED = issubclass(TRAINER_REGISTRY.get(name), SAR)


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
        if not issubclass(known, host):  # of a plugin's host that is called as one of ours
            raise InputError(f"SAR stands on this project's {host.__name__}, not on that of {host.__module__}.")
        return known
    body = {
        "__doc__": f"{host.__name__} with similarity alignment regularisation.",
        "__module__": __name__,
        "host": host,
        "config_defaults": {**host.config_defaults, **DEFAULTS},
        "config_domains": {**host.config_domains, **DOMAINS},
    }
    return TRAINER_REGISTRY.register()(type(name, (SAR, host), body))


CoOpSAR, KgCoOpSAR, TCPSAR, MaPLeSAR, CoPromptSAR, PromptSRCSAR, ANPromptSAR = map(
    with_sar, (CoOp, KgCoOp, TCP, MaPLe, CoPrompt, PromptSRC, ANPrompt)
)
