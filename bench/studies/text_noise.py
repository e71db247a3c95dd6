"""What noise in the text costs each method, by kind and strength, and whether it costs one less than the others.

python -m bench.text_noise run --jobs 2
python -m bench.text_noise --tables-only --markdown table.md     # of the runs that are there

Tests with misspelt names, words for other things, and noise on embeddings, of models trained on clean text; and
training under sentences of other classes (docs/text_noise.md). --of names the method that is compared with the others.
The suite is configs/suites/text_noise.yaml, whose runs `python -m bench run` makes too.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Mapping

from pandas import DataFrame

from dassl.utils.ends import one_sentence
from dassl.utils.spread import mark_of, marked_as, mean, shown, words
from runs.config_names import UNTRAINED

from ..drawing.base_new import harmonic_mean
from ..drawing.collapse import marked
from ..drawing.report import Section
from ..reading.layout import dataset_name
from ..reading.order import method_order
from ..suites.suite import Suite
from . import door
from .bootstrap import DRAWS, SHARE, Cell, paired_interval

Condition = tuple[str, float]  # kind and strength
Losses = Mapping[str, Mapping[Condition, Mapping[Cell, float]]]  # of each method, in percentage points
ALL: Condition = ("all of these", 0.0)  # the mean over the conditions
LOST = (
    "Percentage points of accuracy, clean less noisy: mean over sets of means over seeds, all classes; in brackets the "
    f"{SHARE:.0%} interval by the bootstrap over sets and seeds, {DRAWS} draws. The last row is the mean of the others."
)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--methods", nargs="+", help="default: the suite's")
    parser.add_argument("--datasets", nargs="+", help="default: the suite's")
    parser.add_argument(
        "--of", default="ANPrompt", metavar="METHOD", help="compared with the others (default: ANPrompt)"
    )


def fill(tree: dict, args: argparse.Namespace) -> None:
    """Put the options into the suite's tree. Wrong sentences concern the methods that learn from sentences alone."""
    for block in tree["blocks"]:
        if args.methods:
            kept = [name for name in args.methods if name in block["methods"] or "sweep" not in block]
            block["methods"] = kept
        if args.datasets:
            block["datasets"] = args.datasets
    tree["blocks"] = [block for block in tree["blocks"] if block["methods"]]


def losses(frame: DataFrame) -> dict[str, dict[Condition, dict[Cell, float]]]:
    """{method: {condition: {(set, seed): accuracy lost}}} from the rows of the study's runs. `ALL` is a cell's mean
    over the conditions, if it has all that any has. Zero-shot CLIP's clean test stands for every seed. Losses of runs
    whose class features collapsed are marked."""
    rows = list(zip(frame.to_dict("records"), marked(frame), strict=True))
    clean = {(r["method"], r["dataset"], r["seed"]): x for r, x in rows if r["protocol"] == "few_shot"}
    found: dict[str, dict[Condition, dict[Cell, float]]] = {}
    for row, accuracy in rows:
        if row["protocol"] != "text_noise":
            continue
        kind, _, strength = row["condition"].rpartition("-")
        start = clean.get((row["method"], row["dataset"], row["seed"]))
        if start is None and row["method"] in UNTRAINED:
            start = next((x for (m, d, _), x in clean.items() if (m, d) == (row["method"], row["dataset"])), None)
        if start is not None:
            own = found.setdefault(row["method"], {}).setdefault((kind, float(strength)), {})
            own[row["dataset"], row["seed"]] = marked_as(start - accuracy, (start, accuracy))
    conditions = {condition for own in found.values() for condition in own}
    for own in found.values():
        whole = set.intersection(*(set(own.get(condition, {})) for condition in conditions))
        own[ALL] = {cell: mean([own[condition][cell] for condition in conditions]) for cell in whole}
    return dict(sorted(found.items(), key=lambda pair: method_order(pair[0])))


def conditions_of(found: Losses) -> list[Condition]:
    """The conditions in order, by kind as the suite has them and by strength; the mean over them last."""
    there = dict.fromkeys(each for own in found.values() for each in own if each != ALL)
    kinds = list(dict.fromkeys(kind for kind, _ in there))
    return [*sorted(there, key=lambda each: (kinds.index(each[0]), each[1])), ALL]


def told(differences: Mapping[Cell, float]) -> str:
    """ "+3.21 [2.10, 4.40]"; the mean alone for a single cell, "-" for none; a mark of one of them behind it."""
    if not differences:
        return "-"
    found, mark = paired_interval(differences), mark_of(differences.values())
    interval = "" if math.isnan(found.low) else f" [{found.low:+.2f}, {found.high:+.2f}]"
    return f"{found.mean:+.2f}{interval}{f' {mark}' if mark else ''}"


def less(found: Losses, of: str, other: str, condition: Condition) -> dict[Cell, float]:
    """The loss of `of` less that of `other`, where both have one."""
    own, theirs = (found[name].get(condition, {}) for name in (of, other))
    pairs = {cell: (own[cell], theirs[cell]) for cell in own if cell in theirs}
    return {cell: marked_as(left - right, (left, right)) for cell, (left, right) in pairs.items()}


