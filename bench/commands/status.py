"""python -m bench status SUITE.yaml [--all]: where every run stands.

Failed runs come with their error and the command; runs that are done but have collapsed are named.
"""

from __future__ import annotations

import argparse
from collections import Counter

from dassl.utils.counted import counted

from ..running.state import STATES, Found, survey
from ..slurm.queue import queue
from ..suites.options import add_suite_options, open_suite
from ..suites.suite import Suite


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("status", help="where every run stands", description=__doc__)
    add_suite_options(parser)
    parser.add_argument("--all", action="store_true", help="a line for every run")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    suite = open_suite(args)
    found = survey(suite.runs)
    states = Counter(each.state for each in found.values())
    fell = sum(bool(each.collapsed) for each in found.values())
    told = {"done": f" ({fell} of them collapsed)" if fell else ""}
    counts = ", ".join(f"{states[name]} {name}{told.get(name, '')}" for name in STATES)
    lines = [f"{suite.title}: {counted(len(suite.runs), 'run')}, {counts}"]
    for each in suite.runs:
        own = found[each.id]
        if args.all or own.state == "running":
            lines.append(f"{each.id}  {own.state:7}  {each}")
        if own.collapsed:
            lines += [] if args.all else [f"{each.id}  done     {each}"]
            where = ", ".join(str(folder) for folder in own.collapsed)
            lines.append(f"    done, but collapsed: the class features nearly coincide ({where})")
        if own.state == "failed":
            lines += [] if args.all else [f"{each.id}  failed   {each}"]
            failure = own.failure or {}
            told = failure.get("error")
            lines += [f"    {line}" for line in (told if isinstance(told, list) else ["(its note is damaged)"])]
            lines.append(f"    {failure.get('command') or each.command()}")
        lines += [f"    {note}" for note in own.notes]
    if states["failed"]:
        lines.append(f"`python -m bench retry {args.suite}` lets `run` take the failed runs again.")
    lines += _in_slurm(suite, found, args.all)
    print("\n".join(lines))  # noqa: T201
    return 0


def _in_slurm(suite: Suite, found: dict[str, Found], every: bool) -> list[str]:
    """Lines on runs that were submitted to Slurm: how many wait in the queue, how many were left by ended tasks."""
    if (queued := queue(suite)) is None:
        return ["Some were submitted to Slurm, but squeue does not answer here."]
    left = {each.id: queued[each.id] for each in suite.runs if each.id in queued and found[each.id].state == "pending"}
    lines = [f"{name}  in Slurm task {own.task} {own.state or 'which is over'}" for name, own in left.items() if every]
    states = Counter(own.state for own in left.values())
    over = [own for own in left.values() if not own.state]
    if inside := ", ".join(f"{count} in tasks {state}" for state, count in states.items() if state):
        lines.append(f"Of those pending, Slurm has {inside}.")
    if over:
        lines.append(
            f"{len(over)} were given to tasks that are over (cancelled, killed, out of time or memory: {over[0].log}); "
            "`run` submits them again."
        )
    return lines
