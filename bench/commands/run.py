"""python -m bench run SUITE.yaml --launcher local|slurm: runs what is not done.

local: --jobs runs at a time, each worker on one of --gpus. --stack R trains R runs that differ in seed, label noise or
a rate as one, where the method allows it (docs/running.md). After Ctrl-C the same command continues the runs. If the
command is started twice, the two share the runs. When all runs of blocks with `select` are done, a value is chosen
(docs/selection.md), and the blocks that wait for it are run. slurm: runs as tasks of array jobs, see docs/cluster.md.
"""

from __future__ import annotations

import argparse

from dassl.utils import InputError
from dassl.utils.screen import Screen

from ..slurm import options as slurm_options
from ..suites.options import add_suite_options, open_suite


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("run", help="run what is not done", description=__doc__, formatter_class=Screen)
    add_suite_options(parser)
    parser.add_argument("--launcher", choices=("local", "slurm"), default="local")
    parser.add_argument("--jobs", type=int, help="runs at a time (default: one a GPU; without GPUs 2)")
    stack = "text-only runs that a worker trains at once, with one pass of the text tower a step (default: 1)"
    parser.add_argument("--stack", type=int, default=1, metavar="R", help=stack)
    parser.add_argument("--gpus", default="all", help="all, none, or numbers such as 0,1 (default: all)")
    slurm_options.add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    suite = open_suite(args)
    if args.launcher == "slurm":
        if args.stack != 1:
            raise InputError("--stack is for --launcher local; leave it out.")
        from ..slurm import arrays as slurm

        return slurm.submit(suite, args)
    if unused := list(slurm_options.given(args)):
        raise InputError(f"--{unused[0]} is for --launcher slurm; leave it out, or give that.")
    from ..running.gpus import check_gpus, gpus_of
    from ..running.local import default_jobs, run_suite

    gpus = gpus_of(args.gpus)
    if args.gpus != "all":
        check_gpus(gpus)
    jobs = default_jobs(gpus) if args.jobs is None else args.jobs
    code = run_suite(suite, jobs, gpus, args.stack)
    if code or not suite.waiting:
        return code
    from ..running.selection import told, write_choice

    print(f"\n{told(write_choice(suite))}\n")  # noqa: T201
    return run_suite(open_suite(args), jobs, gpus, args.stack)
