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
import re
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from dassl.utils import InputError, write_json
from runs.arguments import is_file
from runs.targets import ROOT

from ..drawing.collapse import caption
from ..reading.files import no_results, write_text
from ..running.gpus import gpus_of
from ..running.local import default_jobs, run_suite
from ..running.plan import plan_table
from ..running.state import survey
from ..running.taking import take
from ..running.trouble import check_writable, writing
from ..suites.load import load
from ..suites.suite import Suite, suite_of
from .door_options import MOST, checked, parse
from .study import Page, Study

logger = logging.getLogger(__name__)
SUITES = ROOT / "configs" / "suites"


def main(study: Study, argv: Sequence[str] | None = None) -> int:
    """Run a study. Returns the exit code: 0 without problems, 1 if a run failed, is missing or was not started.

    Raises InputError for bad input, and with --tables-only if there is no result.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    started, code = time.time(), 0
    args = parse(study, argv)
    said: list[str] = []
    suite, tree = (suite_from if args.chosen or not args.tables_only else recorded)(study, args)
    if args.plan:
        print(plan_table(suite, survey(suite.runs)))  # noqa: T201
        return 0
    if not args.tables_only:
        ended = begin(suite, tree, args)
        if ended is None:
            return 1
        code = ended
    rows = study.rows(suite, said, not args.tables_only)
    page = study.page(rows, suite, args)
    page.end = "\n\n".join(filter(None, [page.end, caption(rows)]))
    said += page.said
    page.sections = [section for section in page.sections if section.rows]
    if page.sections:
        _show(page, args)
    elif args.tables_only:
        raise no_results(suite.output, *dict.fromkeys(said), what=f"finished runs of {suite.file.name}")
    print(f"\nLogs and results: {suite.output}   ({time.time() - started:.0f} s)")  # noqa: T201
    for sentence in dict.fromkeys(said):
        print(sentence, file=sys.stderr)  # noqa: T201
    return code or (1 if said or not page.sections else 0)


def _show(page: Page, args: argparse.Namespace) -> None:
    """Print the tables, and write the files that the options name."""
    print(f"\n{page.text('simple')}")  # noqa: T201
    if args.markdown:
        with writing(args.markdown, "--markdown"):
            write_text(args.markdown, page.text("github") + "\n")
    if getattr(args, "json", None) and page.data is not None:
        with writing(args.json, "--json"):
            write_json(page.data, args.json)
    if getattr(args, "plots", None) and page.draw:
        with writing(args.plots, "--plots"):
            page.draw(args.plots)


def suite_from(study: Study, args: argparse.Namespace) -> tuple[Suite, dict]:
    """(the study's suite with the options put into it, its tree). Raises InputError for wrong options."""
    tree = _tree(study, args)
    file = _free(Path(args.output) / f"{study.file(args)}.yaml", _text(tree))
    try:
        return suite_of(tree, file, root=args.root), tree
    except InputError as error:  # the file is not written yet
        raise InputError(str(error).replace(str(file), "the command line")) from error


def recorded(study: Study, args: argparse.Namespace) -> tuple[Suite, dict]:
    """(the suite that an earlier command of the study left in the output folder, the newest of several; its tree).

    Without such a file: that of the options. Raises InputError for a damaged file.
    """
    usual, name = _tree(study, args)["name"], study.file(args)
    files = sorted(Path(args.output).glob(f"{name}*.yaml"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    for file in files:
        if re.fullmatch(rf"{re.escape(name)}(-\d+)?", file.stem) and (tree := load(file)).get("name") == usual:
            logger.info("The runs of %s:", file)
            args.recorded = True
            return suite_of(tree, file, args.output, args.root), tree
    return suite_from(study, args)


def _tree(study: Study, args: argparse.Namespace) -> dict:
    """The study's suite with the options put into it. Raises InputError for wrong options."""
    tree = copy.deepcopy(load(SUITES / f"{study.template}.yaml"))
    args.output = args.output or tree.get("output", f"output/{tree['name']}")
    settings = checked(args)
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
    return tree


def begin(suite: Suite, tree: dict, args: argparse.Namespace) -> int | None:
    """Take what other folders have, log the plan and run it. Returns the exit code, or None if there are more than
    `MOST` runs and --yes is missing.

    Raises InputError if nothing can be written.
    """
    take(suite, args.sources)
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
    return run_suite(suite, default_jobs(gpus) if args.jobs is None else args.jobs, gpus, args.stack)


def _text(tree: dict) -> str:
    return "# Written by a study's command (docs/cluster.md).\n" + yaml.safe_dump(tree, sort_keys=False)


def _free(file: Path, text: str) -> Path:
    """The file, or NAME-2.yaml and so on if it exists with another suite, which queued tasks may still need."""
    names = itertools.chain([file], (file.with_stem(f"{file.stem}-{i}") for i in itertools.count(2)))
    return next(each for each in names if not each.is_file() or each.read_text(encoding="utf-8") == text)
