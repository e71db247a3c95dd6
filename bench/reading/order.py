"""The order of methods in tables."""

from __future__ import annotations

from interop.plugins.names import plain
from runs.config_names import PUBLISHED, UNTRAINED


def method_order(method: str) -> tuple:
    """The key by which methods are sorted: those without training, then the order of docs/methods.md, then names.

    method: a registered name, or the name of a row, such as "CoOp (OPTIM.LR 0.002)".
    """
    known = list(PUBLISHED)
    name = plain(method.partition(" (")[0])  # a checkout's own version stands beside ours
    return name not in UNTRAINED, known.index(name) if name in known else len(known), method
