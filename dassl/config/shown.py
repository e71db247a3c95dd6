"""The names of a run's trainer and data set, and the plain names that the code of a method sees instead.

TRAINER.NAME and DATASET.NAME may end in the checkout that a class comes from (`MaPLe@PromptSRC`), and DATASET.STAND_IN
may name another data set. Methods look these names up in tables of their own, so they see `MaPLe`, and the stand-in.
The registries, the records and the comparison of runs use the run's own names.
"""

from __future__ import annotations

from yacs.config import CfgNode

OWN = "REGISTERED"  # in a method's config: the run's own name, beside the NAME that the method reads


def plain(name: str) -> str:
    """The name without the label of its checkout."""
    return name.partition("@")[0]


def for_method(cfg: CfgNode) -> CfgNode:
    """The config that a trainer reads: plain names and the stand-in. `cfg` itself, or a copy."""
    return _with_names(cfg, plain(cfg.TRAINER.NAME), cfg.DATASET.get("STAND_IN", "") or plain(cfg.DATASET.NAME))


def for_dataset(cfg: CfgNode) -> CfgNode:
    """The config that a data set reads: plain names, and its own name also where there is a stand-in."""
    cfg = of_run(cfg)
    return _with_names(cfg, plain(cfg.TRAINER.NAME), plain(cfg.DATASET.NAME))


def of_run(cfg: CfgNode) -> CfgNode:
    """The config with the run's own names, from the config of a method or a data set."""
    if not any(OWN in cfg[node] for node in ("TRAINER", "DATASET")):
        return cfg
    found, frozen = _copy(cfg)
    for node in (found.TRAINER, found.DATASET):
        if OWN in node:
            node.NAME = node.pop(OWN)
    if frozen:
        found.freeze()
    return found


def data_name(cfg: CfgNode) -> str:
    """The plain name of the data set that is loaded, also where DATASET.STAND_IN names another one."""
    return plain(cfg.DATASET.get(OWN, cfg.DATASET.NAME))


def trainer_name(cfg: CfgNode) -> str:
    """The run's own name of its trainer."""
    return cfg.TRAINER.get(OWN, cfg.TRAINER.NAME)


def _with_names(cfg: CfgNode, trainer: str, dataset: str) -> CfgNode:
    names = {node: name for node, name in (("TRAINER", trainer), ("DATASET", dataset)) if name != cfg[node].NAME}
    if not names or any(OWN in cfg[node] for node in ("TRAINER", "DATASET")):
        return cfg
    found, frozen = _copy(cfg)
    for node, name in names.items():
        found[node][OWN], found[node].NAME = found[node].NAME, name
    if frozen:
        found.freeze()
    return found


def _copy(cfg: CfgNode) -> tuple[CfgNode, bool]:
    found = cfg.clone()
    frozen = found.is_frozen()
    found.defrost()
    return found, frozen
