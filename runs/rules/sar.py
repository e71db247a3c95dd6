"""`TRAINER.SAR.ENABLED True` on a host and `--trainer <Host>SAR` are two spellings of one run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .rule import Rule

if TYPE_CHECKING:
    from .facts import Facts

ENABLED = "TRAINER.SAR.ENABLED"


def spelling(config: Mapping[str, object], facts: Facts) -> dict[str, object]:
    """Raises InputError for a host that cannot encode arbitrary names. An unknown method is left to its builder."""
    name = str(config["TRAINER.NAME"])
    has = facts.has_sar(name)
    if has is None:
        return {}
    if config[ENABLED] and not has:
        return {"TRAINER.NAME": facts.with_sar(name)}
    return {ENABLED: has}


RULE = Rule("SAR is a method of its own", spelling)
