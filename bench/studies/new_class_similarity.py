"""The distance of learned from hand-written prompts in the similarities of new classes, kept beside a suite's runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dassl.utils import InputError, write_json

from ..reading.files import DAMAGE, read_json, read_record
from ..suites.suite import Suite
from .claim import Claim

FILE = "new_class_similarity.json"  # in the suite's folder .bench


def divergences(suite: Suite, claims: Sequence[Claim]) -> tuple[dict[str, float], list[str]]:
    """({training folder, relative to the suite's output: mean KL divergence of new classes}, sentences on failures).

    It is the last column of `python -m bench.semantics`, in nats, for the finished trainings of the sides that claims
    on it compare. Each is computed once and kept with the run's hash of settings and its end, so a run that was made
    anew is computed anew.
    """
    sides = {
        (side.block, side.method)
        for claim in claims
        if claim.metric == "new-class KL"
        for side in (claim.left, claim.right)
        if side
    }
    file, said = suite.home / FILE, []
    kept: dict = {}
    with suppress(OSError, ValueError):
        read = read_json(file)
        kept = read if isinstance(read, dict) else {}
    found, fresh = {}, False
    for run in suite.runs:
        if (run.block, run.method) not in sides:
            continue
        name = run.folders[0].relative_to(suite.output).as_posix()
        try:
            record = read_record(run.folders[0] / "results.json")
        except DAMAGE:
            continue  # not finished
        mark = [record.get("settings_hash"), record.get("finished")]
        if not (isinstance(kept.get(name), list) and len(kept[name]) == 3 and kept[name][:2] == mark):
            try:
                kept[name] = [*mark, divergence_of(run.folders[0])]
            except InputError as error:
                said.append(str(error))
                continue
            fresh = True
        found[name] = float(kept[name][2])
    if fresh:
        with suppress(OSError):  # it only saves time
            write_json(kept, file)
    return found, said


def divergence_of(folder: Path) -> float:
    """The mean KL divergence of a trained run's new classes, in nats. Raises InputError as `read_semantics` does."""
    from datasets.reading.catalog import quiet

    from .semantics import read_semantics  # imported here: it brings torch in

    with quiet():
        own = read_semantics(folder)
    return float(own.divergence()[own.n_base :].mean())
