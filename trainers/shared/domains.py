"""The domains of a method's config keys: its own, and those of names that mean the same in every method."""

from __future__ import annotations

from collections.abc import Mapping

from dassl.config.domains import FLAG, OPTIONAL, Domain, choice, whole

from .precision import PRECISIONS

COMMON = {
    "N_CTX": whole(1),
    "CTX_INIT": OPTIONAL,
    "CLASS_TOKEN_POSITION": choice("end", "middle", "front"),
    "PREC": choice(*PRECISIONS),
    "WATCH_EVERY": whole(),
}


def declare(defaults: Mapping[str, object], own: Mapping[str, Domain]) -> dict[str, Domain]:
    """{dotted key: Domain} for a method's `config_defaults`.

    own: by dotted key, or by what follows the method's node (TRAINER.COOP.W is W). Switches need no entry. Raises
    KeyError for a key that has no domain in either, so that none is forgotten.
    """
    found = {}
    for key, default in defaults.items():
        name = key.split(".", 2)[-1]
        found[key] = own.get(key) or own.get(name) or COMMON.get(name) or (FLAG if isinstance(default, bool) else None)
        if found[key] is None:
            raise KeyError(f"{key} has no domain: say in config_domains what it may be")
    return found
