"""Published accuracies of zero-shot CLIP, to which ours are held (`doctor --calibrate`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from bench.comparing.published import load, papers

SHIPPED = Path(__file__).with_name("shipped_zero_shot.json")  # of the embedded CLIP, as it was shipped
PARTS = {"base": "base", "new": "new", "source": "all", "target": "all", "all": "all"}
# Papers on test-time tuning write "a photo of a {}." for every set, all others CoOp's templates.
PLAIN, COOP = "plain", "coop"


class Reference(NamedTuple):
    """An accuracy in percent. dataset: a config's name; part: all, base or new; templates: plain or coop; source: who
    prints it; digits: that are printed behind the point."""

    backbone: str
    dataset: str
    part: str
    templates: str
    accuracy: float
    source: str
    digits: int = 2


def references(backbone: str) -> list[Reference]:
    """Those of one backbone, by its name in the papers ("ViT-B/16", "RN50") or "Embedded"."""
    found = [Reference(**each) for each in json.loads(SHIPPED.read_text(encoding="utf-8"))["accuracies"]]
    for name in papers():
        for table in load(name).tables:
            averages = set(table.averages)
            for cell in table.cells:
                ours = table.methods.get(cell.method)
                if not ours or ours.method != "ZeroshotCLIP" or ours.settings or cell.dataset in averages:
                    continue
                if cell.value is None or cell.metric != "accuracy" or cell.attack or cell.part not in PARTS:
                    continue
                templates = PLAIN if table.protocol == "test_time" else COOP
                found.append(
                    Reference(
                        table.backbone or "", cell.dataset, PARTS[cell.part], templates, cell.value, table.name,
                        table.decimals,
                    )
                )  # fmt: skip
    return [each for each in found if each.backbone == backbone]
