"""Builds the plain method of a trainer."""

from __future__ import annotations

from torch import nn

from language import source_for

from .atprompt import HOSTS as ATPROMPT
from .base import PlainMethod
from .caches import LPpp, TipAdapter, TipAdapterF
from .coop import TCP, CoCoOp, CoOp, KgCoOp, ProGrad
from .deep import IVLP, VPT, PromptSRC
from .deft import DeFT
from .dept import HOSTS as DEPT
from .dpsep import DPSEP
from .maple import CoPrompt, MaPLe
from .mma import MMA
from .mmrl import MMRL, ANPrompt, MMRLpp
from .prometar import ProMetaR
from .tac import TAC
from .textrefiner import TextRefiner
from .visprompt import VisPrompt
from .weights import CLIPLoRA, TwoSFS

METHODS: dict[str, type[PlainMethod]] = {
    "CoOp": CoOp,
    "CoCoOp": CoCoOp,
    "KgCoOp": KgCoOp,
    "ProGrad": ProGrad,
    "DPSEP": DPSEP,
    "VPT": VPT,
    "IVLP": IVLP,
    "MaPLe": MaPLe,
    "PromptSRC": PromptSRC,
    "TCP": TCP,
    "CoPrompt": CoPrompt,
    "MMRL": MMRL,
    "ANPrompt": ANPrompt,
    "VisPrompt": VisPrompt,
    "CLIPLoRA": CLIPLoRA,
    "TextRefiner": TextRefiner,
    "TwoSFS": TwoSFS,
    "TAC": TAC,
    "MMRLpp": MMRLpp,
    "MMA": MMA,
    "ProMetaR": ProMetaR,
    "TipAdapter": TipAdapter,
    "TipAdapterF": TipAdapterF,
    "LPpp": LPpp,
    "DeFT": DeFT,
    **DEPT,
    **ATPROMPT,
}

NODES = {
    "KgCoOp": ("COOP",),
    "TCP": ("COOP", "TCP"),
    "CoPrompt": ("CoPrompt",),
    "TextRefiner": ("COOP", "TF"),
    "MMRLpp": ("MMRLpp",),
    "MMA": ("MMADAPTER",),
    "TipAdapterF": ("TIPADAPTER",),
}


def settings_of(name: str, cfg) -> dict[str, object]:
    """{short name: value} of the config keys that a plain method reads: those of its nodes, and a few others."""
    values: dict[str, object] = {"TASK": cfg.TASK, "SUBSAMPLE_CLASSES": cfg.DATASET.SUBSAMPLE_CLASSES}
    if name == "CoPrompt":
        values |= {"W": cfg.TRAINER.W, "DISTILL": cfg.TRAINER.DISTILL}
    host = name.removesuffix("DePT").removesuffix("ATPrompt")
    for node in NODES.get(host, (host.upper(),)):
        values |= dict(cfg.TRAINER[node].items())
    if name in ATPROMPT:
        values |= dict(cfg.TRAINER.ATPROMPT.items())
    if name in DEPT:
        values |= dict(cfg.TRAINER.LINEAR_PROBE.items()) | {"FILM": cfg.TRAINER.FILM.LINEAR_PROBE}
    return values


def plain_of(name: str, trainer, clip_model: nn.Module | None = None) -> PlainMethod:
    """The plain method with a built trainer's tensors, settings, class names and sentences.

    clip_model: the CLIP to run on, by default the trainer's own.
    """
    texts = trainer.weak_noise.sentences(trainer.classnames) if name == "ANPrompt" else None
    if name == "TAC":
        source = source_for(trainer.cfg, trainer.method_cfg().CACHE, "main", trainer.classnames)
        texts = {each: source.get(each) for each in trainer.classnames}
        assert trainer.targets.ndim == 2  # makes the cluster centres
    return METHODS[name](
        clip_model or trainer.clip,
        settings_of(name, trainer.cfg),
        trainer.cfg.DATASET.NAME,
        trainer.classnames,
        trainer.model.state_dict(),
        texts,
    )


def same_draw(plain: PlainMethod, trainer) -> None:
    """After `trainer.loss`, copy the random draws of its step (CoPrompt's sentence, VisPrompt's dropout) to `plain`."""
    if isinstance(plain, VisPrompt):
        plain.mask, plain.part = trainer.dropout_mask, "all"
    if isinstance(plain, ProMetaR):
        gates = {name.replace("-", "."): gate for name, gate in trainer.vnet.gates.items()}
        own = {key: [x.detach().clone().requires_grad_() for x in gate.parameters()] for key, gate in gates.items()}
        plain.gates, plain.draw = own, trainer.episode
        group = trainer.optim.param_groups[0]
        plain.lr, plain.decay = group["lr"], group["weight_decay"]
    if isinstance(plain, DPSEP):
        plain.wrong, plain.delta = trainer.wrong_partner(), trainer.delta
        plain.progress = (trainer.epoch + 1) / trainer.max_epoch
    if isinstance(plain, TAC):
        plain.drop = trainer.dropped
    if isinstance(plain, DeFT):
        plain.epoch, plain.other_of = trainer.epoch, trainer.other_classes
    if isinstance(plain, CoPrompt):
        plain.texts, plain.description = trainer.descriptions, trainer.description_index()
