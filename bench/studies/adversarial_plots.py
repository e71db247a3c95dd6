"""Plots accuracy over eps and over steps: a panel for each dataset, attack and attacker, a line for each method."""

from __future__ import annotations

from pathlib import Path

from ..drawing import figures
from ..drawing.multiples import Panel, draw
from ..reading.layout import dataset_name
from .adversarial_tables import Found, curves

KNOWING = "white-box or adaptive"  # attackers who know the method; a method has one of them
ATTACKERS = {"transfer": "transfer", "white-box": KNOWING, "adaptive": KNOWING}
NOTE = "Lines: means over seeds; small dots: the single seeds"


def plot(found: Found, folder: Path) -> list[Path]:
    """Draw the plots and return their files."""
    made = []
    for index, name, axis in ((0, "eps", "eps, in 1/255"), (1, "steps", "steps of the attack")):
        panels = [
            Panel(f"{dataset_name(dataset)}, {attack}\n{attacker}", lines, _ticks(lines) if index else ())
            for dataset in found.datasets
            for attack in found.attacks
            for attacker in dict.fromkeys(ATTACKERS[kind] for kind in found.kinds)
            if (lines := _lines(found, dataset, attack, attacker, index))
        ]
        if panels:
            figure = draw(panels, axis, "accuracy, %", NOTE, log=bool(index))
            made += figures.save(figure, folder, f"accuracy_{name}")
    return made


def _lines(found: Found, dataset: str, attack: str, attacker: str, index: int) -> dict[str, dict]:
    """{method: {x: accuracies}} of the methods with at least two points; of an attacker who is both, the stronger."""
    lines = {}
    for method in found.methods:
        for kind in found.kinds:
            if ATTACKERS[kind] == attacker:
                points = curves(found, method, dataset, attack, kind)[index]
                if len(points) > 1:
                    lines[method] = points
    return lines


def _ticks(lines: dict[str, dict]) -> list[tuple[float, str]]:
    return [(x, str(x)) for x in sorted({x for points in lines.values() for x in points})]
