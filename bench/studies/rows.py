"""The results of a suite as rows: those of `collect` that its runs left, in the suite's order."""

from __future__ import annotations

from pandas import DataFrame

from runs.config_names import UNTRAINED

from ..reading.collect import collect
from ..running.state import strangers, survey
from ..suites.suite import Run, Suite


def rows_of(suite: Suite, said: list[str], checked: bool = True) -> DataFrame:
    """Rows as of `collect`, with `block`: the name of the suite's block that asks for it, and `untrained`.

    checked: results of other settings than the suite's are left out, and said; without it, what lies in the folders of
    its runs counts, as runs of earlier versions do. A test counts only beside its training. Raises InputError where
    there is no output folder.
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
    attacked = frame["accuracy"].isna()  # of evaluations under attack the clean accuracy is there
    about = zip(frame[attacked]["folder"], frame[attacked]["settings"], strict=True)
    said += [f"{suite.output / folder} has no clean accuracy ({told}): it is left out." for folder, told in about]
    frame = frame[~attacked]
    frame = frame.assign(
        block=[runs[folder][1].block for folder in frame["folder"]],
        untrained=[runs[folder][1].method in UNTRAINED for folder in frame["folder"]],
        place=[runs[folder][0] for folder in frame["folder"]],
    )
    return frame.sort_values("place", kind="stable").drop(columns="place").reset_index(drop=True)


def told_apart(name: str, settings: str) -> str:
    """A row's name, with what tells its runs from others of that name."""
    return f"{name} ({settings})" if settings else name
