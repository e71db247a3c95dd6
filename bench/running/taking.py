"""Takes finished runs from other output folders, so that no suite computes again what another one has.

A run is recognised by the settings of each of its steps, whatever its folder is called: a baseline of one study is a
row of another one. Its folders are copied, each at once or not at all, so the other folder may be removed afterwards;
what results.json says about the suite and the run's place in its tables becomes this suite's.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dassl.utils import InputError, write_json
from dassl.utils.counted import counted
from runs.about import VERSIONS, about_arguments

from ..reading.files import find, read_json
from ..suites.suite import Run, Suite
from .state import claim, expected_hash, forget_failure, look, read_result
from .trouble import CannotWrite, check_writable

logger = logging.getLogger(__name__)


class Source:
    """The results below an output folder. Left out are damaged ones, and those of other versions of a protocol."""

    def __init__(self, folder: Path) -> None:
        self.by_hash: dict[str, tuple[str, Path]] = {}  # where its tests say that the model is, and its path
        self.tests: dict[str, list[tuple[dict, Path]]] = defaultdict(list)  # by the folder of the model they are of
        for below, file in find(folder):
            at = Path(file).parent
            record = read_result(at, [])
            if record and (record.get("protocol_version") or 1) == VERSIONS.get(str(record.get("protocol")), 1):
                self.by_hash.setdefault(record["settings_hash"], (record.get("made_in") or below, at))
                self.tests[_name(record.get("model_dir"))].append((record, at))

    def folders(self, run: Run) -> list[Path] | None:
        """The folders of a run's steps, in order; None if one is missing."""
        trained = self.by_hash.get(run.resolved[0].hash(run.seed))
        if trained is None:
            return None
        below, first = trained
        models = (model for model in self.tests if f"/{model}".endswith(f"/{below}"))  # wherever the runs were made
        tests = [test for model in (*models, "") for test in self.tests.get(model, [])]
        found = [first]
        for step in range(1, len(run.job)):
            own = (at for record, at in tests if record["settings_hash"] == expected_hash(run, step, record))
            if (at := next(own, None)) is None:
                return None
            found.append(at)
        return found


def _name(folder: object) -> str:
    return os.path.normpath(str(folder)).replace(os.sep, "/") if folder else ""


def check_sources(folders: Sequence[str], output: str | Path) -> None:
    """Raises InputError for a folder that is not there, or is the suite's own."""
    for folder in folders:
        if not os.path.isdir(folder):
            raise InputError(f"--from {folder}: there is no such folder; name output folders of other runs.")
        if os.path.realpath(folder) == os.path.realpath(output):
            raise InputError(f"--from {folder} is the suite's own folder, whose runs count anyhow; leave it out.")


def take(suite: Suite, folders: Sequence[str]) -> int:
    """Copy the runs that the suite lacks and one of these output folders has finished. Returns how many.

    A run that was begun here goes on here. Raises InputError for wrong folders and if nothing can be written.
    """
    check_sources(folders, suite.output)
    taken = 0
    if folders:
        check_writable(suite.home)
    for folder in folders:
        source = Source(Path(folder))
        before = taken
        for run in suite.runs:
            if (there := source.folders(run)) and look(run).state in ("pending", "failed"):
                taken += _copy(run, there)
        logger.info("%s: %s taken", folder, counted(taken - before, "finished run"))
    return taken


def _copy(run: Run, there: Sequence[Path]) -> bool:
    """Copy the folders of a run's steps, the training first; False if another process works on it or one exists."""
    models = [read_json(folder / "results.json").get("model_dir") for folder in there[1:]]
    with claim(run) as mine:
        if not mine or any(os.path.lexists(folder) for folder in run.folders):
            return False
        for step, source, folder in zip(run.job, there, run.folders, strict=True):
            half = folder.with_name(f".{folder.name}.half")
            try:
                folder.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):
                    shutil.rmtree(half)
                shutil.copytree(source, half)
                record = read_json(half / "results.json") | about_arguments(step.planned(run.epochs))
                if folder == run.folders[0] and any(models):
                    record["made_in"] = _name(models[0])  # as the settings of its tests have it
                write_json(record, half / "results.json")
                os.rename(half, folder)
            except (OSError, shutil.Error) as error:
                shutil.rmtree(half, ignore_errors=True)
                raise InputError(str(CannotWrite(error, folder))) from error
        forget_failure(run)
    return True
