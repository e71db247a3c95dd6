"""Registry of the exported methods, from which `entrance.extend_cfg` adds them to Dassl's registry."""

from dassl.utils.registry import Registry

TRAINER_REGISTRY = Registry("ROBUSTPROMPT")
