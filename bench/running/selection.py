"""Chooses a value for each method among a suite's candidate runs, and writes the choice beside them."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence

import yaml
from tabulate import tabulate

from dassl.utils import InputError
from dassl.utils.counted import counted

from ..reading.files import percent, read_record, write_text
from ..suites.load import load
from ..suites.select import FILE, VALIDATION, Candidate, Select, mark
from ..suites.suite import Run, Suite
from .state import survey
from .trouble import writing

HEADERS = ["method", "candidates and their accuracy", "chosen", "published"]
TIE = 1e-9  # percentage points; sums of equal numbers may differ in the last digits


def choose(suite: Suite) -> dict:
    """The content of selected.yaml: for each block with `select` and each of its methods the value of the best score.

    A score is the mean accuracy over all runs of a candidate (sets, seeds, noise), in percent, on the validation
    images, or with `by: test` on the test images. Of equally good values it is the published one, else the first.
    Raises InputError if a candidate run is not finished, or was evaluated on other images.
    """
    if not suite.selects:
        raise InputError(f"{suite.file} has no block with `select`; docs/selection.md says what it is.")
    found = {}
    for name, select in suite.selects.items():
        tried = suite.tried[name]
        runs = [run for _, run in tried]
        states = survey(runs)
        if left := [run for run in runs if states[run.id].state != "done"]:
            raise InputError(
                f"{len(left)} of {counted(len(runs), 'candidate run')} of {name!r} not finished, such as {left[0]}; "
                f"python -m bench run {suite.file} runs them."
            )
        found[name] = _block(select, tried)
    return found


def write_choice(suite: Suite) -> dict:
    """Choose, and write selected.yaml atomically; it keeps what was chosen in blocks beside those of a part.

    Returns the new choices; raises as `choose`.
    """
    tree = choose(suite)
    file = suite.output / FILE
    before = load(file) if file.is_file() else {}
    kept = {name: own for name, own in before.items() if name in suite.blocks and name not in suite.selects}
    head = f"# Written by python -m bench select {suite.file} (docs/selection.md); to change it, change the suite.\n"
    with writing(file, "--output"):
        write_text(file, head + yaml.safe_dump(kept | tree, sort_keys=False))
    return tree


def told(tree: Mapping[str, dict]) -> str:
    """The choices as text, a table for each block with `select`."""
    parts = []
    for name, own in tree.items():
        rows = [
            [method, ", ".join(f"{value}: {score:.2f}" for value, score in each["scores"].items()), each["chosen"],
             each["published"] or "-"]
            for method, each in own["methods"].items()
        ]  # fmt: skip
        oracle = "" if own["by"] == VALIDATION else " (oracle: no result of a method without test labels)"
        title = f"{name}: {own['key']} by {own['by']} accuracy{oracle}, mean over {', '.join(own['datasets'])}"
        parts += [f"{title}; seeds {', '.join(map(str, own['seeds']))}", tabulate(rows, HEADERS, disable_numparse=True)]
    return "\n\n".join(parts)


def _block(select: Select, tried: Sequence[tuple[Candidate, Run]]) -> dict:
    methods: dict[str, dict] = {}
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    published: dict[str, str] = {}
    for candidate, run in tried:
        scores[candidate.method][candidate.value].append(_score(run, select))
        published[candidate.method] = candidate.published
    runs = [run for _, run in tried]
    for method, values in scores.items():
        means = {value: statistics.fmean(sorted(each)) for value, each in values.items()}
        best = max(means.values())
        equal = [value for value, mean in means.items() if mean >= best - TIE]
        value = published[method] if published[method] in equal else equal[0]
        methods[method] = {"chosen": value, "published": published[method], "scores": means}
    return {
        "key": select.key,
        "by": select.by,
        "datasets": list(dict.fromkeys(run.dataset for run in runs)),
        "seeds": sorted({run.seed for run in runs}),
        "candidates": mark(run.id for run in runs),
        "methods": methods,
    }


def _score(run: Run, select: Select) -> float:
    """The accuracy of a finished candidate run in percent."""
    file = run.folders[0] / "results.json"
    record = read_record(file)
    wanted = "val" if select.by == VALIDATION else "test"
    if record.get("split") != wanted:
        raise InputError(
            f"{file} is of the images {record.get('split')!r}, not {wanted!r}; remove it and run it again."
        )
    return percent(record["results"], "accuracy")
