"""The command of a study, `python -m bench.NAME`: puts options into its suite, plans and runs it, prints the tables.

Every study has a suite in configs/suites. The command writes the suite with its options to the output folder, so that
`python -m bench status|retry|run OUTPUT/suite.yaml` work as for any other suite. It prints what it will do, runs the
suite with the same runner as `python -m bench run`, and prints the study's tables.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pandas import DataFrame

from dassl.utils import InputError, write_json
from runs.arguments import is_file
from runs.protocols import Settings
from runs.settled import check_keys
from runs.targets import ROOT
from runs.words import LARGEST_SEED, check_folder

from ..drawing.report import Section, render
from ..reading.files import write_text
from ..running.gpus import gpus_of
from ..running.local import default_jobs, run_suite
from ..running.plan import plan_table
from ..running.state import survey
from ..running.trouble import check_output, check_writable
from ..suites.load import load
from ..suites.suite import Suite, suite_of
from .rows import rows_of

logger = logging.getLogger(__name__)
SUITES = ROOT / "configs" / "suites"
MOST = 50  # largest number of runs that are started without `run` or --yes


@dataclass
class Page:
    """The output of a study. said: sentences on problems, which make the exit code 1. end: the text below the tables.
    draw: draws its figures into a folder. data: the numbers behind the tables, for --json of studies that have it."""

    sections: Sequence[Section] = ()
    said: list[str] = field(default_factory=list)
    end: str = ""
    draw: Callable[[Path], object] | None = None
    data: dict | None = None

    def text(self, form: str) -> str:
        return "\n\n".join(filter(None, (render(self.sections, form), self.end)))


@dataclass(frozen=True)
class Study:
    """A study, started by `python -m bench.NAME`. doc: help of its command. template: the name of its suite in
    configs/suites.

    options: adds its options to a parser. fill: puts their values into the suite's tree; raises InputError for wrong
    ones. page: makes its output from results. file: the suite's name in the output folder. rows: reads the results,
    those of the suite's runs (`rows_of`) or all in the output folder (`all_rows`).
    """

    name: str
    doc: str
    template: str
    options: Callable[[argparse.ArgumentParser], None]
    fill: Callable[[dict, argparse.Namespace], None]
    page: Callable[[DataFrame, Suite, argparse.Namespace], Page]
    file: Callable[[argparse.Namespace], str] = lambda args: "suite"
    rows: Callable[[Suite, list[str], bool], DataFrame] = rows_of


def main(study: Study, argv: Sequence[str] | None = None) -> int:
    """Run a study. Returns the exit code: 0 without problems, 1 if a run failed, is missing or was not started.

    Raises InputError for bad input.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    started, code = time.time(), 0
    args = parse(study, argv)
    said: list[str] = []
    suite, tree = suite_from(study, args)
    if args.plan:
        print(plan_table(suite, survey(suite.runs)))  # noqa: T201
        return 0
    if not args.tables_only:
        ended = begin(suite, tree, args)
        if ended is None:
            return 1
        code = ended
    page = study.page(study.rows(suite, said, not args.tables_only), suite, args)
    said += page.said
    page.sections = [section for section in page.sections if section.rows]
    print("\n" + (page.text("simple") if page.sections else f"No finished runs under {suite.output}."))  # noqa: T201
    if page.sections and args.markdown:
        write_text(args.markdown, page.text("github") + "\n")
    if page.sections and getattr(args, "json", None) and page.data is not None:
        write_json(page.data, args.json)
    if page.sections and getattr(args, "plots", None) and page.draw:
        page.draw(args.plots)
    print(f"\nLogs and results: {suite.output}   ({time.time() - started:.0f} s)")  # noqa: T201
    for sentence in dict.fromkeys(said):
        print(sentence, file=sys.stderr)  # noqa: T201
    return code or (1 if said or not page.sections else 0)


