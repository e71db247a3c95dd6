"""python -m bench clean SUITE.yaml --failed | --all | --ids A,B [--yes]: removes folders of this suite's runs."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from dassl.utils import InputError
from dassl.utils.counted import counted

from ..running.state import claim, survey
from ..suites.options import add_suite_options, chosen_runs, open_suite
from ..suites.resolved import MODEL
from ..suites.suite import Run


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("clean", help="remove folders of runs", description=__doc__)
    add_suite_options(parser, ids="these runs")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--failed", action="store_true", help="the runs that failed")
    which.add_argument("--all", action="store_true", help="every run")
    parser.add_argument("--yes", action="store_true", help="remove without asking")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.ids is None and not args.failed and not args.all:
        raise InputError("Say which runs: --failed, --all, or --ids A,B.")
    suite = open_suite(args)
    runs = chosen_runs(suite, args)
    found = survey(runs)
    if args.failed:
        runs = [each for each in runs if found[each.id].state == "failed"]
    folders, strangers = [], []
    for each in runs:
        for step, folder in enumerate(each.folders):
            if folder.is_dir():
                (folders if owns(each, step) else strangers).append(folder)
    for folder in strangers:
        print(f"left alone: {folder} holds a run with other settings", file=sys.stderr)  # noqa: T201
    if not folders and not any((each.home / f"{each.id}.failed.json").is_file() for each in runs):
        print("There is nothing to remove.")  # noqa: T201
        return 0
    print("\n".join(map(str, folders)))  # noqa: T201
    if not args.yes and not _agreed(len(folders)):
        print("Nothing is removed.")  # noqa: T201
        return 1
    busy = [each for each in runs if not remove(each, set(folders))]
    for each in busy:
        print(f"left alone: {each} is at work", file=sys.stderr)  # noqa: T201
    return 1 if busy else 0


def owns(run: Run, step: int) -> bool:
    """Whether the step's folder holds a run with these settings, or no known run."""
    with suppress(OSError, ValueError):
        first = (run.folders[step] / "config.yaml").read_text(encoding="utf-8").partition("\n")[0]
        theirs = json.loads(first.removeprefix("# settings: "))
        mine = json.loads(run.resolved[step].text)
        open_keys = {key for key, value in mine.items() if value == MODEL}
        return all(theirs.get(key) == (run.seed if key == "SEED" else value)
                   for key, value in mine.items() if key not in open_keys)  # fmt: skip
    return not any(run.folders[step].glob("*/checkpoint"))


def remove(run: Run, folders: set[Path]) -> bool:
    """Remove the run's folders and its notes in the suite; False if another process is working on it."""
    with claim(run) as mine:
        if not mine:
            return False
        for folder in folders & set(run.folders):
            shutil.rmtree(folder)
            for parent in folder.parents:
                if parent == run.home.parent or any(parent.iterdir()):
                    break
                parent.rmdir()
        for kind in ("failed", "done"):
            (run.home / f"{run.id}.{kind}.json").unlink(missing_ok=True)
    return True  # the lock file is kept, since another process may be waiting for it


def _agreed(count: int) -> bool:
    try:
        return input(f"Remove {counted(count, 'folder')}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
