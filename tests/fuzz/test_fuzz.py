"""Random changes to what every entry point reads: it ends well with a right result, or with one sentence.

A hundred cases, with --long two hundred. FUZZ_CASES=5000 runs so many, FUZZ_SEED=2 others, FUZZ_CASE="train:17" one,
as a failure names it.
"""

from __future__ import annotations

import functools
import os
import shlex
from pathlib import Path
from random import Random

import harmless
import mutators
import odd
import oracle
import pytest
from entries import ENTRIES, Entry
from world import copy_world, make_world, working_in

SEED = int(os.environ.get("FUZZ_SEED", 1))
ONE = os.environ.get("FUZZ_CASE", "")
WEIGHTS = sum(entry.weight for entry in ENTRIES.values())


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    return make_world(tmp_path_factory.mktemp("fuzz") / "world")


def as_word(value: object) -> str:
    """No command line has a zero in it."""
    return str(value).replace("\x00", "\\0")


def change_words(rng: Random, argv: list[str]) -> tuple[list[str], str]:
    """A word is another, left out, doubled or moved; or one is added."""
    argv = list(argv) or [""]
    i = rng.randrange(len(argv))
    deed = rng.choice(["replace", "replace", "replace", "drop", "double", "move", "add", "flag"])
    if deed == "replace":
        argv[i] = as_word(odd.value(rng, argv[i]))
        return argv, f"word {i + 1} is {argv[i]!r:.60}"
    if deed == "drop":
        word = argv.pop(i)
        return argv, f"without {word!r}"
    if deed == "double":
        argv.insert(i, argv[i])
    elif deed == "move":
        word = argv.pop(i)
        argv.insert(rng.randrange(len(argv) + 1), word)
    else:
        flags = ["--help", "--nope", "--", "-x", "--seed"]
        word = as_word(odd.value(rng)) if deed == "add" else rng.choice(flags)
        argv.insert(rng.randrange(len(argv) + 1), word)
        return argv, f"also {word!r:.60}"
    return argv, f"{deed} word {i + 1}"


def keys_of(entry: Entry) -> list[str]:
    """The config keys that the method of the entry has."""
    from dassl.engine import TRAINER_REGISTRY
    from interop.plugins.config_keys import leaves
    from runs.defaults import default_cfg

    name = entry.arguments[entry.arguments.index("--trainer") + 1]
    own = set(getattr(TRAINER_REGISTRY.get(name), "config_defaults", {}))
    common = [key for key in leaves(default_cfg()) if not key.startswith("TRAINER.")]
    return sorted([*common, *own])


def set_key(rng: Random, entry: Entry, argv: list[str]) -> tuple[list[str], str]:
    from interop.plugins.config_keys import leaves
    from runs.defaults import default_cfg

    key = rng.choice(keys_of(entry))
    new = odd.value(rng, leaves(default_cfg()).get(key))
    word = as_word(new)
    return [*argv, key, word], f"{key} {word!r:.60}"


def one_case(entry: Entry, rng: Random, folder: Path) -> tuple[list[str], list[str]]:
    """Changes files below `folder`, or the command; (argv, what was changed)."""
    argv, told = list(entry.arguments), []
    for _ in range(rng.choice([1, 1, 1, 2])):
        draw = rng.random()
        if entry.files and draw < 0.6:
            pattern = rng.choice(entry.files)
            files = sorted(file for file in folder.glob(pattern) if file.is_file())
            if files:
                told.append(mutators.mutate(rng, rng.choice(files)).replace(f"{folder}/", ""))
        elif entry.trains and draw < 0.9:
            argv, what = set_key(rng, entry, argv)
            told.append(what)
        else:
            argv, what = change_words(rng, argv)
            told.append(what)
    return argv, told