def parse(study: Study, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the study's own options and those of all studies. The word `run` means --yes, and `plan` starts nothing."""
    parser = argparse.ArgumentParser(
        prog=f"python -m bench.{study.name}",
        description=study.doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    study.options(parser)
    parser.add_argument("--seeds", nargs="+", type=int, help="default: 1 2 3")
    parser.add_argument("--jobs", type=int, help="runs at a time (default: one a GPU; without GPUs 2)")
    parser.add_argument("--root", default=os.environ.get("DATA", "data"), help="folder of the datasets")
    parser.add_argument("--output", help="folder of the runs (default: the suite's, or output/NAME)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the tables to this file")
    parser.add_argument("--tables-only", action="store_true", help="run nothing, show the results that exist")
    parser.add_argument("--yes", action="store_true", help=f"start also more than {MOST} runs; as the word `run`")
    parser.add_argument(
        "opts", nargs="*", default=[], help="run or plan, and config pairs for every run: KEY VALUE ..."
    )
    args = parser.parse_intermixed_args(argv)
    args.plan = args.opts[:1] == ["plan"]
    args.yes = args.yes or args.opts[:1] == ["run"]
    args.opts = args.opts[1:] if args.opts[:1] in (["run"], ["plan"]) else args.opts
    return args


def suite_from(study: Study, args: argparse.Namespace) -> tuple[Suite, dict]:
    """(the study's suite with the options put into it, its tree). Raises InputError for wrong options."""
    tree = copy.deepcopy(load(SUITES / f"{study.template}.yaml"))
    args.output = args.output or tree.get("output", f"output/{tree['name']}")
    settings = _checked(args)
    study.fill(tree, args)
    tree["output"] = args.output
    if args.seeds:
        tree["seeds"] = args.seeds
    if args.opts:
        tree["overrides"] = dict(zip(args.opts[::2], args.opts[1::2], strict=True))
    plugins = {"plugins": settings.plugins, "plugin_cfg": settings.plugin_cfg}
    tree |= {key: [os.path.abspath(file) for file in files] for key, files in plugins.items() if files}
    for block in tree["blocks"]:
        if "SHOTS" in os.environ:
            block.setdefault("shots", settings.shots)
        if settings.cfg:
            block.setdefault("cfg", os.path.abspath(settings.cfg) if is_file(settings.cfg) else settings.cfg)
    file = _free(Path(args.output) / f"{study.file(args)}.yaml", _text(tree))
    try:
        return suite_of(tree, file, root=args.root), tree
    except InputError as error:  # the file is not written yet
        raise InputError(str(error).replace(str(file), "the command line")) from error


def begin(suite: Suite, tree: dict, args: argparse.Namespace) -> int | None:
    """Log the plan and run it. Returns the exit code, or None if there are more than `MOST` runs and --yes is missing.

    Raises InputError if nothing can be written.
    """
    found = survey(suite.runs)
    left = sum(each.state == "pending" for each in found.values())
    logger.info("%s\n", plan_table(suite, found))
    check_writable(suite.output)
    write_text(suite.file, _text(tree))
    root = "" if args.root == os.environ.get("DATA", "data") else f" --root {shlex.quote(args.root)}"
    logger.info("Also for this suite (status, retry, run, plan): python -m bench status %s%s", suite.file, root)
    if left > MOST and not args.yes:
        text = f"Nothing is started: {left} runs are to be done. Begin them with the word `run`, on a cluster with"
        print(f"{text}\npython -m bench run {suite.file}{root} --launcher slurm", file=sys.stderr)  # noqa: T201
        return None
    gpus = gpus_of("all")
    return run_suite(suite, default_jobs(gpus) if args.jobs is None else args.jobs, gpus)


def _checked(args: argparse.Namespace) -> Settings:
    """The settings from options and environment. Raises InputError for wrong numbers, folders and files to write."""
    if args.jobs is not None and args.jobs < 1:
        raise InputError(f"--jobs is {args.jobs}, but must be at least 1.")
    if wrong := [seed for seed in args.seeds or () if not 0 <= seed <= LARGEST_SEED]:
        raise InputError(f"--seeds has {wrong[0]}, but seeds are whole numbers from 0, below 2**63.")
    args.seeds = list(dict.fromkeys(args.seeds or ()))
    if len(args.opts) % 2:
        raise InputError(f"Config pairs come as KEY VALUE, but {args.opts[-1]!r} has no value after it.")
    for name, folder in (("--root", args.root), ("--output", args.output)):
        check_folder(folder, name)
    check_keys(args.opts[::2], "the command line")
    if args.tables_only and not os.path.isdir(args.output):
        raise InputError(f"There is no folder {args.output}; give the --output of the runs.")
    check_output(args.markdown, "--markdown")
    check_output(getattr(args, "json", None), "--json")
    check_output(getattr(args, "plots", None), "--plots", folder=True)
    settings = Settings.from_environment({**os.environ, "DATA": args.root, "OUTPUT": args.output}, args.opts)
    if settings.load_epoch:
        raise InputError("LOADEP is for single runs; a study tests the last epoch: unset it.")
    return settings


def _text(tree: dict) -> str:
    return "# Written by a study's command (docs/cluster.md).\n" + yaml.safe_dump(tree, sort_keys=False)


def _free(file: Path, text: str) -> Path:
    """The file, or NAME-2.yaml and so on if it exists with another suite, which queued tasks may still need."""
    names = itertools.chain([file], (file.with_stem(f"{file.stem}-{i}") for i in itertools.count(2)))
    return next(each for each in names if not each.is_file() or each.read_text(encoding="utf-8") == text)
