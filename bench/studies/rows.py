"""The results of a suite's runs as rows of `collect`, in the suite's order."""

from __future__ import annotations

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
    frame = collect(suite.output, said)
    there = set(frame["folder"])
    states = survey(suite.runs) if checked else {}
    runs: dict[str, tuple[int, Run]] = {}
    for place, run in enumerate(suite.runs):
        folders = [folder.relative_to(suite.output).as_posix() for folder in run.folders]
        wrong = strangers(run) if checked and states[run.id].state != "done" else []
        said += [f"{run.folders[i]} holds a run with other settings: it is left out." for i in wrong]
        if run.method not in UNTRAINED and (0 in wrong or folders[0] not in there):
            continue
        runs |= {folder: (place, run) for i, folder in enumerate(folders) if i not in wrong}
    frame = frame[frame["folder"].isin(list(runs))]
    attacked = frame["accuracy"].isna()  # evaluations under attack have a clean accuracy
    about = zip(frame[attacked]["folder"], frame[attacked]["settings"], strict=True)
    said += [f"{suite.output / folder} has no clean accuracy ({told}): it is left out." for folder, told in about]
    frame = frame[~attacked]
    frame = frame.assign(
        block=[runs[folder][1].block for folder in frame["folder"]],
        untrained=[runs[folder][1].method in UNTRAINED for folder in frame["folder"]],
        place=[runs[folder][0] for folder in frame["folder"]],
    )
    return frame.sort_values("place", kind="stable").drop(columns="place").reset_index(drop=True)


def left_out(suite: Suite, frame: DataFrame) -> set[str]:
    """The folders of the suite's runs that have no row in `frame` (of `rows_of`), below the suite's output folder."""
    folders = {folder.relative_to(suite.output).as_posix() for run in suite.runs for folder in run.folders}
    return folders - set(frame["folder"])


def told_apart(name: str, settings: str) -> str:
    """The name of a row, with the settings in which its runs differ from others of that name."""
    return f"{name} ({settings})" if settings else name