def play(name: str, number: int, world: Path, place: Path) -> list[str]:
    """One case; the lines of its report where something is wrong."""
    entry, rng = ENTRIES[name], Random(f"{SEED}:{name}:{number}")
    folder = copy_world(world, place / f"{number}")
    argv, told = one_case(entry, rng, folder)
    with working_in(folder):
        found = oracle.run(entry.call, argv, folder)
        if entry.trains and not found.faults:
            found.faults += oracle.judge_run(found)
    if not found.faults:
        return []
    again = f'FUZZ_SEED={SEED} FUZZ_CASE="{name}:{number}" python -m pytest -n0 tests/fuzz'
    return [
        f"{'; '.join(found.faults)}",
        f"  changed: {'; '.join(told)}",
        f"  command: {entry.module} {shlex.join(argv)}",
        f"  again:   {again}",
        *([f"  {found.trace[-1500:]}"] if ONE else []),
    ]


@pytest.mark.parametrize("name", ENTRIES)
def test_it_ends_well_or_with_one_sentence(name, world, tmp_path, long_tests):
    cases = int(os.environ.get("FUZZ_CASES", 200 if long_tests else 100))
    numbers = range(max(1, round(cases * ENTRIES[name].weight / WEIGHTS)))
    if ONE:
        wanted, _, number = ONE.rpartition(":")
        numbers = [int(number)] if wanted == name else []
    reports = [line for number in numbers for line in play(name, number, world, tmp_path)]
    assert not reports, "\n" + "\n".join(reports)


@pytest.fixture(scope="module")
def unchanged(world, tmp_path_factory):
    """name -> (folder, outcome) of the entry's own command, run once."""

    @functools.cache
    def run(name: str) -> tuple[Path, oracle.Outcome]:
        return as_given(name, copy_world(world, tmp_path_factory.mktemp("unchanged") / "case"))

    return run


def as_given(name: str, folder: Path, argv: list[str] | None = None) -> tuple[Path, oracle.Outcome]:
    with working_in(folder):
        found = oracle.run(ENTRIES[name].call, argv or list(ENTRIES[name].arguments), folder)
        found.faults += oracle.judge_run(found) if ENTRIES[name].trains else []
    return folder, found


@pytest.mark.skipif(bool(ONE), reason="one case is asked for")
@pytest.mark.parametrize("name", ENTRIES)
def test_unchanged_it_ends_well(name, unchanged):
    """Otherwise every case would end at the same fault."""
    _, found = unchanged(name)
    told = found.faults, found.code, found.err[-500:], found.trace[-800:]
    assert not found.faults and found.code in (ENTRIES[name].ends, None), told


@pytest.mark.skipif(bool(ONE), reason="one case is asked for")
@pytest.mark.parametrize(("name", "change"), harmless.CHANGES, ids=lambda x: x)
def test_another_spelling_has_the_same_answer(name, change, unchanged, world, tmp_path):
    folder = copy_world(world, tmp_path / "case")
    argv = list(ENTRIES[name].arguments)
    argv = harmless.CHANGES[name, change](folder, argv) or argv
    folder, found = as_given(name, folder, argv)
    before, expected = unchanged(name)
    assert found.code == expected.code and not found.faults, (found.err, found.trace)
    assert harmless.answer(name, folder, found.out) == harmless.answer(name, before, expected.out)


NAMED = [name for name, entry in ENTRIES.items() if not entry.trains or name in ("train", "test", "resume", "CoOpSAR")]


@pytest.mark.skipif(bool(ONE), reason="one case is asked for")
@pytest.mark.parametrize("name", NAMED)
def test_a_name_that_is_longer_than_a_file_may_have(name, world, tmp_path):
    """A kind of its own: most questions about such a file end in an OSError."""
    argv, reports = list(ENTRIES[name].arguments), []
    folder = copy_world(world, tmp_path / "case")
    for i, word in enumerate(argv):
        path = word in ("data", "out") or "/" in word or ("." in word and word == word.lower())
        if word[0] in "-(" or not (path or not ENTRIES[name].trains):
            continue
        changed = [*argv[:i], "x" * 300, *argv[i + 1 :]]
        with working_in(folder):
            found = oracle.run(ENTRIES[name].call, changed, folder)
        reports += [f"word {i + 1} ({word}): {fault}" for fault in found.faults]
        if path and found.code == 0 and not found.records:
            reports.append(f"word {i + 1} ({word}): exit code 0, {found.out[-200:]}")
    assert not reports, "\n" + "\n".join(reports)
