"""Our methods by name. `entrance.extend_cfg` puts those that were asked for into Dassl's registry."""

from dassl.utils.registry import Registry

TRAINER_REGISTRY = Registry("ROBUSTPROMPT")
