"""The results of a suite's runs as rows of `collect`, in the suite's order."""

from __future__ import annotations

import pandas as pd
from pandas import DataFrame

from runs.config_names import UNTRAINED

from ..reading.collect import collect
from ..running.state import strangers, survey
from ..suites.suite import Run, Suite


def rows_of(suite: Suite, said: list[str], checked: bool = True) -> DataFrame:
    """Rows of `collect` with two more columns: `block`, the name of the run's block in the suite, and `untrained`.

    checked: leave out results with other settings than the suite's, with a sentence in `said`; if False, every result
    in the folders of the suite's runs is used, also those of earlier versions. A test is used only if the results of
    its training exist. Raises InputError if there is no output folder.
    """
    frame = with_attacked(suite, said, checked)
    attacked = frame["accuracy"].isna()  # evaluations under attack have a clean accuracy
    about = zip(frame[attacked]["folder"], frame[attacked]["settings"], strict=True)
    said += [f"{suite.output / folder} has no clean accuracy ({told}): it is left out." for folder, told in about]
    return frame[~attacked].reset_index(drop=True)


def with_attacked(suite: Suite, said: list[str], checked: bool = True) -> DataFrame:
    """`rows_of` with the tests on attacked pictures, which have no clean accuracy."""
    frame = _collected(suite, said, checked)
    runs = _kept(suite, set(frame["folder"]))
    frame = frame[frame["folder"].isin(list(runs))]
    frame = frame.assign(
        block=[runs[folder][1].block for folder in frame["folder"]],
        untrained=[runs[folder][1].method in UNTRAINED for folder in frame["folder"]],
        place=[runs[folder][0] for folder in frame["folder"]],
    )
    frame = pd.concat([frame, *_shared(suite, frame)])
    return frame.sort_values("place", kind="stable").drop(columns="place").reset_index(drop=True)


def _shared(suite: Suite, frame: DataFrame) -> list[DataFrame]:
    """The rows of runs that several blocks share, once more for each further block."""
    found = []
    for run in suite.runs:
        for block, variant in suite.same.get(run.id, ()):
            found.append(frame[frame["folder"].isin(_folders(suite, run))].assign(block=block, variant=variant))
    return found


def all_rows(suite: Suite, said: list[str], checked: bool = True) -> DataFrame:
    """Rows of `collect` of all runs in the suite's output folder, also those that are not the suite's.

    checked: leave out what `rows_of` leaves out of the suite's runs. Raises InputError if there is no output folder.
    """
    frame = _collected(suite, said, checked)
    if not checked:
        return frame
    own = {folder for run in suite.runs for folder in _folders(suite, run)}
    return frame[~frame["folder"].isin(list(own - set(_kept(suite, set(frame["folder"])))))]


def _folders(suite: Suite, run: Run) -> list[str]:
    """The folders of a run, below the suite's output folder."""
    return [folder.relative_to(suite.output).as_posix() for folder in run.folders]


def _collected(suite: Suite, said: list[str], checked: bool) -> DataFrame:
    """Rows of `collect`; checked: without results of the suite's runs that have other settings, which `said` names."""
    states = survey(suite.runs) if checked else {}
    undone = [run for run in suite.runs if checked and states[run.id].state != "done"]
    wrong = {_folders(suite, run)[i]: None for run in undone for i in strangers(run)}
    said += [f"{suite.output / folder} holds a run with other settings: it is left out." for folder in wrong]
    return collect(suite.output, said, without=wrong)


def _kept(suite: Suite, there: set[str]) -> dict[str, tuple[int, Run]]:
    """{folder: (place in the suite, run)} of the suite's results, of which `there` has the folders."""
    found: dict[str, tuple[int, Run]] = {}
    for place, run in enumerate(suite.runs):
        folders = _folders(suite, run)
        if run.method in UNTRAINED or folders[0] in there:
            found |= {folder: (place, run) for folder in folders if folder in there}
    return found


def told_apart(name: str, settings: str) -> str:
    """The name of a row, with the settings in which its runs differ from others of that name."""
    return f"{name} ({settings})" if settings else name
