"""`robustprompt doctor --calibrate`: zero-shot CLIP on every dataset that is there, beside the published accuracy.

Nothing is drawn in zero-shot CLIP: with the same weights, split, class names and template the same images are right.
So a difference is a mistake in the data, and the likely one is named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor

from dassl.utils import InputError
from dassl.utils.counted import counted
from datasets.commands.checkup import examine
from datasets.reading.catalog import Entry, find
from datasets.reading.split_hashes import SPLIT_SHA256
from datasets.templates import DEFAULT, STYLES, clean_name, custom_template, template_set
from runs.config_names import EMBEDDED

from .notebook import zero_shot
from .references import COOP, PLAIN, Reference, references

NEAR = 0.3  # points: rounding, half precision and versions of Pillow stay below
HEADS = ("dataset", "classes", "images", "ours", "published", "difference", "by", "likely cause")


@dataclass
class Measured:
    """Zero-shot CLIP on one dataset. features [N, d] and labels [N] of the test images; names: of the C classes;
    texts: {template: class features [C, d]}, filled as they are asked for; wrong: what is wrong with the split."""

    entry: Entry
    features: Tensor
    labels: Tensor
    names: list[str]
    encode: Callable[[list[str]], Tensor]
    wrong: str = ""
    texts: dict[str, Tensor] = field(default_factory=dict)

    def accuracy(self, templates: Sequence[str], part: str = "all") -> tuple[float, int]:
        """(accuracy in percent, images) on the images of a part, whose classes alone are the candidates."""
        classes, half = len(self.names), (len(self.names) + 1) // 2
        low, high = {"all": (0, classes), "base": (0, half), "new": (half, classes)}[part]
        own = torch.arange(low, high)
        for each in templates:
            if each not in self.texts:
                self.texts[each] = self.encode([each.format(clean_name(name)) for name in self.names])
        text = torch.nn.functional.normalize(torch.stack([self.texts[each][own] for each in templates]).mean(0), dim=-1)
        there = torch.isin(self.labels, own)
        answer = own[(self.features[there] @ text.T).argmax(1)]
        return 100 * (answer == self.labels[there]).double().mean().item(), int(there.sum())


def calibrate(root: Path, output: Path, backbone: str, names: Sequence[str] = ()) -> tuple[str, int]:
    """(the text, 1 if a difference is larger than `NEAR` else 0).

    root: folder of the datasets; output: where the runs go, finished ones are not repeated. names: datasets; default:
    all that are there and have a published number. Raises InputError if there is none.
    """
    wanted: dict[str, list[Reference]] = {}
    for each in references(backbone):
        wanted.setdefault(each.dataset, []).append(each)
    if not wanted:
        raise InputError(f"There is no published zero-shot accuracy of {backbone}; take ViT-B/16, RN50, Embedded.")
    chosen = [find(name).stem for name in names] or [
        name for name in wanted if backbone == "Embedded" or find(name).folder(root).is_dir()
    ]
    if unknown := [name for name in chosen if name not in wanted]:
        raise InputError(f"No paper here has zero-shot {backbone} on {unknown[0]}; there is {', '.join(wanted)}.")
    if not chosen:
        raise InputError(f"None of {', '.join(wanted)} is in {root}; --root names the folder of the datasets.")
    measured = {name: _measure(name, root, output, backbone) for name in chosen}
    rows = [
        (each, *measured[name].accuracy(_templates(each, measured[name]), each.part))
        for name in chosen
        for each in wanted[name]
    ]
    return _text(backbone, rows, measured)


def _measure(name: str, root: Path, output: Path, backbone: str) -> Measured:
    entry = find(name)
    run = zero_shot(name, backbone=backbone, data=root, output=output, seed=1)
    found = run.features("test")
    encoder = run.predictor.trainer.text_encoder  # type: ignore[attr-defined]

    @torch.no_grad()
    def encode(texts: list[str]) -> Tensor:
        features = encoder.encode_texts(texts).float().cpu()
        return torch.nn.functional.normalize(features, dim=-1)

    wrong = "" if name in EMBEDDED else next(iter(examine(entry, root, quick=True).problems), "")
    return Measured(entry, found.images.float().cpu(), found.labels, run.classnames, encode, wrong)


def _templates(reference: Reference, measured: Measured) -> list[str]:
    return [DEFAULT if reference.templates == PLAIN else custom_template(measured.entry.name)]


def _text(
    backbone: str, rows: Sequence[tuple[Reference, float, int]], measured: dict[str, Measured]
) -> tuple[str, int]:
    far = [each.dataset for each, ours, _ in rows if abs(ours - each.accuracy) > NEAR]
    lines = []
    for each, ours, images in rows:
        off = ours - each.accuracy
        cause = _cause(each, measured[each.dataset], set(far), len(measured)) if abs(off) > NEAR else ""
        published = f"{each.accuracy:.{each.digits}f}"
        lines.append([each.dataset, each.part, images, f"{ours:.2f}", published, f"{off:+.2f}", each.source, cause])
    table = tabulate(lines, HEADS, disable_numparse=True, colalign=("left", "left", *["right"] * 4, "left", "left"))
    said = (
        f"{counted(len(far), 'number')} of {len(rows)} differ by more than {NEAR:g} points."
        if far
        else f"All {len(rows)} agree to {NEAR:g} points: data, names, templates and weights are those of the source."
    )
    head = (
        f"Zero-shot {backbone}, accuracy in %; base, new: the halves of the classes, each with its own as candidates."
    )
    return f"{head}\n\n{table}\n\n{said}", int(bool(far))


def _cause(reference: Reference, own: Measured, far: set[str], count: int) -> str:
    """The likely cause of a difference: the split is looked at first, then templates, then whether all sets are off."""
    if own.wrong:
        return f"split: {own.wrong.rstrip('.')}"
    name, used = own.entry.name, _templates(reference, own)
    others = {"'a photo of a {}.'": [DEFAULT], "CoOp's template": [custom_template(name)]}
    others |= {f"the template of {style}": [custom_template(name, style)] for style in STYLES if style != COOP}
    others |= {f"template set {kind}": template_set(kind, name) for kind in ("select", "select+custom")}
    for told, templates in others.items():
        if templates != used and abs(own.accuracy(templates, reference.part)[0] - reference.accuracy) <= NEAR:
            return f"template: {told} gives the published number"
    if count > 1 and len(far) > count / 2:
        return f"weights, or how images are prepared: {len(far)} of {counted(count, 'dataset')} differ"
    if name in SPLIT_SHA256:
        return "images (other versions of the files) or weights: split and class names are CoOp's"
    return "class names, or other images than the paper's"