def statement(found: Losses, of: str, other: str) -> str:
    """Under how many conditions `of` loses less than `other`, and more, by intervals without 0; and over all."""
    cells = [less(found, of, other, each) for each in conditions_of(found)]
    intervals = [paired_interval(each) if each else None for each in cells]
    single, whole = [each for each in intervals[:-1] if each is not None], intervals[-1]
    fewer = sum(each.high < 0 for each in single)
    more = sum(each.low > 0 for each in single)
    text = (
        f"- {of} loses less than {other} under {fewer} of {len(single)} kinds and strengths, more under {more}; the "
        f"interval of the other {len(single) - fewer - more} contains 0 or there is none."
    )
    if whole is None or math.isnan(whole.low):
        return text + " Over all of them there is no interval."
    says = "loses less" if whole.high < 0 else "loses more" if whole.low > 0 else "is not told apart from it"
    return f"{text} Over all of them it {says}: {whole.mean:+.2f} points [{whole.low:+.2f}, {whole.high:+.2f}]."


def gaps(found: Losses) -> Iterable[str]:
    """A sentence for each method that lacks a test which another one has."""
    for name, own in found.items():
        lacking = [
            f"{kind} {strength:g} on {dataset_name(dataset)}, seed {seed}"
            for kind, strength in conditions_of(found)[:-1]
            for dataset, seed in sorted({c for each in found.values() for c in each.get((kind, strength), {})})
            if (dataset, seed) not in own.get((kind, strength), {})
        ]
        if lacking:
            yield f"{name} lacks {len(lacking)} of the tests that others have, such as {lacking[0]}."


def wrong_sentences(frame: DataFrame) -> Section:
    """Base, new, and their harmonic mean after training under wrong sentences, and what is lost of the last."""
    halves: dict[tuple[str, float], dict[Cell, dict[str, float]]] = {}
    frame = frame[frame["protocol"] == "base2new"]
    for row, accuracy in zip(frame.to_dict("records"), marked(frame), strict=True):
        rate = float(str(row["variant"]).rpartition("WRONG_RATE=")[2] or 0)
        cell = halves.setdefault((row["method"], rate), {}).setdefault((row["dataset"], row["seed"]), {})
        cell[row["part"]] = accuracy
    rows = []
    hm = {
        key: {c: marked_as(harmonic_mean(**x), x.values()) for c, x in cells.items() if len(x) == 2}
        for key, cells in halves.items()
    }
    for method, rate in sorted(halves, key=lambda key: (method_order(key[0]), key[1])):
        cells = halves[method, rate]
        own, clean = hm[method, rate], hm.get((method, 0.0), {})
        pairs = {cell: (clean[cell], own[cell]) for cell in own if cell in clean}
        lost = told({cell: marked_as(a - b, (a, b)) for cell, (a, b) in pairs.items()}) if rate else ""
        parts = [_over_sets({c: x[part] for c, x in cells.items() if part in x}) for part in ("base", "new")]
        rows.append([method, f"{rate:g}", *parts, _over_sets(own), lost])
    note = f"Accuracy in %, mean over sets; ± is {words()} of that mean. HM lost: against rate 0, interval as above."
    heads = ["method", "wrong sentences", "base", "new", "HM", "HM lost"]
    return Section("Training under sentences of other classes", note, heads, rows)


def _over_sets(values: Mapping[Cell, float]) -> str:
    """Mean and spread over the seeds that have every set, of the mean over the sets."""
    sets = {dataset for dataset, _ in values}
    seeds = [s for s in sorted({seed for _, seed in values}) if all((d, s) in values for d in sets)]
    return shown([mean([values[d, s] for d in sets]) for s in seeds])


def sections(found: Losses, of: str) -> list[Section]:
    """The losses of each method, and those of `of` less those of the others."""
    rows = [(each, each[0], "" if each == ALL else f"{each[1]:g}") for each in conditions_of(found)]
    lost = [[kind, strength, *(told(own.get(each, {})) for own in found.values())] for each, kind, strength in rows]
    made = [Section("Accuracy lost by noise in the text of a test", LOST, ["kind", "strength", *found], lost)]
    others = [name for name in found if name != of]
    if of in found and others:
        apart = [[kind, strength, *(told(less(found, of, o, each)) for o in others)] for each, kind, strength in rows]
        note = f"Loss of {of} less that of the method above, on the same sets and seeds; below 0: {of} loses less."
        made.append(Section(f"{of} beside the others", note, ["kind", "strength", *others], apart))
    return made


def page(frame: DataFrame, suite: Suite, args: argparse.Namespace) -> door.Page:
    if frame.empty:
        return door.Page()
    found = losses(frame)
    made = sections(found, args.of) if found else []
    end = "\n".join(statement(found, args.of, o) for o in found if o != args.of) if args.of in found else ""
    return door.Page([*made, wrong_sentences(frame)], list(gaps(found)), end)


STUDY = door.Study("text_noise", __doc__, "text_noise", options, fill, page)


@one_sentence("interrupted: the same command goes on where it stopped")
def main(argv: list[str] | None = None) -> int:
    return door.main(STUDY, argv)
