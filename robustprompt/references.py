"""Published accuracies of zero-shot CLIP, to which ours are held (`doctor --calibrate`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PUBLISHED = Path(__file__).parent.parent / "bench" / "comparing" / "published"  # of papers, as `bench compare` has them
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
    for file in sorted(PUBLISHED.glob("*.json")):
        paper = json.loads(file.read_text(encoding="utf-8"))
        found += [each for table in paper["tables"] for each in _of_table(paper["paper"], table)]
    return [each for each in found if each.backbone == backbone]


def _of_table(paper: str, table: dict) -> Iterator[Reference]:
    """The clean accuracies of zero-shot CLIP in one published table; averages and harmonic means are left out."""
    averages = set(table.get("averages", ()))
    templates = PLAIN if table["protocol"] == "test_time" else COOP
    name = f"{paper}, {'Table ' if str(table['table']).isdecimal() else ''}{table['table']}"
    for row in table["cells"]:
        cell = dict(zip(table["columns"], row, strict=True))
        if table["methods"].get(cell["method"]) != {"method": "ZeroshotCLIP"} or cell["dataset"] in averages:
            continue
        if cell["value"] is None or cell.get("attack") or cell["part"] not in PARTS:
            continue
        if cell.get("metric", "accuracy") == "accuracy":
            backbone, digits = table["backbone"] or "", table.get("decimals", 2)
            yield Reference(backbone, cell["dataset"], PARTS[cell["part"]], templates, cell["value"], name, digits)
