"""Treats `TRAINER.SAR.ENABLED True` on a host as `--trainer <Host>SAR`: both are the same run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .rule import Rule

if TYPE_CHECKING:
    from .facts import Facts

ENABLED = "TRAINER.SAR.ENABLED"


def spelling(config: Mapping[str, object], facts: Facts) -> dict[str, object]:
    """The method's name and TRAINER.SAR.ENABLED for the run; nothing for an unknown method, which fails later.

    Raises InputError for a host that cannot encode arbitrary names.
    """
    name = str(config["TRAINER.NAME"])
    has = facts.has_sar(name)
    if has is None:
        return {}
    if config[ENABLED] and not has:
        return {"TRAINER.NAME": facts.with_sar(name)}
    return {ENABLED: has}


RULE = Rule("SAR is a method of its own", spelling)
