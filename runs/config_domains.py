"""The valid values of a run's config keys: those of the engine, the datasets, the wrappers and the methods."""

from __future__ import annotations

from attacks.settings import CONFIG_DOMAINS as ATTACK
from dassl.config.allowed import ENGINE, OPEN
from dassl.config.domains import FLAG, OPTIONAL, Domain, choice
from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import Registry
from datasets.corrupted import CONFIG_DOMAINS as CORRUPTION
from datasets.noise.config import CONFIG_DOMAINS as NOISE
from interop.plugins.origin import is_plugin
from trainers.shared.text_noise import CONFIG_DOMAINS as TEXT_NOISE

# Domains of the keys that `train.extend_cfg` adds.
OWN = {
    "DATASET.STAND_IN": OPTIONAL,
    "TASK": choice("B2N", "CD", "FS"),
    "TRAINER.FP16_LOSS": FLAG,
    "MODEL.BACKBONE.PATH": OPTIONAL,
    "MODEL.BACKBONE.SPEC": OPTIONAL,  # see `clipkit.load_clip`
    "MODEL.BACKBONE.VISUAL_WEIGHTS": OPTIONAL,
    "MODEL.BACKBONE.VISUAL_WEIGHTS_KEY": OPTIONAL,
    "INPUT.RESIZE_MODE": choice("shortest", "squash"),
    "TEST.FEATURE_BANK": FLAG,
    "TRAIN.FEATURE_BANK": FLAG,
    "TRAIN.COMPILE": FLAG,
    "TEST.OPEN_WORLD": choice("", "base", "new"),
    "TEST.ADV_SET": OPTIONAL,
}


def domains_of(trainer: str) -> dict[str, Domain]:
    """{dotted key: Domain} for a run of this method.

    A plugin's trainer may give keys of this project's methods other meanings, and may know more names than the engine,
    so for these keys only the domains that it declares are used. An unknown name counts as a plugin's.
    """
    found = ENGINE | OWN | NOISE | ATTACK | CORRUPTION | TEXT_NOISE | declared(DATASET_REGISTRY)
    if any(is_plugin(DATASET_REGISTRY.get(name)) for name in DATASET_REGISTRY.registered_names()):
        found.pop("DATASET.SUBSAMPLE_CLASSES")  # a plugin's dataset may know other values
    method = TRAINER_REGISTRY.get(trainer) if trainer in TRAINER_REGISTRY else None
    if method is not None and not is_plugin(method):
        return found | declared(TRAINER_REGISTRY)
    foreign = {key for key in declared(TRAINER_REGISTRY) if key not in NOISE} | OPEN | {"TASK"}
    return {key: domain for key, domain in found.items() if key not in foreign} | getattr(method, "config_domains", {})


def declared(registry: Registry) -> dict[str, Domain]:
    """{key: Domain} of all `config_domains` of the registered classes; if two have the same key, that of the first."""
    found: dict[str, Domain] = {}
    for name in registry.registered_names():
        found = {**getattr(registry.get(name), "config_domains", {}), **found}
    return found
