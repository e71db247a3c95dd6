"""Finds the outputs of runs, and checks that they are those that the run wrote."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dassl.outputs.kept import sha256
from dassl.outputs.pairs import check_same_model
from dassl.outputs.reading import Outputs, read_outputs
from dassl.utils import InputError
from dassl.utils.counted import counted
from dassl.utils.errors import unreadable

from .accounts import Account, account, differing, hashes_in
from .apart import mixed
from .files import DAMAGE, check_record, damaged, find, open_record, read_json, short


@dataclass(frozen=True)
class Scored:
    """The outputs of one test. name: for tables; file: which was read; record: the run's results.json, None for a file
    alone."""

    name: str
    file: Path
    outputs: Outputs
    record: dict | None = None


def read_places(places: list[Path]) -> list[Scored]:
    """The outputs at each place: a file of outputs, a run's folder, or a folder with runs below it. In a folder of
    several runs, those that kept no outputs are left out. What is at two of the places counts once. Tests of one name
    below two places have the place in it.

    Raises InputError where there are none, and for a file that is not the one that its run wrote.
    """
    met: dict[str, tuple[Path, Scored]] = {}
    for place in map(Path, places):
        for each in _at(place):
            met.setdefault(os.path.realpath(each.file), (place, each))
    homes: dict[str, set[Path]] = defaultdict(set)
    for place, each in met.values():
        homes[test_of(each.name)].add(place)
    return [
        replace(each, name=os.path.join(place, each.name)) if len(homes[test_of(each.name)]) > 1 else each
        for place, each in met.values()
    ]


def test_of(name: str) -> str:
    """The name of a test without its seed's folder: what is averaged over seeds has the same one."""
    return re.sub(r"/?seed\d+$", "", name) or "."


def check_alike(found: Sequence[Scored]) -> None:
    """Raises InputError where runs that would be averaged over seeds differ in more than the seed."""
    tests: dict[str, list[Account]] = defaultdict(list)
    for each in found:
        results = each.file.with_name("results.json")
        if each.record is not None and results.is_file():
            tests[test_of(each.name)].append(account(results, *open_record(results)))
    for name, accounts in tests.items():
        if sentence := mixed(accounts):
            raise InputError(
                f"{name}: its runs differ in more than the seed, {sentence}; score them without --means, or those that "
                "belong together."
            )


def read_place(place: Path) -> Scored:
    """The outputs at a place that must be of one test."""
    found = read_places([place])
    if len(found) > 1:
        raise InputError(f"{place} has {counted(len(found), 'run')} with outputs; name the folder of one.")
    return found[0]


def check_one_model(first: Scored, second: Scored) -> None:
    """Raises InputError where what is known of the models of two tests differs: method and seed, the tested weights,
    the data set and the settings of the training. Of files alone the data sets must be equal, if both name one."""
    check_same_model(first.outputs, second.outputs)
    ours, theirs = _weights(first), _weights(second)
    if ours & theirs:
        return
    if ours and theirs:
        raise InputError(
            f"{first.name} is of other trained weights than {second.name}, by their hashes; give tests of one trained "
            "model."
        )
    one, two = _training(first), _training(second)
    if one and two:
        if differs := differing([one, two], training=True):
            key, (a, b) = next(iter(differs.items()))
            raise InputError(
                f"{first.name} is of a model that was trained with other settings than that of {second.name} ({key} "
                f"{a} and {b}); give tests of one trained model."
            )
        if not (one.learns or two.learns):
            return  # such as zero-shot CLIP, which is one model on all data sets
        if one.seed is not None and two.seed is not None and one.seed != two.seed:
            raise InputError(
                f"{first.name} is of a model of seed {one.seed}, but {second.name} of seed {two.seed}; give tests of "
                "one trained model."
            )
    a, b = (
        own.dataset if own and own.dataset else each.outputs.about.get("dataset")
        for own, each in ((one, first), (two, second))
    )
    if a and b and a != b:
        raise InputError(
            f"{first.name} is of a model trained on {a}, but {second.name} on {b}, as far as their files say; give "
            "tests of one trained model, by the folders of its runs."
        )


