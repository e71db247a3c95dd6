"""A part of a suite: the runs that some of its blocks ask for, with the ids and folders that they have in the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from dassl.utils import InputError

from .suite import Run, Suite
from .values import unknown


def of_blocks(suite: Suite, names: Sequence[str]) -> Suite:
    """The part of these blocks; without names, the suite. names: of blocks, or patterns with * ? [ ].

    A run that several blocks share is there with all its tests. A block that waits for a choice brings the block of its
    candidates. Raises InputError for a name that is no block's.
    """
    if not names:
        return suite
    found = {block for name in names for block in _matches(suite, name)}
    found |= {source for block, source in suite.waiting.items() if block in found}
    part = tuple(block for block in suite.blocks if block in found)
    return replace(
        suite,
        runs=[run for run in suite.runs if found & _blocks_of(suite, run)],
        selects={block: select for block, select in suite.selects.items() if block in found},
        tried={block: tried for block, tried in suite.tried.items() if block in found},
        waiting={block: source for block, source in suite.waiting.items() if block in found},
        part=part if len(part) < len(suite.blocks) else (),
    )


def _matches(suite: Suite, name: str) -> list[str]:
    if name in suite.blocks:  # a name may hold a bracket
        return [name]
    found = [block for block in suite.blocks if fnmatchcase(block, name)]
    if not found:
        raise InputError(f"{suite.file}, --block: {unknown('block', name, suite.blocks)}")
    return found


def _blocks_of(suite: Suite, run: Run) -> set[str]:
    return {*run.blocks, *(block for block, _ in suite.same.get(run.id, ()))}
