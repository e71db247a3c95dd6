"""The one entrance: `python -m robustprompt WORD ...` leads to every command (docs/running.md), and in a notebook
`import robustprompt as rp` to runs as objects (docs/notebooks/first_run.ipynb):

run = rp.train("CoOp", "digits", shots=16, seed=1, backbone="Embedded")
run.accuracy, run.logits(images), run.features("test")
rp.zero_shot("digits"), rp.load(folder), rp.evaluate(run, attack="pgd", eps=4)

Nothing more is imported before one of these names is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .attacked import Attacked, evaluate
    from .notebook import load, train, zero_shot
    from .trained import Features, Run

__all__ = ["Attacked", "Features", "Run", "evaluate", "load", "train", "zero_shot"]

_HOME = {"Attacked": "attacked", "evaluate": "attacked", "Features": "trained", "Run": "trained"}  # else notebook


def __getattr__(name: str) -> object:
    """The names of the Python interface. Raises InputError where there is no checkout to take the methods from."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    from .checkout import enter

    enter()
    return getattr(importlib.import_module(f".{_HOME.get(name, 'notebook')}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
