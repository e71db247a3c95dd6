"""The names that SAR aligns, classes and novel ones, and their target similarities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from yacs.config import CfgNode

from clipkit import derive_seed
from dassl.config.shown import data_name
from datasets.templates import template_set
from language.features import name_similarities
from language.novel import load_novel, overlap

if TYPE_CHECKING:
    from ..base import PromptTrainer


def sar_seed(cfg: CfgNode) -> int:
    """The seed of novel names and index sets: TRAINER.SAR.SEED, or the run's if that is negative."""
    own = cfg.TRAINER.SAR.SEED
    return derive_seed(max(cfg.SEED, 0) if own < 0 else own, "SAR")


def novel_names(trainer: PromptTrainer, seed: int) -> tuple[list[str], dict]:
    """NUM_NOVEL names that are none of the classes, and their origin for results.json."""
    cfg, classes = trainer.cfg.TRAINER.SAR, trainer.classnames
    if cfg.NUM_NOVEL == 0:
        return [], {}
    every = [name.replace("_", " ") for name in getattr(trainer.dm.dataset, "all_classnames", classes)]
    new = [name for name in every if name not in classes]
    names = {"base_names": classes, "new_names": new, "count": cfg.NUM_NOVEL, "seed": seed}
    names["missing"] = trainer.cfg.LANGUAGE.MISSING
    novel = load_novel(data_name(trainer.cfg), cfg.NOVEL_SOURCE, cfg.NOVEL_FILE, **names)
    record = {
        "source": novel.source,
        "file": novel.file,
        "sha256": novel.sha256,
        "count": len(novel.names),
        "overlap_with_new_classes": overlap(novel.names, new),
    }
    return list(novel.names), {"novel_names": record}


def target_gram(trainer: PromptTrainer, names: list[str]) -> Tensor:
    """[N, N] similarities of E: e_i the mean over U prompts of normalised features."""
    cfg = trainer.cfg.TRAINER.SAR
    templates = template_set(cfg.TEMPLATES if cfg.ENSEMBLE else "custom", trainer.cfg.DATASET.NAME, "sar")
    return name_similarities(names, templates, trainer.text_encoder, trainer.bank, trainer.precision)