def _weights(found: Scored) -> frozenset[str]:
    """The hashes of the weights that a run tested: of one epoch, or of all that a training kept; empty if unknown."""
    record = found.record or {}
    if record.get("model_dir"):
        return frozenset({str(record["model_sha256"])} if record.get("model_sha256") else ())
    return hashes_in(found.file.parent) if found.record is not None else frozenset()


def _training(found: Scored) -> Account | None:
    """The account of the run that trained the model of a test, or of a run that learns nothing; None if unknown."""
    results = found.file.with_name("results.json")
    if found.record is None or not results.is_file():
        return None
    own = account(results, *open_record(results))
    return own.trained if own.tested else own


def base_of(found: Scored) -> Scored:
    """The test on its base classes of the model that a test is of: that of the run that trained it."""
    trained = (found.record or {}).get("model_dir")
    if not trained:
        raise InputError(
            f"{found.name} does not name the run that trained its model; give a test of a trained model, or the "
            "outputs on the base classes by --base RUN."
        )
    if not os.path.exists(trained):
        raise InputError(
            f"The run that trained the model of {found.name} is not at {trained}; start where the runs were made, or "
            "give its outputs by --base RUN."
        )
    return read_place(Path(trained))


def _at(place: Path) -> list[Scored]:
    try:
        os.stat(place)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        why = unreadable(error) or error
        raise InputError(f"{place} cannot be read ({why}); make it readable, or give another.") from error
    if os.path.isfile(place):
        return [Scored(str(place), place, read_outputs(place))]
    if not os.path.isdir(place):
        raise InputError(f"There is no {place}; give a run's folder, or a file of outputs (.npz, .csv, .parquet).")
    files = [Path(file) for _, file in find(place)]
    alone = len(files) == 1
    found = [_of_run(file, str(file.parent) if alone else os.path.relpath(file.parent, place), alone) for file in files]
    kept = [each for each in found if each is not None]
    if not kept:
        why = f"none of {counted(len(files), 'run')} kept outputs" if files else "there is no finished run in it"
        raise InputError(
            f"{place} has no outputs ({why}); test a trained run once more with --eval-only, another --output-dir, and "
            "TEST.OUTPUTS top5 or logits."
        )
    return kept


def _named(record: dict, key: str) -> dict:
    """The parts of a record's value, each with its place as the name; the value itself if it has none."""
    value = record.get(key) or {}
    return {f"{key}, {name}": each for name, each in value.items()} if isinstance(value, dict) else {key: value}


def _of_run(results: Path, name: str, needed: bool) -> Scored | None:
    """The outputs that results.json names; None where it names none (an error if `needed`)."""
    try:
        record = check_record(read_json(results))
        told = {"scores": record.get("scores"), **_named(record, "other_scores")}
        if wrong := next((name for name, each in told.items() if not isinstance(each or {}, dict)), None):
            raise ValueError(f"{wrong} is {short(told[wrong])}")
        kept = record.get("outputs")
        said = None if kept is None else (str(kept["file"]), str(kept["sha256"]))
    except DAMAGE as error:
        raise damaged(results, error) from error
    if said is None:
        older = results.with_name("outputs.csv")
        if older.is_file():
            return Scored(name, older, read_outputs(older), record)
        if needed:
            raise InputError(
                f"{results.parent} kept no outputs (an older run, or TEST.OUTPUTS none); test it once more with "
                "--eval-only, another --output-dir, and TEST.OUTPUTS top5 or logits."
            )
        return None
    file = results.with_name(Path(said[0]).name)
    outputs = read_outputs(file)
    try:
        digest = sha256(file)
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error}); make it readable.") from error
    if digest != said[1]:
        raise InputError(
            f"{file} is not the file that this run wrote: its hash is not the one in {results.name}; bring back the "
            "run's own, or score this one by its name."
        )
    return Scored(name, file, outputs, record)
